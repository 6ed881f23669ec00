//! The one error type of this crate.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, MetricsError>;

/// What can go wrong between a picture and its scores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Weights or the file beside them cannot be used.
    #[error(transparent)]
    Weights(#[from] idembed_weights::Error),
    /// CLIP refused something.
    #[error(transparent)]
    Clip(#[from] idembed_clip::Error),
    /// A network that looks at faces, or the judge's trunk, refused something.
    #[error(transparent)]
    Face(#[from] idembed_face::FaceError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// What a judge is said to know cannot be.
    #[error("the judge's factors make no sense: {what}")]
    Factors {
        /// What is wrong with them.
        what: String,
    },
    /// A wish that the judge cannot see.
    #[error("the judge knows no {what} `{got}`; it knows: {known}")]
    UnknownWish {
        /// Factor or class.
        what: &'static str,
        /// What was asked for.
        got: String,
        /// Those that are known.
        known: String,
    },
    /// The judge was trained on pictures of one person.
    #[error("the judge sees pictures of one person only; a prompt for two people can have no wishes")]
    WishesOfTwo,
    /// A kind of instrument is missing, or two have one name.
    #[error("cannot score with these instruments: {what}")]
    Instruments {
        /// What is wrong with them.
        what: String,
    },
    /// A picture of a person in which no face is found.
    #[error("no face was found in {which} of `{name}`")]
    NoFace {
        /// The person.
        name: String,
        /// Which picture.
        which: String,
    },
    /// A mask that has not the size of its photo.
    #[error(
        "the mask of the photo of `{name}` is {} x {} pixels, expected {} x {}",
        got.0, got.1, expected.0, expected.1
    )]
    MaskSize {
        /// The person.
        name: String,
        /// Its width and height.
        got: (u32, u32),
        /// Those of the photo.
        expected: (u32, u32),
    },
    /// A score became NaN or infinite.
    #[error("the score `{score}` is not finite")]
    NotFinite {
        /// Which one.
        score: String,
    },
}

impl MetricsError {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            MetricsError::Weights(error) => error.hint(),
            MetricsError::Clip(error) => error.hint(),
            MetricsError::Face(idembed_face::FaceError::CropSize { .. }) => {
                Some("draw in the size that the judge knows, or score without a judge")
            }
            MetricsError::NoFace { .. } => Some("leave the picture out, or take one in which the face is larger"),
            MetricsError::NotFinite { .. } => {
                Some("the person was prepared with other instruments, or weights are damaged")
            }
            _ => None,
        }
    }
}
