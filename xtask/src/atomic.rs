//! Files that appear whole or not at all, with their path in the error.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes `bytes` beside `path`, whose folder exists, then renames the file there.
///
/// # Errors
/// What the system said, with the path; an older file stays as it is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    idembed_files::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}
