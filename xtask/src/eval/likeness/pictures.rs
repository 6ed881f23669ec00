//! Which files of a folder are pictures to evaluate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::hint::Hinted;

/// The endings of picture files, in small letters.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// The pictures in a folder, not hidden and not in folders below it, in the order of their names. The photo itself is
/// left out: it is always like itself.
///
/// # Errors
/// When the folder cannot be read, or no picture is in it.
pub(crate) fn list(folder: &Path, photo: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read the folder `{}`", folder.display());
    let photo = fs::canonicalize(photo).ok();
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if !is_picture(&path) {
            continue;
        }
        if photo.is_some() && fs::canonicalize(&path).ok() == photo {
            eprintln!("`{}` is the photo itself, so it is left out", path.display());
            continue;
        }
        pictures.push(path);
    }
    if pictures.is_empty() {
        let hint = "pictures end in .png, .jpg, .jpeg or .webp; folders inside it are not searched";
        return Err(Hinted::new(format!("there is no picture to evaluate in `{}`", folder.display()), hint).into());
    }
    pictures.sort();
    Ok(pictures)
}

fn is_picture(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    // What cannot be looked at, such as a broken link, is left to the program: it says why.
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) && !is_hidden && !path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pictures: &[PathBuf]) -> Vec<String> {
        pictures.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn pictures_are_found_by_their_endings_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.webp", "a.PNG", "10.jpg", "2.jpeg", ".hidden.png", "notes.txt", "png", "c.png.part"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("below.png")).unwrap();
        fs::write(folder.path().join("below.png/d.png"), "").unwrap();
        let pictures = list(folder.path(), Path::new("elsewhere.png")).unwrap();
        assert_eq!(names(&pictures), ["10.jpg", "2.jpeg", "a.PNG", "b.webp"]);
        let without_photo = list(folder.path(), &folder.path().join("below.png/../a.PNG")).unwrap();
        assert_eq!(names(&without_photo), ["10.jpg", "2.jpeg", "b.webp"]);
    }

    #[test]
    fn a_folder_without_pictures_is_an_error_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        let error = list(folder.path(), Path::new("photo.png")).unwrap_err();
        let text = crate::hint::render(&error);
        assert!(text.starts_with("error: there is no picture to evaluate in `") && text.contains("\nhint: "), "{text}");
        let missing = list(&folder.path().join("missing"), Path::new("photo.png")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read the folder `"), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_link_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a.png")).unwrap();
        assert_eq!(names(&list(folder.path(), Path::new("nowhere")).unwrap()), ["a.png"]);
    }
}
