//! The people to learn: those that a model brings, or a folder with a folder of photos for each.

use std::path::{Path, PathBuf};

use idembed_face::Photo;
use idembed_studio::settings::PersonSettings;
use idembed_studio::{Cut, Frame, MaskChoice, Model, Size, Subject, SubjectChoice, captions};
use idembed_tokens::is_identity_name;
use idembed_weights::Compute;
use image::RgbImage;

use crate::{EvalError, Result};

/// Somebody to learn.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What to call them; letters, digits, `-` and `_`.
    pub name: String,
    photo: PathBuf,
    caption: Option<PathBuf>,
    choice: SubjectChoice,
    others: Vec<PathBuf>,
}

/// What is learned of somebody, and what pictures of them are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Portrait {
    /// The part of the photo to learn from.
    pub(crate) cut: Cut,
    /// Other pictures.
    pub(crate) others: Vec<RgbImage>,
}

impl Candidate {
    /// Those that a model brings.
    ///
    /// # Errors
    /// It brings none.
    pub fn of_model(model: &Model) -> Result<Vec<Candidate>> {
        let candidate = |person: &PersonSettings| {
            let below = |path: &PathBuf| model.folder.join(path);
            let mask = person.mask.as_ref().map(below).map(MaskChoice::File);
            Candidate {
                name: person.name.clone(),
                photo: below(&person.photo),
                caption: None,
                choice: SubjectChoice { frame: Frame::Centre, mask },
                others: person.others.iter().map(below).collect(),
            }
        };
        let people: Vec<Candidate> = model.settings.evaluation.people.iter().map(candidate).collect();
        if people.is_empty() {
            return Err(EvalError::NoPeople { what: format!("the model `{}` brings no portraits", model.name) });
        }
        Ok(people)
    }

    /// Those of a folder: each folder in it is a person; its first photo by name is learned from, with the caption beside it if
    /// there is one, and the others are compared with.
    ///
    /// # Errors
    /// It cannot be read, or there is nobody in it.
    pub fn of_folder(folder: &Path) -> Result<Vec<Candidate>> {
        let mut people = Vec::new();
        for own in sorted(folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let photos = idembed_face::pictures_in(&own);
            let mut photos = photos.map_err(|source| EvalError::Photo { path: own.clone(), source })?.into_iter();
            let Some(photo) = photos.next() else { continue };
            if !is_identity_name(&name) {
                let what = format!("the folder `{name}` cannot name a person: letters, digits, - and _ are allowed");
                return Err(EvalError::NoPeople { what });
            }
            let (caption, choice) = (captions::file_of(&photo), SubjectChoice::default());
            people.push(Candidate { name, photo, caption, choice, others: photos.collect() });
        }
        if people.is_empty() {
            let what = format!("`{}` has no folder with photos in it", folder.display());
            return Err(EvalError::NoPeople { what });
        }
        Ok(people)
    }

    /// Reads the pictures, and cuts the part to learn at this size.
    ///
    /// # Errors
    /// A picture cannot be read, or there is no face.
    pub(crate) fn open(&self, size: Size, compute: Compute) -> Result<Portrait> {
        let read = |path: &PathBuf| Photo::open(path).map_err(|source| EvalError::Photo { path: path.clone(), source });
        let caption = self.caption.as_deref().map(captions::read).transpose()?;
        let cut = Subject::find(read(&self.photo)?, &self.choice, compute)?.at(size)?;
        let others = self.others.iter().map(|path| Ok(read(path)?.pixels)).collect::<Result<_>>()?;
        Ok(Portrait { cut: Cut { caption, ..cut }, others })
    }
}

/// What is in a folder, by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(idembed_files::IoError::reading(folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_a_person() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content: &[u8] = if name.ends_with("txt") { b"no picture" } else { b"\x89PNG\r\n\x1a\n" };
            std::fs::write(path, content).unwrap();
        };
        assert!(matches!(Candidate::of_folder(folder.path()), Err(EvalError::NoPeople { .. })));
        let _ = ["berta/2.jpg", "berta/1", "berta/notes.txt", "anna/a.webp", "empty/notes.txt", "alone.png"].map(put);
        let people = Candidate::of_folder(folder.path()).unwrap();
        let names: Vec<_> = people.iter().map(|person| (person.name.as_str(), person.others.len())).collect();
        assert_eq!(names, [("anna", 0), ("berta", 1)]);
        assert_eq!(people[0].caption, None);
        assert!(people[1].photo.ends_with("berta/1"));
        put("anna/a.txt");
        let people = Candidate::of_folder(folder.path()).unwrap();
        assert!(people[0].caption.as_ref().is_some_and(|caption| caption.ends_with("anna/a.txt")));
        put("two words/1.png");
        assert!(Candidate::of_folder(folder.path()).unwrap_err().to_string().contains("two words"));
        assert!(matches!(Candidate::of_folder(&folder.path().join("nothing")), Err(EvalError::Io(_))));
    }
}
