//! Files that could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// A file or folder that could not be read or written, with what the system said.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// It could not be opened, read or mapped.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It could not be written; what was there before is untouched.
    #[error("cannot write `{path}`")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IoError {
    /// For `map_err`: what went wrong in reading `path`.
    pub fn reading(path: &Path) -> impl Fn(io::Error) -> IoError + Copy + '_ {
        |source| IoError::Read { path: path.to_path_buf(), source }
    }

    /// For `map_err`: what went wrong in writing `path`.
    pub fn writing(path: &Path) -> impl Fn(io::Error) -> IoError + Copy + '_ {
        |source| IoError::Write { path: path.to_path_buf(), source }
    }
}
