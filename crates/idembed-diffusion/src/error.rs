//! The one error type of this crate.

use std::path::PathBuf;

use idembed_weights::WeightsError;

/// What can go wrong between a model folder and a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// A JSON file does not parse, or lacks a field.
    #[error("`{path}` is not a valid configuration")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A configuration asks for something this crate does not build.
    #[error("unsupported model: {what}")]
    Unsupported {
        /// What the file says, and what would be accepted.
        what: String,
        /// What to do instead, if something helps.
        hint: Option<&'static str>,
    },
    /// The folder is not a model in diffusers layout.
    #[error("`{path}` is not a model folder in diffusers layout: {what}")]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// A checkpoint lacks a network, which can be given beside it.
    #[error("`{path}` holds no {part}")]
    Incomplete {
        /// The checkpoint.
        path: PathBuf,
        /// What is missing.
        part: &'static str,
        /// How to give it.
        hint: &'static str,
    },
    /// The weights of a network are there as a pickle only, which can run programs and is therefore not read.
    #[error("the weights in `{folder}` are pickled (`{file}`), and pickles are not read")]
    Pickled {
        /// The network's folder.
        folder: PathBuf,
        /// The pickle, or the index of its shards.
        file: String,
    },
    /// A file of LoRA cannot be used with this model, or at all.
    #[error("cannot use the LoRA `{path}`: {what}")]
    Lora {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A model in one file is a pickle, which can run programs and is therefore not read.
    #[error("`{path}` is a pickle, and pickles are not read")]
    PickledFile {
        /// The file.
        path: PathBuf,
    },
    /// A weight file is damaged or does not hold what the configuration needs.
    #[error("cannot load `{path}`")]
    Weights {
        /// The weight file or its folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: WeightsError,
    },
    /// Something in the files of weights or in parameters in memory does not fit.
    #[error(transparent)]
    OtherWeights(idembed_weights::Error),
    /// The tokenizer or the text encoder refused something.
    #[error(transparent)]
    Clip(Box<idembed_clip::Error>),
    /// A tensor given to this crate has the wrong shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape it has.
        got: Vec<i64>,
        /// The shape it should have, in words.
        expected: String,
    },
    /// A setting is out of range.
    #[error("{0}")]
    Setting(String),
    /// The network produced NaN or infinity.
    #[error("{what} is not finite")]
    NotFinite {
        /// Which quantity.
        what: String,
    },
    /// A listener at the cross-attention hook refused what it saw.
    #[error("the listener at the cross-attention layers refused")]
    Hook(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A picture came out in one single colour.
    #[error("the picture is blank: every pixel is {rgb:?}")]
    BlankPicture {
        /// The colour.
        rgb: [u8; 3],
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl From<idembed_weights::Error> for Error {
    fn from(error: idembed_weights::Error) -> Self {
        use idembed_weights::Error as Source;
        match error {
            Source::Io(error) => Error::Io(error),
            Source::Json { path, source } => Error::Json { path, source },
            Source::NoFile { folder, what } => Error::Layout { path: folder, what },
            Source::Pickled { folder, file } => Error::Pickled { folder, file },
            Source::Content { path, source } => Error::Weights { path, source },
            Source::Device(what) => Error::Setting(what),
            Source::Unsupported(what) => Error::Unsupported { what, hint: None },
            Source::Torch(error) => Error::Torch(error),
            other => Error::OtherWeights(other),
        }
    }
}

/// What is wrong with a file of the model is the same error whichever network it belongs to.
impl From<idembed_clip::Error> for Error {
    fn from(error: idembed_clip::Error) -> Self {
        use idembed_clip::Error as Source;
        match error {
            Source::Weights(error) => error.into(),
            Source::Unsupported(what) => Error::Unsupported { what, hint: None },
            Source::NoTokenizer { folder } => {
                let what = "the tokenizer needs vocab.json and merges.txt, or tokenizer.json".to_owned();
                Error::Layout { path: folder, what }
            }
            Source::Torch(error) => Error::Torch(error),
            other => Error::Clip(Box::new(other)),
        }
    }
}

impl Error {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Unsupported { hint, .. } => *hint,
            Error::Incomplete { hint, .. } => Some(hint),
            Error::Layout { .. } => {
                Some("give a folder that holds model_index.json, tokenizer/, text_encoder/, unet/, vae/ and scheduler/")
            }
            Error::Weights { source, .. } => source.hint(),
            Error::OtherWeights(error) => error.hint(),
            Error::Clip(error) => error.hint(),
            Error::NotFinite { .. } | Error::BlankPicture { .. } => {
                Some("numbers too large for f16 do this (f32 and bf16 hold them); so do damaged weights")
            }
            _ => None,
        }
    }
}
