//! The text beside a photo: the prompt to learn it with.
//!
//! `photo.txt` beside `photo.jpg` says what is in the photo besides the person, who is `{}` in it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use idembed_files::IoError;
use idembed_tokens::template_parts;

use crate::error::{Result, StudioError};

/// What a caption is called behind the photo's name.
const EXTENSION: &str = "txt";

/// The most bytes that are read of a caption, far above what fits into a prompt.
const BYTES: u64 = 1 << 16;

/// The file of a photo's caption, if there is one.
pub fn file_of(photo: &Path) -> Option<PathBuf> {
    Some(photo.with_extension(EXTENSION)).filter(|file| *file != photo && file.is_file())
}

/// Reads a caption, with single spaces between its words.
///
/// # Errors
/// The file cannot be read, or there is not one `{}` in it.
pub fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let reading = File::open(file).and_then(|opened| opened.take(BYTES).read_to_string(&mut text));
    reading.map_err(IoError::reading(file))?;
    let caption = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let of_file = |source| StudioError::Caption { path: file.to_path_buf(), source: Box::new(source) };
    template_parts(&caption).map_err(of_file)?;
    Ok(caption)
}
