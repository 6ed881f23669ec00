//! The photos of a folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::PhotoError;
use crate::format::{Format, SNIFFED_BYTES};

/// The files of a folder that are pictures which [`Photo::open`](crate::Photo::open) reads, in the order of their names.
///
/// Their content says so, as everywhere here. Folders in it and hidden files are not looked at.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, PhotoError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| PhotoError::Read { path, source }
    };
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        let path = entry.map_err(read(folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() && is_picture(&path).map_err(read(&path))? {
            pictures.push(path);
        }
    }
    pictures.sort();
    Ok(pictures)
}

fn is_picture(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(SNIFFED_BYTES as u64).read_to_end(&mut head)?;
    Ok(matches!(Format::of(&head), Format::Photo(_)))
}
