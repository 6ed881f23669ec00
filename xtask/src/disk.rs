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

/// Adds a hint to an error that was caused by a disk which takes no more.
pub fn explain(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (state, first) = match kind {
        Some(io::ErrorKind::StorageFull) => ("is full", "free some space"),
        Some(io::ErrorKind::QuotaExceeded) => ("gives you no more room", "free some space"),
        Some(io::ErrorKind::FileTooLarge) => {
            ("takes no file as large as that", "move the folder to a disk (or raise the limit) that does")
        }
        _ => return error,
    };
    let message = format!("the disk that holds `{}` {state}", folder.display());
    error.context(Hinted::new(message, format!("{first} and run the same command again; it goes on where it can")))
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
    fn only_a_disk_that_takes_no_more_is_explained_as_one() {
        for (kind, explained) in [
            (io::ErrorKind::StorageFull, "the disk that holds `/x` is full"),
            (io::ErrorKind::QuotaExceeded, "the disk that holds `/x` gives you no more room"),
            (io::ErrorKind::FileTooLarge, "the disk that holds `/x` takes no file as large as that"),
            (io::ErrorKind::PermissionDenied, "cannot write"),
        ] {
            let error = anyhow::Error::from(io::Error::from(kind)).context("cannot write");
            assert_eq!(explain(error, Path::new("/x")).to_string(), explained);
        }
    }
}
