//! The stamp of a finished installation: a small JSON file written last, so that a cut run is seen as unfinished.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic;

/// Reads a stamp; a missing or unreadable one is none.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Removes a stamp before what it vouches for is changed.
///
/// # Errors
/// When the file is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a stamp beside its place, then renames it there.
///
/// # Errors
/// When the folder cannot be written.
pub fn write<T: Serialize>(path: &Path, stamp: &T) -> Result<()> {
    atomic::write(path, &serde_json::to_vec_pretty(stamp)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_a_broken_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stamp.json");
        assert_eq!(read::<String>(&path), None);
        write(&path, &"2.11.0").unwrap();
        assert_eq!(read::<String>(&path).as_deref(), Some("2.11.0"));
        fs::write(&path, "{").unwrap();
        assert_eq!(read::<String>(&path), None);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read::<String>(&path), None);
    }
}
