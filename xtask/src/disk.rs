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
    let refusals = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let Some((state, first)) = refusals.filter_map(|refusal| refused(refusal.kind())).next() else { return error };
    let message = format!("the disk that holds `{}` {state}", folder.display());
    error.context(Hinted::new(message, format!("{first} and run the same command again; it goes on where it can")))
}

/// What is with a disk that takes no more, and what helps first; `None` for any other failure.
fn refused(kind: io::ErrorKind) -> Option<(&'static str, &'static str)> {
    match kind {
        io::ErrorKind::StorageFull => Some(("is full", "free some space")),
        io::ErrorKind::QuotaExceeded => Some(("gives you no more room", "free some space")),
        io::ErrorKind::FileTooLarge => {
            Some(("takes no file as large as that", "move the folder to a disk (or raise the limit) that does"))
        }
        _ => None,
    }
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

    #[test]
    fn a_full_disk_is_found_within_another_error_of_the_system() {
        let full = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull)).context("cannot flush");
        let error = anyhow::Error::from(io::Error::other(full)).context("cannot write");
        assert_eq!(explain(error, Path::new("/x")).to_string(), "the disk that holds `/x` is full");
    }
}
