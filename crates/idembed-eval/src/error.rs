//! The one error type of this crate.

use std::path::PathBuf;

use idembed_metrics::MetricsError;
use idembed_studio::StudioError;
use idembed_studio::models::Part;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, EvalError>;

/// What can go wrong in an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Learning or drawing failed.
    #[error(transparent)]
    Studio(Box<StudioError>),
    /// Scoring failed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A photo cannot be read.
    #[error("cannot use the photo `{path}`")]
    Photo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: idembed_face::PhotoError,
    },
    /// Attention could not be recorded or shown.
    #[error(transparent)]
    Attention(#[from] idembed_attention::AttentionError),
    /// The device is not there.
    #[error(transparent)]
    Weights(#[from] idembed_weights::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// There is no protocol of this name.
    #[error("there is no protocol `{wanted}`, neither among {known} nor as a file")]
    NoProtocol {
        /// What was asked for.
        wanted: String,
        /// Those that come with the program.
        known: String,
    },
    /// A file is no protocol.
    #[error("the protocol `{name}` cannot be used: {what}")]
    Protocol {
        /// Its name, or its file.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A label says nothing that can be learned.
    #[error("the method `{label}` is not known: {what}")]
    Variant {
        /// The label.
        label: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is nobody to learn.
    #[error("there is nobody to learn: {what}")]
    NoPeople {
        /// Where people were looked for.
        what: String,
    },
    /// The folder holds another evaluation.
    #[error("`{path}` holds an evaluation with other settings: {what} differs")]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// The first setting that differs.
        what: String,
    },
    /// A file of an evaluation was changed by somebody else.
    #[error("`{path}` is no file of an evaluation: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl From<StudioError> for EvalError {
    fn from(error: StudioError) -> Self {
        EvalError::Studio(Box::new(error))
    }
}

impl EvalError {
    /// The error with its causes and a remedy, where one is known, a line each.
    pub fn in_words(error: &EvalError) -> String {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            text += &format!("\n  {source}");
            cause = source.source();
        }
        let hint = match error {
            EvalError::Metrics(error) => error.hint(),
            EvalError::Studio(error) => match **error {
                StudioError::Missing { part: Part::Detector } => Some("`cargo xtask setup` fetches it"),
                StudioError::Missing { part: Part::Recogniser } => Some("`cargo xtask download dlib-face` fetches one"),
                StudioError::Missing { part: Part::Clip } => Some("`cargo xtask download clip-vit-b-32` fetches it"),
                _ => None,
            },
            EvalError::NoPeople { .. } => Some("give --people DIR, a folder with a folder of photos for each person"),
            EvalError::OtherRun { .. } => Some("give another folder with --out, or the settings of that evaluation"),
            _ => None,
        };
        text + &hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default()
    }
}
