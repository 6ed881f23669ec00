//! The one error type of this crate.

use std::path::PathBuf;

use idembed_optimizer::Decay;

pub use idembed_weights::FileError;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, TokensError>;

/// What can go wrong between a photo's tensor and an identity in a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The model refused something.
    #[error(transparent)]
    Diffusion(#[from] idembed_diffusion::Error),
    /// The attention loss or a recorder refused something.
    #[error(transparent)]
    Attention(#[from] idembed_attention::AttentionError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// A file was read but is not what it should be.
    #[error("`{path}` is not a usable {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be: an identity file or a checkpoint.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: FileError,
    },
    /// A setting is out of range.
    #[error("{what} is {got}, expected {expected}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        got: String,
        /// The values allowed, in words.
        expected: String,
    },
    /// A tensor given to this crate has the wrong shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// The shape it should have, in words.
        expected: String,
    },
    /// A prompt names an identity that was not given.
    #[error("the prompt names <{name}>, but {}", given_names(given))]
    UnknownIdentity {
        /// The name in the prompt.
        name: String,
        /// The names given.
        given: Vec<String>,
    },
    /// Two identities were given the same name.
    #[error("<{name}> is given twice")]
    GivenTwice {
        /// The name.
        name: String,
    },
    /// A prompt is so long that a placeholder lies beyond its end.
    #[error("the prompt is cut after {limit} tokens, and <{name}> comes after that")]
    PlaceholderCutOff {
        /// The identity's name.
        name: String,
        /// Number of tokens that fit.
        limit: usize,
    },
    /// A weight in a prompt is out of range.
    #[error("the weight of `{text}` is {got}, expected {expected}")]
    PromptWeight {
        /// The text that it is for.
        text: String,
        /// The weight, those of brackets around it multiplied.
        got: String,
        /// The weights allowed, in words.
        expected: String,
    },
    /// An identity takes more tokens than the text encoders read at once.
    #[error("<{name}> takes {words} tokens, but the text encoder reads {limit} at once")]
    WideIdentity {
        /// The identity's name.
        name: String,
        /// The tokens it takes.
        words: usize,
        /// The tokens of a chunk.
        limit: usize,
    },
    /// Weights of a prompt that leave nothing to rescale.
    #[error("the weights in the prompt `{prompt}` cancel each other: its states cannot be brought back to their mean")]
    WeightsCancel {
        /// The prompt.
        prompt: String,
    },
    /// The tokenizers of one model take a prompt apart in different ways.
    #[error("the model's tokenizers do not give the same token positions for the prompt `{prompt}`")]
    OtherPositions {
        /// The prompt.
        prompt: String,
    },
    /// A word whose attention was asked for is not in the prompt.
    #[error("`{word}` is not in the prompt `{prompt}`")]
    WordNotInPrompt {
        /// The word or phrase.
        word: String,
        /// The prompt.
        prompt: String,
    },
    /// An identity was learned for another model.
    #[error("identity `{name}` was learned for the text encoder {got}, this model has {expected}")]
    OtherBase {
        /// The identity's name.
        name: String,
        /// The fingerprint in the identity file.
        got: String,
        /// The fingerprint of the model at hand.
        expected: String,
    },
    /// An identity was learned for a model that was trained otherwise.
    #[error("identity `{name}` was learned for a model with {what} {got}, this model has {expected}")]
    OtherTraining {
        /// The identity's name.
        name: String,
        /// What differs: the prediction type, or the number of training timesteps.
        what: &'static str,
        /// Its value in the identity file.
        got: String,
        /// Its value in the model at hand.
        expected: String,
    },
    /// An identity was learned for another number of text encoders.
    #[error("identity `{name}` was learned for {got} text encoders, this model has {expected}")]
    OtherEncoders {
        /// The identity's name.
        name: String,
        /// The number of encoders it has vectors for.
        got: usize,
        /// The model's number of encoders.
        expected: usize,
    },
    /// An identity's vectors do not fit the model.
    #[error("identity `{name}` has vectors of {got} numbers, this model needs {expected}")]
    OtherHidden {
        /// The identity's name.
        name: String,
        /// The width of its vectors.
        got: i64,
        /// The width of the model's token embeddings.
        expected: i64,
    },
    /// A file of another tool is no embedding that can be used.
    #[error("cannot use the embedding `{path}`: {what}")]
    Embedding {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An embedding of another tool cannot act less strongly.
    #[error("the embedding <{name}> has no strength: it does not say what it would be without what was learned")]
    EmbeddingStrength {
        /// The embedding's name.
        name: String,
    },
    /// An embedding is for other text encoders.
    #[error("the embedding <{name}> has vectors of {got} numbers{family}; this model needs {expected}")]
    EmbeddingWidth {
        /// The embedding's name.
        name: String,
        /// The width of its vectors, for each text encoder.
        got: String,
        /// The family that takes such, in words, or nothing.
        family: String,
        /// The width of the model's token embeddings, likewise.
        expected: String,
    },
    /// An identity has vectors for each layer, and the model has another number of layers.
    #[error("identity `{name}` has vectors for {got} cross-attention layers, this model has {expected}")]
    OtherLayers {
        /// The identity's name.
        name: String,
        /// The number of layers it has vectors for.
        got: usize,
        /// The model's number of cross-attention layers.
        expected: usize,
    },
    /// An identity changes the weights of another U-Net.
    #[error("identity `{name}` changes weights of the U-Net {got}, this model has {expected}")]
    OtherUNet {
        /// The identity's name.
        name: String,
        /// The fingerprint in the identity file.
        got: String,
        /// The fingerprint of the model at hand.
        expected: String,
    },
    /// Two identities of one prompt change weights of the U-Net.
    #[error("<{first}> and <{second}> both change weights of the U-Net, and only one of them can in a picture")]
    TwoChangeWeights {
        /// The name of the one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// Two identities cannot be blended.
    #[error("`{second}` does not go with `{first}`: it has {what} {got}, and the other one {expected}")]
    CannotBlend {
        /// The name of the one.
        first: String,
        /// The name of the other.
        second: String,
        /// What differs.
        what: &'static str,
        /// Its value in the second.
        got: String,
        /// Its value in the first.
        expected: String,
    },
    /// A checkpoint belongs to another run.
    #[error("the checkpoint was made with {what} {got}, this run has {expected}")]
    OtherRun {
        /// Which setting or input differs.
        what: String,
        /// Its value in the checkpoint.
        got: String,
        /// Its value in this run.
        expected: String,
    },
    /// A checkpoint belongs to a run of fewer steps, whose learning rate fell with them.
    #[error(
        "the checkpoint was made with steps {got}, this run has {expected}, and the {decay} decay of the learning rate \
         depends on their number"
    )]
    StepsDecay {
        /// The steps of the checkpoint's run.
        got: String,
        /// The steps of this run.
        expected: String,
        /// What the learning rate does.
        decay: Decay,
    },
    /// A loss or a gradient became NaN or infinite.
    #[error("{what} is not finite at step {step}")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// The step, counted from 1.
        step: usize,
        /// Where the state before that step was saved.
        checkpoint: Option<PathBuf>,
    },
    /// A file of the model was changed while an identity was being learned with it.
    #[error("the model changed at step {step}")]
    ModelChanged {
        /// The step, counted from 1.
        step: usize,
        /// Where the state before that step was saved.
        checkpoint: Option<PathBuf>,
        /// Which file.
        #[source]
        source: Box<idembed_diffusion::Error>,
    },
    /// The user asked to stop.
    #[error("stopped after {step} of {steps} steps{}", saved_at(checkpoint.as_deref()))]
    Stopped {
        /// Steps done.
        step: usize,
        /// Steps asked for.
        steps: usize,
        /// Where the state was saved.
        checkpoint: Option<PathBuf>,
    },
}

impl From<idembed_clip::Error> for TokensError {
    fn from(error: idembed_clip::Error) -> Self {
        TokensError::Diffusion(error.into())
    }
}

impl From<idembed_weights::Error> for TokensError {
    fn from(error: idembed_weights::Error) -> Self {
        use idembed_weights::Error as Source;
        match error {
            Source::Io(error) => TokensError::Io(error),
            Source::File { path, what, source } => TokensError::File { path, what, source },
            other => TokensError::Diffusion(other.into()),
        }
    }
}

fn given_names(given: &[String]) -> String {
    if given.is_empty() {
        return "no identity was given".to_owned();
    }
    let names: Vec<String> = given.iter().map(|name| format!("<{name}>")).collect();
    format!("only {} was given", names.join(", "))
}

fn saved_at(checkpoint: Option<&std::path::Path>) -> String {
    checkpoint.map(|path| format!("; the state is in `{}`", path.display())).unwrap_or_default()
}
