//! How well pictures follow the prompts that their files name.

use std::path::{Path, PathBuf};

use idembed_clip::ClipScorer;
use idembed_diffusion::Compute;
use idembed_tokens::replace_identities;
use image::RgbImage;

use crate::error::Result;
use crate::model::{DEFAULT_CLASS, Model};
use crate::picture_file::{self, PictureRecord};
use crate::recognition::drawn_by;
use crate::scoring::clips;

/// A CLIP that compares pictures with their prompts.
#[derive(Debug)]
pub struct PromptFit {
    /// The name it was found under.
    pub name: String,
    clip: ClipScorer,
}

impl PromptFit {
    /// The CLIP of the model that drew the pictures, if one did and has one; or the one that is there; or none.
    ///
    /// # Errors
    /// It is damaged.
    pub fn choose(pictures: &[PathBuf], compute: Compute) -> Result<Option<PromptFit>> {
        let drawn_by = drawn_by(pictures.iter().map(PathBuf::as_path));
        let mut models = drawn_by.iter().map(String::as_str);
        let Some(first) = models.next() else { return Ok(None) };
        // A model that is not here cannot lend its CLIP.
        let model = if models.next().is_none() { Model::find(first).ok() } else { None };
        let first = clips(model.as_ref(), compute)?.into_iter().next();
        Ok(first.map(|(name, clip)| PromptFit { name, clip }))
    }

    /// The cosine of a picture and its prompt, the class word standing for each identity; `None` if its file names no prompt.
    ///
    /// # Errors
    /// libtorch refused an operation.
    pub fn of(&self, path: &Path, picture: &RgbImage) -> Result<Option<f32>> {
        // What is no PNG, or not made here, names none.
        let Some(record) = picture_file::read(path).ok().and_then(|text| text.record) else { return Ok(None) };
        let prompt = with_classes(&record);
        let cosines = self.clip.score(std::slice::from_ref(picture), &[prompt.as_str()])?;
        Ok(Some(cosines.f_double_value(&[0, 0])? as f32))
    }
}

/// The prompt with the class word for each identity.
fn with_classes(record: &PictureRecord) -> String {
    replace_identities(&record.prompt, |name| {
        let identity = record.identities.iter().find(|identity| identity.name == name)?;
        Some(if identity.class.is_empty() { DEFAULT_CLASS.to_owned() } else { identity.class.clone() })
    })
}
