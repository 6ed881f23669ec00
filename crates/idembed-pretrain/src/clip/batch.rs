//! Pictures with a caption each.

use idembed_diffusion::clip::Tokenizer;
use idembed_world::{SIDE, Sample, draw};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::degrade::degrade;
use crate::pixels::to_planes;
use crate::{Result, captions, seeds};

/// A share of a step.
#[derive(Debug)]
pub struct CaptionedBatch {
    /// `[batch, 3, SIDE, SIDE]`, bytes.
    pub(super) pixels: Tensor,
    /// `[batch, tokens]`, as many as the longest caption has.
    pub(super) ids: Tensor,
    /// `[batch, tokens]`: 1 for the tokens between start and end, else 0.
    pub(super) words: Tensor,
}

impl CaptionedBatch {
    /// The pictures of a run from `first` on.
    pub(super) fn draw(run: u64, first: u64, count: usize, tokenizer: &Tokenizer) -> Result<Self> {
        let (mut pixels, mut texts) = (Vec::new(), Vec::new());
        for index in first..first + count as u64 {
            let seed = seeds::training(run, index);
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let mut drawn = draw(&Sample::training(seed), SIDE)?;
            texts.push(captions::choose(&drawn.truth.captions, &mut chance).to_owned());
            // It is to judge pictures that come out of an autoencoder.
            degrade(&mut drawn.picture, &mut chance);
            pixels.extend_from_slice(drawn.picture.as_raw());
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ids = tokenizer.batch(&texts)?;
        Ok(CaptionedBatch {
            pixels: to_planes(&pixels, count as i64, SIDE.into())?,
            // Padding is the end token once more, and no caption holds a start token.
            words: ids.f_lt(tokenizer.bos())?.f_to_kind(Kind::Float)?,
            ids,
        })
    }
}
