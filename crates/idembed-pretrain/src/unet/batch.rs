//! What one worker learns from in one step.

use idembed_diffusion::clip::Tokenizer;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::NoiseSchedule;
use idembed_world::Sample;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::album::{Album, Pages};
use super::caption::Caption;
use super::grounding::PlacedWords;
use crate::Result;

/// The share of captions whose end and padding say nothing: what they would say must come from the words.
const WORDS_ALONE: f64 = 0.25;

/// Noisy latents with captions. All numbers are f32 but for the ids.
#[derive(Debug)]
pub struct NoisyBatch {
    /// `[batch, channels, height, width]`.
    pub noisy: Tensor,
    /// What is to be predicted, likewise.
    pub target: Tensor,
    /// `[batch]`.
    pub timesteps: Tensor,
    /// How much each picture's noise counts, `[batch]`.
    pub weights: Tensor,
    /// How much of each picture can still be seen, `[batch]`, 0 to 1: its words' places count as much.
    pub visibility: Tensor,
    /// Token ids, `[batch + 1, tokens]`; the last row is the empty caption.
    pub ids: Tensor,
    /// Ones where the states of the empty caption are to stand instead of the caption's own, `[batch, tokens, 1]`.
    pub silenced: Tensor,
    /// The words whose places are known.
    pub words: PlacedWords,
}

impl NoisyBatch {
    pub(super) fn to_device(&self, device: Device) -> Result<Self> {
        let moved = |tensor: &Tensor| tensor.f_to_device(device);
        Ok(NoisyBatch {
            noisy: moved(&self.noisy)?,
            target: moved(&self.target)?,
            timesteps: moved(&self.timesteps)?,
            weights: moved(&self.weights)?,
            visibility: moved(&self.visibility)?,
            ids: moved(&self.ids)?,
            silenced: moved(&self.silenced)?,
            words: self.words.to_device(device)?,
        })
    }
}

/// Signal-to-noise ratios above this weigh no more (arXiv 2303.09556).
const MOST_SNR: f64 = 5.0;

/// Where batches come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) album: &'a Album,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) schedule: &'a NoiseSchedule,
}

impl Source<'_> {
    /// Pictures of the album by their numbers, with what `sample` says of them; all noise and choices follow from the seed.
    pub(super) fn batch(
        &self,
        pictures: &[usize],
        sample: impl Fn(usize) -> Sample,
        timesteps: Option<&[i64]>,
        seed: u64,
    ) -> Result<NoisyBatch> {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let count = pictures.len();
        let drawn: Vec<i64> = (0..count).map(|row| self.timestep(row, count, &mut chance)).collect();
        let timesteps = timesteps.unwrap_or(&drawn);
        let captions: Vec<Caption> = pictures
            .iter()
            .map(|&picture| Caption::choose(&sample(picture), self.tokenizer, &mut chance))
            .collect::<Result<_>>()?;

        let Pages { means, stds, masks } = self.album.pick(pictures)?;
        let [own, noise]: [Tensor; 2] =
            seeded_noise(seed, &means.size(), 2)?.try_into().map_err(|_| crate::PretrainError::ThreadEnded)?;
        let latents = means.f_add(&stds.f_mul(&own)?)?;

        let alphas: Vec<f64> =
            timesteps.iter().map(|&timestep| self.schedule.alphas_cumprod[timestep as usize]).collect();
        let weights: Vec<f32> = alphas.iter().map(|alpha| min_snr_weight(*alpha) as f32).collect();
        let visibility: Vec<f32> = alphas.iter().map(|alpha| alpha.sqrt() as f32).collect();

        let length = self.tokenizer.max_length();
        let empty = self.tokenizer.encode("")?;
        let ids: Vec<i64> =
            captions.iter().map(|caption| &caption.encoding).chain([&empty]).flat_map(|e| e.ids.clone()).collect();
        let mut silenced = vec![0.0f32; count * length];
        for (row, caption) in captions.iter().enumerate() {
            if chance.random_bool(WORDS_ALONE) {
                silenced[row * length + caption.encoding.text_tokens + 1..(row + 1) * length].fill(1.0);
            }
        }
        Ok(NoisyBatch {
            noisy: self.schedule.add_noise(&latents, &noise, timesteps)?,
            target: self.schedule.training_target(&latents, &noise, timesteps)?,
            timesteps: Tensor::f_from_slice(timesteps)?.f_to_kind(Kind::Float)?,
            weights: Tensor::f_from_slice(&weights)?,
            visibility: Tensor::f_from_slice(&visibility)?,
            ids: Tensor::f_from_slice(&ids)?.f_view([count as i64 + 1, length as i64])?,
            silenced: Tensor::f_from_slice(&silenced)?.f_view([count as i64, length as i64, 1])?,
            words: PlacedWords::of(&captions, &masks, length as i64)?,
        })
    }

    /// One for each picture, from its own part of all timesteps, so that every batch sees early and late ones.
    fn timestep(&self, row: usize, of: usize, chance: &mut ChaCha8Rng) -> i64 {
        let all = self.schedule.train_timesteps;
        let place = (row as f64 + chance.random::<f64>()) / of as f64;
        ((place * all as f64) as usize).min(all - 1) as i64
    }
}

/// The weight of the noise prediction's error where this share of the signal's variance is left: `min(snr, 5) / snr`.
///
/// # Source
/// arXiv 2303.09556, section 3.4.
pub fn min_snr_weight(alpha: f64) -> f64 {
    let snr = alpha / (1.0 - alpha).max(1e-12);
    snr.min(MOST_SNR) / snr
}
