//! The photos that an identity is learned from, each with its caption.

use std::path::{Path, PathBuf};

use idembed_face::pictures_in;
use idembed_studio::{ChosenFace, Cut, Size, Subject, captions};
use serde::Serialize;

use crate::failure::Hinted;
use crate::output;

/// A photo to learn from, before it is looked at.
pub(super) struct Shot {
    /// Its file.
    pub(super) path: PathBuf,
    /// The file of its caption, if there is one.
    pub(super) caption: Option<PathBuf>,
}

impl Shot {
    /// The photos that are named, and those in the folders that are, with the captions beside them if these are wanted.
    ///
    /// # Errors
    /// A folder without a picture.
    pub(super) fn all(named: &[PathBuf], with_captions: bool) -> anyhow::Result<Vec<Shot>> {
        let mut paths = Vec::new();
        for path in named {
            if !path.is_dir() {
                paths.push(path.clone());
                continue;
            }
            let pictures = pictures_in(path)?;
            if pictures.is_empty() {
                let message = format!("the folder `{}` holds no picture", path.display());
                return Err(Hinted::new(message, "name photos, or a folder with photos in it").into());
            }
            tracing::info!("`{}`: {} pictures", path.display(), pictures.len());
            paths.extend(pictures);
        }
        let with_caption = |path: PathBuf| {
            let caption = captions::file_of(&path).filter(|_| with_captions);
            Shot { path, caption }
        };
        Ok(paths.into_iter().map(with_caption).collect())
    }

    /// The files that are read.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.caption.as_deref())
    }

    /// The caption: a training prompt. It is said.
    ///
    /// # Errors
    /// Its file cannot be read, or there is not one `{}` in it.
    pub(super) fn read_caption(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.caption else { return Ok(None) };
        let caption = captions::read(file)?;
        tracing::info!("`{}`: learned as `{caption}`", self.path.display());
        Ok(Some(caption))
    }
}

/// A photo with the part that is learned of it.
pub(super) struct FoundShot {
    /// Its file.
    pub(super) path: PathBuf,
    /// Its own training prompt.
    pub(super) caption: Option<String>,
    /// The part.
    pub(super) subject: Subject,
}

/// What reports say about a photo that was learned from.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShotReport {
    photo: String,
    /// Which part of it.
    pub(super) part: String,
    /// The face that was taken, if one was looked for.
    pub(super) face: Option<ChosenFace>,
    caption: Option<String>,
}

impl FoundShot {
    /// The part at the size to learn at. That it is enlarged is said.
    pub(super) fn cut(&self, size: Size) -> anyhow::Result<Cut> {
        let cut = self.subject.at(size)?;
        if let Some((width, height)) = cut.enlarged_from {
            let path = self.path.display();
            tracing::warn!("`{path}`: the part to learn is {width} x {height} pixels and is enlarged to {size}");
        }
        Ok(Cut { caption: self.caption.clone(), ..cut })
    }

    /// What there is to say about it.
    pub(super) fn report(&self) -> ShotReport {
        ShotReport {
            photo: output::shown(&self.path),
            part: self.subject.part(),
            face: self.subject.found().map(ChosenFace::of),
            caption: self.caption.clone(),
        }
    }
}
