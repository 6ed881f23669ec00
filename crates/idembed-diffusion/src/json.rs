//! Reading the JSON files of a model folder.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a JSON file into a wire struct.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

/// A field that holds one number for all blocks, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// The same for every block.
    One(i64),
    /// One for each block, in the order of the down path.
    Many(Vec<i64>),
}

impl OneOrMany {
    /// One number for each of `count` blocks, or `None` if the list has another length.
    pub(crate) fn per_block(&self, count: usize) -> Option<Vec<i64>> {
        match self {
            OneOrMany::One(value) => Some(vec![*value; count]),
            OneOrMany::Many(values) => (values.len() == count).then(|| values.clone()),
        }
    }
}
