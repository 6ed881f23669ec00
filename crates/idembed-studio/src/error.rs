//! The one error type of this crate.

use std::path::PathBuf;

use idembed_attention::AttentionError;
use idembed_face::select::SelectError;
use idembed_face::{CropError, FaceError, PhotoError};
use idembed_tokens::TokensError;

use crate::memory::TooLarge;
use crate::models::Part;
use crate::settings::SettingsError;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, StudioError>;

/// What can go wrong between a photo and a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudioError {
    /// A tokenizer refused something.
    #[error(transparent)]
    Clip(#[from] idembed_clip::Error),
    /// The model refused something.
    #[error(transparent)]
    Diffusion(#[from] idembed_diffusion::Error),
    /// Learning, a prompt, an identity file or a checkpoint failed.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Attention could not be recorded or shown.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// A photo cannot be used.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// A network that looks at faces failed.
    #[error(transparent)]
    Face(#[from] FaceError),
    /// Scoring pictures failed.
    #[error(transparent)]
    Metrics(Box<idembed_metrics::MetricsError>),
    /// The face that was asked for is not there.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The part of the photo that was asked for is not there.
    #[error(transparent)]
    Crop(#[from] CropError),
    /// The work needs more memory than the machine has.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// There is no model of this name.
    #[error("there is no model `{wanted}`, neither by this name nor as a folder or file")]
    NoModel {
        /// What was asked for.
        wanted: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// A model's own settings cannot be used.
    #[error("`{path}` cannot be used")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<SettingsError>,
    },
    /// A model could not be loaded.
    #[error("cannot load the model `{name}`")]
    Load {
        /// The model.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<idembed_diffusion::Error>,
    },
    /// There is no ControlNet of this name.
    #[error("there is no ControlNet `{wanted}`, neither as a folder or file nor by this name")]
    NoControlNet {
        /// What was asked for.
        wanted: PathBuf,
    },
    /// A ControlNet reads text states of another width than the model has.
    #[error(
        "the ControlNet `{path}` is made for another family of models: it reads text states {got} wide, those of this model are \
         {expected}"
    )]
    OtherControlNet {
        /// The network.
        path: PathBuf,
        /// The width that it reads.
        got: i64,
        /// The width that the model has.
        expected: i64,
    },
    /// The weights of a network beside Stable Diffusion are missing.
    #[error("the weights of {part} are missing")]
    Missing {
        /// The network.
        part: Part,
    },
    /// There is no recognition network of this name.
    #[error("there is no recognition network `{wanted}`, neither among the models nor as a file")]
    NoRecogniser {
        /// What was asked for.
        wanted: String,
    },
    /// No face was found.
    #[error("no face was found in the photo; it was looked at {}", tried.join("; "))]
    NoFace {
        /// The views of the photo that were tried, in words.
        tried: Vec<String>,
    },
    /// The face fills the photo, so that no portrait can be cut around it.
    #[error("the face is larger than the photo, which leaves no room for a portrait")]
    NoRoom,
    /// The landmarks of the face lie so that no portrait can be cut around it.
    #[error("the landmarks of the face make no sense")]
    NoPortrait,
    /// A mask around the face was asked for, and no face is looked for.
    #[error("the mask is to be drawn around a found face, but no face is looked for")]
    MaskWithoutFace,
    /// What is opaque was to be the mask, and everything is.
    #[error("the photo has no transparent part, so that its transparency is no mask")]
    Opaque,
    /// Face parsing finds nothing of a face.
    #[error("face parsing finds no part of a face in the part to learn")]
    NothingParsed,
    /// What stands beside a photo is no prompt to learn it with.
    #[error("`{path}` is no caption of a photo")]
    Caption {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<TokensError>,
    },
    /// A mask cannot be read as a picture.
    #[error("cannot use `{path}` as a mask")]
    Mask {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PhotoError,
    },
    /// A mask that has not the size of its photo.
    #[error("the mask `{path}` is {} x {} pixels, expected {} x {}", got.0, got.1, expected.0, expected.1)]
    MaskSize {
        /// The file.
        path: PathBuf,
        /// Its width and height.
        got: (u32, u32),
        /// Those of the photo.
        expected: (u32, u32),
    },
    /// A picture to draw from cannot be read.
    #[error("cannot draw from `{path}`")]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PhotoError,
    },
    /// A mask that says to draw everything anew, or nothing.
    #[error("the mask `{path}` is {} everywhere; it must be white where the picture is drawn anew, and black elsewhere",
        if *white { "white" } else { "black" })]
    NothingMasked {
        /// The file.
        path: PathBuf,
        /// Which of the two.
        white: bool,
    },
    /// A mask that covers nothing.
    #[error("the mask `{path}` is black everywhere; it must be white where the face is")]
    EmptyMask {
        /// The file.
        path: PathBuf,
    },
    /// A picture cannot be written as PNG.
    #[error("cannot make a PNG of the picture")]
    Encode {
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A picture file cannot be read.
    #[error("cannot read the picture `{path}`")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Regions were to be found, and there are no two people to keep apart.
    #[error("regions are found for at least two identities, and the prompt names {}", match people { 0 => "none", _ => "one" })]
    NobodyToKeepApart {
        /// How many identities of people the prompt names.
        people: usize,
    },
    /// A picture was to be watched, and there is no seed to draw one with.
    #[error("there is no seed to draw a picture with")]
    NothingToDraw,
    /// The job was cancelled.
    #[error("stopped")]
    Stopped,
    /// The thread that does the work is gone: a job panicked, which is a mistake in this library.
    #[error("the job ended without a result")]
    Lost,
}

impl From<idembed_metrics::MetricsError> for StudioError {
    fn from(error: idembed_metrics::MetricsError) -> Self {
        StudioError::Metrics(Box::new(error))
    }
}
