//! The one error type of this crate.

/// What a listener, a map or a mask can be wrong about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// A tensor has the wrong shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape it has.
        got: Vec<i64>,
        /// The shape it should have, in words.
        expected: String,
    },
    /// A layer was observed that the listener was not made for.
    #[error("cross-attention layer {index} was observed, but the listener was made for {layers} layers")]
    UnknownLayer {
        /// Index of the observed layer.
        index: usize,
        /// Number of layers that the listener knows.
        layers: usize,
    },
    /// A layer was observed twice by a listener that serves one forward pass.
    #[error("cross-attention layer {index} was observed twice; make a new loss for each forward pass")]
    SeenTwice {
        /// Index of the layer.
        index: usize,
    },
    /// The forward pass ended before every wanted layer was observed.
    #[error("{seen} of {wanted} wanted cross-attention layers were observed")]
    Incomplete {
        /// Layers observed.
        seen: usize,
        /// Layers wanted.
        wanted: usize,
    },
    /// A token position lies outside the prompt.
    #[error("token position {position} lies outside the prompt of {tokens} tokens")]
    Position {
        /// The position.
        position: i64,
        /// Number of tokens.
        tokens: i64,
    },
    /// A tensor holds NaN, infinity, or values outside its range.
    #[error("{what} holds values that are not {expected}")]
    Values {
        /// Which tensor.
        what: &'static str,
        /// What its values should be.
        expected: &'static str,
    },
    /// A mask that covers nothing.
    #[error("mask {index} of the batch is empty: no pixel belongs to the face")]
    EmptyMask {
        /// Which mask of the batch, from 0.
        index: usize,
    },
    /// Nothing was recorded for the asked word, layer or stage.
    #[error("nothing was recorded for {0}")]
    NotRecorded(String),
    /// A setting is out of range or cannot be read.
    #[error("{0}")]
    Setting(String),
    /// The diffusion crate refused an operation.
    #[error(transparent)]
    Diffusion(#[from] idembed_diffusion::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl From<AttentionError> for idembed_diffusion::Error {
    fn from(error: AttentionError) -> Self {
        match error {
            AttentionError::Diffusion(error) => error,
            AttentionError::Torch(error) => idembed_diffusion::Error::Torch(error),
            other => idembed_diffusion::Error::Hook(Box::new(other)),
        }
    }
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, AttentionError>;
