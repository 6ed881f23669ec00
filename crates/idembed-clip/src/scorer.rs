//! How well pictures show what a prompt says.

use std::path::Path;

use idembed_weights::Compute;
use image::RgbImage;
use tch::{Kind, Tensor};

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
        Ok(self.image_embeds(pictures)?.f_matmul(&self.text_embeds(texts)?.f_transpose(0, 1)?)?)
    }

    /// Texts as vectors of length 1, to compare them more than once. A text that is too long is cut.
    ///
    /// # Shapes
    /// - returns: `[texts, projection_dim]`, f32
    pub fn text_embeds(&self, texts: &[&str]) -> Result<Tensor> {
        if texts.is_empty() {
            return self.no_embeds();
        }
        self.model.text_embeds(&self.tokenizer.batch(texts)?)
    }

    /// Pictures as vectors of length 1, to compare them more than once.
    ///
    /// # Shapes
    /// - returns: `[pictures, projection_dim]`, f32
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn image_embeds(&self, pictures: &[RgbImage]) -> Result<Tensor> {
        let mut embeds = vec![self.no_embeds()?];
        for pictures in pictures.chunks(BATCH) {
            let pictures: Vec<Tensor> =
                pictures.iter().map(|picture| self.preprocessor.prepare(picture)).collect::<Result<_>>()?;
            embeds.push(self.model.image_embeds(&Tensor::f_stack(&pictures, 0)?)?);
        }
        Ok(Tensor::f_cat(&embeds, 0)?)
    }

    fn no_embeds(&self) -> Result<Tensor> {
        Ok(Tensor::f_zeros([0, self.model.config().projection_dim], (Kind::Float, self.model.compute().device))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn embeddings_alone_and_together_are_the_same_and_none_is_none() {
        let mini = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
        let scorer = ClipScorer::load(&mini.join("clip"), Compute::CPU_F32).unwrap();
        let picture = image::open(mini.join("portraits/person3_a.png")).unwrap().to_rgb8();
        // One more than are looked at together.
        let pictures = vec![picture; BATCH + 1];
        let all = scorer.image_embeds(&pictures).unwrap();
        let one = scorer.image_embeds(&pictures[..1]).unwrap();
        let off = (&all - &one).abs().max().double_value(&[]);
        assert!(all.size() == [BATCH as i64 + 1, one.size()[1]] && off < 1e-5, "{off}");
        let texts = ["a photo of a woman", "a cat"];
        let scores = all.matmul(&scorer.text_embeds(&texts).unwrap().transpose(0, 1));
        assert!((scores - scorer.score(&pictures, &texts).unwrap()).abs().max().double_value(&[]) < 1e-6);
        for none in [scorer.image_embeds(&[]).unwrap(), scorer.text_embeds(&[]).unwrap()] {
            assert_eq!(none.size(), [0, one.size()[1]]);
        }
        assert!(matches!(scorer.score(&[], &texts), Err(Error::NothingToScore { pictures: 0, texts: 2 })));
    }
}
