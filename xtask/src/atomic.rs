//! Files that appear whole or not at all.
//!
//! `idembed-weights` has the like for the program itself, but needs libtorch.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes `bytes` beside `path`, whose folder exists, then renames the file there.
///
/// # Errors
/// What the system said, with the path; an older file stays as it is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_beside(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

fn write_beside(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".xtask-");
    // Temporary files are private by default; a finished one should be as readable as any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write(&taken, b"text").unwrap_err().to_string().starts_with("cannot write `"));
        assert!(write(&folder.path().join("missing/file"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "only the file and the folder are there");
    }
}
