//! Free space: asked for before large writes, and explained after one failed.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::BinaryBytes;

use crate::hint::Hinted;

/// One gibibyte.
pub const GIB: u64 = 1 << 30;

/// Refuses to start when the file system of `folder` (which exists) has less than `needed` bytes left.
///
/// # Errors
/// With both sizes and the folder, when there is too little.
pub fn require(folder: &Path, needed: u64, purpose: &str) -> Result<()> {
    let free = free(folder)?;
    if free < needed {
        let [needed, free] = [needed, free].map(BinaryBytes);
        let message = format!("{purpose} needs {needed} free in `{}`, there are {free}", folder.display());
        return Err(Hinted::new(message, "free some space, or clone to a larger disk").into());
    }
    Ok(())
}

/// Adds the hint of a full disk to an error that was caused by one.
pub fn explain(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let full = error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::StorageFull));
    if full {
        let message = format!("the disk that holds `{}` is full", folder.display());
        return error
            .context(Hinted::new(message, "free some space and run the same command again; it goes on where it can"));
    }
    error
}

fn free(folder: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot ask for the free space of `{}`", folder.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_names_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        require(folder.path(), 1, "a test").unwrap();
        let error = require(folder.path(), u64::MAX, "a test").unwrap_err();
        assert!(error.to_string().starts_with("a test needs 16.00 EiB free in"), "{error}");
    }

    #[test]
    fn only_a_full_disk_is_explained_as_one() {
        let full = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull)).context("cannot write");
        assert_eq!(explain(full, Path::new("/x")).to_string(), "the disk that holds `/x` is full");
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::PermissionDenied)).context("cannot write");
        assert_eq!(explain(other, Path::new("/x")).to_string(), "cannot write");
    }
}
