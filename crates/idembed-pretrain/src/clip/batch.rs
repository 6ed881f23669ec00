//! Pictures with a caption each.

use idembed_diffusion::clip::Tokenizer;
use idembed_world::{Captions, SIDE, Sample, draw};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::pixels::to_planes;
use crate::{Result, seeds};

/// The share of short captions: they are what people write, but several pictures of a batch may fit one of them.
const BRIEF: f64 = 0.4;

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
            let drawn = draw(&Sample::training(seed), SIDE)?;
            pixels.extend_from_slice(drawn.picture.as_raw());
            texts.push(choose(drawn.truth.captions, &mut ChaCha8Rng::seed_from_u64(seed)));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ids = tokenizer.batch(&texts)?;
        Ok(CaptionedBatch {
            pixels: to_planes(&pixels, count as i64, SIDE.into())?,
            // Padding is the end token once more, and no caption holds a start token.
            words: ids.f_lt(tokenizer.bos())?.f_to_kind(tch::Kind::Float)?,
            ids,
        })
    }
}

/// One of a picture's captions.
fn choose(captions: Captions, chance: &mut ChaCha8Rng) -> String {
    let Captions { main, complete, mut brief } = captions;
    let mut among = if chance.random_bool(BRIEF) && !brief.is_empty() {
        std::mem::take(&mut brief)
    } else {
        [complete, vec![main]].concat()
    };
    among.swap_remove(chance.random_range(0..among.len()))
}
