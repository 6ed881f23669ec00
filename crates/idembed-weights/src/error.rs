//! The errors of this crate.

use std::ops::Range;
use std::path::PathBuf;

use crate::source::Source;

/// What can go wrong between a weight file and a tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Io(#[from] idembed_files::IoError),
    /// A file of tensors was read but is not what it should be.
    #[error("`{path}` is not a usable {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be, such as an identity file or a checkpoint.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: FileError,
    },
    /// A configuration or the index of the shards does not parse, or lacks a field.
    #[error("`{path}` is not a valid configuration")]
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
    /// The weights are there as a pickle only, which can run programs and is therefore not read.
    #[error("the weights in `{folder}` are pickled (`{file}`), and pickles are not read")]
    Pickled {
        /// The folder.
        folder: PathBuf,
        /// The pickle, or the index of its shards.
        file: String,
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
    /// A configuration asks for a network of a size that there is not.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// A weight file was written to while its numbers were being used.
    #[error("`{path}` was changed while it was in use")]
    Changed {
        /// The weight file, or the shard.
        path: PathBuf,
    },
    /// Parameters in memory are not what the network needs.
    #[error("the parameters do not fit")]
    Parameters(#[source] WeightsError),
    /// The device that was asked for is not there.
    #[error("{0}")]
    Device(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Content { source, .. } => source.hint(),
            Error::Changed { .. } => Some("run the command again, and let nothing change the model's files meanwhile"),
            _ => None,
        }
    }
}

/// What can be wrong with a weight file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A tensor of another number of dimensions than every network of its kind has.
    #[error("tensor `{name}` has shape {got:?}, expected {expected} dimensions")]
    Dimensions {
        /// Its name in the file.
        name: String,
        /// Its shape in the file.
        got: Vec<i64>,
        /// How many dimensions it should have.
        expected: usize,
    },
    /// A table of names takes other rows of a tensor than it has.
    #[error("tensor `{name}` has {got} rows, but its other names stand for rows {named:?}")]
    Rows {
        /// Its name in the file.
        name: String,
        /// How many rows it has.
        got: i64,
        /// The rows that the table takes.
        named: Vec<Range<i64>>,
    },
    /// Tensors that hold nothing.
    #[error("all numbers of `{first}` and the other tensors of the network ({count} in all) are 0")]
    Zero {
        /// The first of them.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// A change of a tensor that is not there.
    #[error("there is no tensor `{0}` to change")]
    NothingToChange(String),
    /// A change of a tensor that cannot be added to it.
    #[error("the change of tensor `{name}` has shape {got}, expected {expected:?}")]
    Delta {
        /// The tensor.
        name: String,
        /// The shape of the change, or those of its factors.
        got: String,
        /// The shape of the tensor.
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

impl WeightsError {
    /// The error about the file of a source, or about parameters in memory.
    pub(crate) fn in_source(self, source: &dyn Source) -> Error {
        match source.path() {
            Some(path) => Error::Content { path: path.to_path_buf(), source: self },
            None => Error::Parameters(self),
        }
    }

    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            WeightsError::Damaged(_) => {
                Some("the file may be cut short; fetch it again (pickled .bin and .ckpt files are not read)")
            }
            WeightsError::Zero { .. } => Some("the file was made but never filled; fetch it, or convert it, again"),
            _ => None,
        }
    }
}

/// Fails if the tensor `name` has another shape than it should.
pub(crate) fn check_shape(name: &str, got: &[i64], expected: &[i64]) -> std::result::Result<(), WeightsError> {
    if got == expected {
        return Ok(());
    }
    Err(WeightsError::Shape { name: name.to_owned(), got: got.to_vec(), expected: expected.to_vec() })
}

/// What can be wrong with a file of named tensors and metadata, such as an identity or a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Not safetensors, truncated or corrupt.
    #[error("the file is damaged or is not safetensors")]
    Damaged(#[source] safetensors::SafeTensorError),
    /// Far larger than such a file can be.
    #[error("the file has {got} bytes, expected at most {limit}")]
    TooLarge {
        /// Its size.
        got: u64,
        /// The most that is read.
        limit: u64,
    },
    /// It says it is something else, or a later version.
    #[error("its format is `{got}`, expected `{expected}`")]
    Format {
        /// What the file says.
        got: String,
        /// What this program reads.
        expected: &'static str,
    },
    /// A tensor is not there.
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// A tensor has the wrong shape.
    #[error("tensor `{name}` has shape {got:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        got: Vec<i64>,
        /// The shape it should have, in words.
        expected: String,
    },
    /// A tensor has the wrong number format.
    #[error("tensor `{name}` has dtype {got}, expected {expected}")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its number format.
        got: String,
        /// The number format it should have.
        expected: &'static str,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor `{0}` holds NaN or infinity")]
    NotFinite(String),
    /// A metadata entry is not there.
    #[error("the metadata lack `{0}`")]
    MissingKey(&'static str),
    /// A metadata entry cannot be understood.
    #[error("the metadata say {key} = `{got}`, expected {expected}")]
    Value {
        /// The entry.
        key: &'static str,
        /// What it holds.
        got: String,
        /// What it should hold, in words.
        expected: String,
    },
    /// libtorch could not take a tensor.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
