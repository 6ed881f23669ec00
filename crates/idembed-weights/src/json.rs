//! The JSON files beside weights, which say how large a network is.

use std::path::Path;

use idembed_files::IoError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a JSON file into a wire struct.
///
/// # Errors
/// It cannot be read, is not JSON, or lacks a field.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(IoError::reading(path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

/// Writes a wire struct as a JSON file, whole or not at all.
///
/// # Errors
/// What the system said; then there is no file, or the older one.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    Ok(idembed_files::write(path, &bytes).map_err(IoError::writing(path))?)
}

/// The largest number of channels, layers and the like that a file may ask for: far above any network, far below what
/// overflows.
const LARGEST: i64 = 1 << 20;

/// Refuses counts that no network has, before anything is computed with them.
///
/// # Errors
/// [`Error::Unsupported`] with the first of the `fields` that is not from 1 to some million.
pub fn check_counts<'a>(network: &str, fields: impl IntoIterator<Item = (&'a str, i64)>) -> Result<()> {
    match fields.into_iter().find(|(_, value)| !(1..=LARGEST).contains(value)) {
        None => Ok(()),
        Some((name, value)) => {
            Err(Error::Unsupported(format!("{network}'s configuration: {name} is {value}, expected 1 to {LARGEST}")))
        }
    }
}
