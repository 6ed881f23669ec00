//! The JSON files of a model folder.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Reads a JSON file into a wire struct.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

/// Writes a wire struct as a JSON file, whole or not at all.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    idembed_files::write(path, &bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

/// The largest number of channels, layers and the like that a file may ask for: far above any network, far below what
/// overflows.
const LARGEST: i64 = 1 << 20;

/// The largest number of resolutions: each halves the sides of the picture.
pub(crate) const MOST_RESOLUTIONS: usize = 16;

/// Refuses counts that no network has, before anything is computed with them.
pub(crate) fn check_counts<'a>(network: &str, fields: impl IntoIterator<Item = (&'a str, i64)>) -> Result<()> {
    match fields.into_iter().find(|(_, value)| !(1..=LARGEST).contains(value)) {
        None => Ok(()),
        Some((name, value)) => {
            let what = format!("{network}'s configuration: {name} is {value}, expected 1 to {LARGEST}");
            Err(Error::Unsupported { what, hint: None })
        }
    }
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
