//! The one error type of this crate.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between CLIP's files and what it makes of a text or a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Weights or a configuration cannot be used.
    #[error(transparent)]
    Weights(#[from] idembed_weights::Error),
    /// A configuration asks for something that this crate does not build.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// The folder has no tokenizer.
    #[error("there is no tokenizer in `{folder}`: it needs vocab.json and merges.txt, or tokenizer.json")]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
    },
    /// The tokenizer's files cannot be used.
    #[error("cannot build the tokenizer: {0}")]
    Tokenizer(String),
    /// Token ids that are not in the text encoder's table.
    #[error("the tokenizer gives token ids from {low} to {high}, but the text encoder knows 0 to {last}")]
    TokenIds {
        /// The lowest id given.
        low: i64,
        /// The highest id given.
        high: i64,
        /// The highest id in the table.
        last: i64,
    },
    /// More layers are to be left out than the text encoder has.
    #[error("{got} layers of the text encoder are to be skipped, expected 0 to {most}")]
    SkippedLayers {
        /// How many are to be skipped.
        got: usize,
        /// How many can be.
        most: usize,
    },
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
    /// A picture without pixels.
    #[error("a picture is {width} x {height} pixels, expected at least one")]
    NoPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// There is nothing to compare.
    #[error("{pictures} pictures and {texts} texts, expected at least one of each")]
    NothingToScore {
        /// Pictures given.
        pictures: usize,
        /// Texts given.
        texts: usize,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Weights(error) => error.hint(),
            _ => None,
        }
    }
}
