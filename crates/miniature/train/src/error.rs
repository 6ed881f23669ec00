//! The one error type of this crate.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, PretrainError>;

/// What can go wrong between an empty folder and a trained network.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// A network refused something.
    #[error(transparent)]
    Diffusion(#[from] idembed_diffusion::Error),
    /// CLIP refused something.
    #[error(transparent)]
    Clip(#[from] idembed_clip::Error),
    /// A network for faces refused something.
    #[error(transparent)]
    Face(#[from] idembed_face::FaceError),
    /// The judge refused something.
    #[error(transparent)]
    Metrics(#[from] idembed_metrics::MetricsError),
    /// Parameters, or a file of them, are not what they should be.
    #[error(transparent)]
    Weights(#[from] idembed_weights::Error),
    /// Learning or drawing a person failed.
    #[error(transparent)]
    Studio(Box<idembed_studio::StudioError>),
    /// The world refused to draw.
    #[error(transparent)]
    World(#[from] idembed_world::SideError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// What an earlier stage makes is not there.
    #[error("cannot read `{path}`, which the stage `{stage}` makes")]
    Earlier {
        /// The stage.
        stage: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that comes with this crate is not what it should be.
    #[error("the configuration of a network")]
    Json(#[from] serde_json::Error),
    /// The user wished to stop before the training had begun.
    #[error("stopped before the training began")]
    Stopped,
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
    /// A checkpoint belongs to a run with other settings.
    #[error("the checkpoint `{path}` was made with {what} {got}, this run has {expected}")]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// Which setting differs.
        what: String,
        /// Its value in the checkpoint.
        got: String,
        /// Its value in this run.
        expected: String,
    },
    /// A loss or a gradient became NaN or infinite. The last checkpoint is from before that.
    #[error("{what} is not finite at step {step}")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// The step, counted from 1.
        step: usize,
    },
    /// A thread of the training ended before its time.
    #[error("a thread of the training ended too soon")]
    ThreadEnded,
}

impl From<idembed_studio::StudioError> for PretrainError {
    fn from(error: idembed_studio::StudioError) -> Self {
        PretrainError::Studio(Box::new(error))
    }
}

impl PretrainError {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PretrainError::OtherRun { .. } => {
                Some("go on with the settings of that run, or begin another one with --out")
            }
            PretrainError::NotFinite { .. } => Some("the checkpoint is from before; try a lower learning rate"),
            PretrainError::Earlier { .. } => Some("train the stages in their order; `--stage all` does"),
            PretrainError::Stopped => Some("the same command goes on from what was made until now"),
            _ => None,
        }
    }
}
