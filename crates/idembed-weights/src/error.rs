//! The errors of this crate.

use std::path::PathBuf;

/// What can go wrong between a weight file and a tensor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read or mapped.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The index of the shards does not parse.
    #[error("`{path}` is not a valid index of weight files")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The folder has no weight file that could be used.
    #[error("there are no weights in `{folder}`: {what}")]
    NoFile {
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        what: String,
    },
    /// A weight file is damaged or does not hold what the network needs.
    #[error("cannot load `{path}`")]
    Content {
        /// The weight file, or the index of its shards.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: WeightsError,
    },
    /// The device that was asked for is not there.
    #[error("{0}")]
    Device(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// What can be wrong with a weight file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not safetensors, truncated or corrupt.
    #[error("the file is damaged or is not safetensors")]
    Damaged(#[source] safetensors::SafeTensorError),
    /// A tensor that the configuration needs is not there.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// Tensors that no part of the network asked for.
    #[error("tensor `{first}` belongs to no part of the network ({count} such tensors)")]
    Extra {
        /// The first in alphabetical order.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// A tensor of another shape than the configuration says.
    #[error("tensor `{name}` has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Its name in the file.
        name: String,
        /// Its shape in the file.
        got: Vec<i64>,
        /// The shape that the configuration implies.
        expected: Vec<i64>,
    },
    /// A tensor whose numbers are not f32, f16 or bf16.
    #[error("tensor `{name}` has dtype {dtype}, expected F32, F16 or BF16")]
    Dtype {
        /// Its name in the file.
        name: String,
        /// Its dtype in the file.
        dtype: String,
    },
    /// libtorch could not take the tensor.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
