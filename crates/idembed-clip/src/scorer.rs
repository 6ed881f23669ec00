//! How well pictures show what a prompt says.

use std::path::Path;

use idembed_weights::Compute;
use image::RgbImage;
use tch::Tensor;

use crate::{ClipModel, ClipPreprocessor, Error, Result, Tokenizer};

/// Pictures that are looked at together.
const BATCH: usize = 32;

/// A CLIP with all that stands between it and texts and pictures.
#[derive(Debug)]
pub struct ClipScorer {
    model: ClipModel,
    tokenizer: Tokenizer,
    preprocessor: ClipPreprocessor,
}

impl ClipScorer {
    /// Loads a CLIP's folder as `transformers` writes it: the network, the tokenizer, and how pictures are prepared.
    ///
    /// # Errors
    /// Unreadable files, or such as do not fit together.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let model = ClipModel::load(folder, compute)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        let positions = model.config().text.max_positions;
        if tokenizer.max_length() as i64 > positions {
            let what = format!("the tokenizer makes {} tokens, CLIP has {positions} positions", tokenizer.max_length());
            return Err(Error::Unsupported(what));
        }
        let image_size = model.config().vision.image_size;
        let preprocessor = ClipPreprocessor::read(&folder.join("preprocessor_config.json"), image_size)?;
        Ok(ClipScorer { model, tokenizer, preprocessor })
    }

    /// The cosine of each picture and each text: about 0.3 for a good match in OpenAI's CLIP, and in any CLIP only to be
    /// compared with its own. A text that is too long is cut.
    ///
    /// # Shapes
    /// - returns: `[pictures, texts]`, f32
    ///
    /// # Errors
    /// No picture or no text, or a picture without pixels.
    pub fn score(&self, pictures: &[RgbImage], texts: &[&str]) -> Result<Tensor> {
        if pictures.is_empty() || texts.is_empty() {
            let (pictures, texts) = (pictures.len(), texts.len());
            return Err(Error::NothingToScore { pictures, texts });
        }
        let texts = self.model.text_embeds(&self.tokenizer.batch(texts)?)?;
        let mut embeds = Vec::new();
        for pictures in pictures.chunks(BATCH) {
            let pictures: Vec<Tensor> =
                pictures.iter().map(|picture| self.preprocessor.prepare(picture)).collect::<Result<_>>()?;
            embeds.push(self.model.image_embeds(&Tensor::f_stack(&pictures, 0)?)?);
        }
        Ok(Tensor::f_cat(&embeds, 0)?.f_matmul(&texts.f_transpose(0, 1)?)?)
    }
}
