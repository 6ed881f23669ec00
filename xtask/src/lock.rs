//! One command at a time where two would write the same files.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Holds the lock file `path`, made if it is missing, until the returned file is dropped; says so when it has to wait.
///
/// # Errors
/// When the file cannot be written or locked.
pub fn take(path: &Path) -> Result<File> {
    let context = || format!("cannot lock `{}`", path.display());
    let file = File::create(path).with_context(context)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error).with_context(context),
    }
    eprintln!("another command is at work there; waiting for it (`{}`)", path.display());
    file.lock().with_context(context)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = take(&path).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = take(&path).unwrap();
                sender.send(()).unwrap();
            });
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(receiver.try_recv().is_err(), "the second did not wait");
            drop(first);
            receiver.recv().unwrap();
        });
        assert!(take(&folder.path().join("none/lock")).is_err());
    }
}
