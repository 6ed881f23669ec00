//! Files that appear whole or not at all.
//!
//! Everything in the workspace that writes a result writes it here. This crate never sees what is in a file.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("page.html");
//! idembed_files::write(&path, b"all of it")?;
//! assert_eq!(std::fs::read(&path)?, b"all of it");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

pub use error::IoError;

/// Held for reading by every write.
static WRITING: RwLock<()> = RwLock::new(());

/// Waits until no file is being written by this process, and lets none begin while the guard lives.
///
/// For programs that end at once on request: no temporary file is left behind.
pub fn hold_writes() -> RwLockWriteGuard<'static, ()> {
    WRITING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Fills a temporary file beside `path`, which takes the name once everything is on the disk.
///
/// # Errors
/// What `fill` or the system said (a full disk, a missing folder); then nothing is left behind, and an older file at
/// `path` stays as it is.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let _writing = WRITING.read().unwrap_or_else(PoisonError::into_inner);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".idembed-").suffix(".tmp");
    // Temporary files are private by default; a finished one should be as readable as any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|error| match error.kind() {
        // The name of the temporary file would only confuse.
        ErrorKind::NotFound => Error::new(error.kind(), "there is no such folder"),
        _ => error,
    })?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself must reach the disk too; folders that cannot be synced are let be.
    File::open(folder).and_then(|folder| folder.sync_all()).ok();
    Ok(())
}

/// Writes `bytes` to `path` as [`write_with`] does.
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the file itself is there");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let plain = folder.path().join("plain");
            fs::write(&plain, b"").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&plain));
        }
    }

    #[test]
    fn holding_waits_for_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let slow = path.clone();
        let writer = std::thread::spawn(move || {
            write_with(&slow, |file| {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                file.write_all(b"whole")
            })
        });
        has_begun.recv().unwrap();
        assert!(WRITING.try_write().is_err(), "a file is being written");
        go_on.send(()).unwrap();
        let held = hold_writes();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(WRITING.try_read().is_err(), "no other begins");
        drop(held);
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        write_with(&path, |_| Err(Error::other("disk full"))).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        let error = write(&folder.path().join("missing").join("page.html"), b"").unwrap_err();
        assert_eq!(error.to_string(), "there is no such folder");

        // A folder with something in it cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"").unwrap();
        write(&taken, b"text").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the temporary files are gone");
    }
}
