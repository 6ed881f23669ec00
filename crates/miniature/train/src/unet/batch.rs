//! What one worker learns from in one step.

use idembed_clip::Tokenizer;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::NoiseSchedule;
use idembed_world::Sample;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::album::{Album, Latents};
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
    pub(crate) fn to_device(&self, device: Device) -> Result<Self> {
        let moved = |tensor: &Tensor| tensor.f_to_device(device);
        Ok(NoisyBatch {
            noisy: moved(&self.noisy)?,
            target: moved(&self.target)?,
            timesteps: moved(&self.timesteps)?,
            weights: moved(&self.weights)?,
            visibility: moved(&self.visibility)?,
            // Checked on the CPU before they go to the device.
            ids: self.ids.shallow_clone(),
            silenced: moved(&self.silenced)?,
            words: self.words.to_device(device)?,
        })
    }
}

/// Signal-to-noise ratios above this weigh no more (arXiv 2303.09556).
const MOST_SNR: f64 = 5.0;

/// Where batches come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) album: &'a Album,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) schedule: &'a NoiseSchedule,
    /// The share of pictures without a caption.
    pub(crate) empty: f64,
    /// How much the noise's error counts where this share of the signal's variance is left.
    pub(crate) weight: fn(f64) -> f64,
}

impl Source<'_> {
    /// Pictures of the album by their numbers, with what `sample` says of them; all noise and choices follow from the seed.
    pub(crate) fn batch(
        &self,
        pictures: &[usize],
        sample: impl Fn(usize) -> Sample,
        timesteps: Option<&[i64]>,
        seed: u64,
    ) -> Result<NoisyBatch> {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let count = pictures.len();
        let drawn = self.timesteps(count, &mut chance);
        let timesteps = timesteps.unwrap_or(&drawn);
        let captions: Vec<Caption> = pictures
            .iter()
            .map(|&picture| Caption::choose(&sample(picture), self.empty, self.tokenizer, &mut chance))
            .collect::<Result<_>>()?;

        let Latents { means, stds, masks } = self.album.pick(pictures)?;
        // libtorch looks at 32 bits of a seed only.
        let draws = Tensor::f_stack(&seeded_noise(chance.random(), &means.size(), 2)?, 0)?;
        let (own, noise) = (draws.f_get(0)?, draws.f_get(1)?);
        let latents = means.f_add(&stds.f_mul(&own)?)?;

        let alphas: Vec<f64> =
            timesteps.iter().map(|&timestep| self.schedule.alphas_cumprod[timestep as usize]).collect();
        let weights: Vec<f32> = alphas.iter().map(|alpha| (self.weight)(*alpha) as f32).collect();
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

    /// One for each picture: from every part of all timesteps one, so that each batch sees early and late ones.
    fn timesteps(&self, count: usize, chance: &mut ChaCha8Rng) -> Vec<i64> {
        let all = self.schedule.train_timesteps;
        let mut of_part = |part: usize| {
            let place = (part as f64 + chance.random::<f64>()) / count as f64;
            ((place * all as f64) as usize).min(all - 1) as i64
        };
        let mut timesteps: Vec<i64> = (0..count).map(&mut of_part).collect();
        // A picture comes at the same place of its batch every time.
        timesteps.shuffle(chance);
        timesteps
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_diffusion::schedulers::SchedulerConfigJson;

    use super::super::album::tests::vae;
    use super::*;
    use crate::tokenizer;

    #[test]
    fn a_batch_holds_noisy_latents_and_what_was_added() {
        let samples: Vec<Sample> = (0..6).map(Sample::training).collect();
        let album = Album::make(&vae(1), &samples).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer::ensure(folder.path()).unwrap();
        let schedule = NoiseSchedule::from_config(&SchedulerConfigJson::default()).unwrap();
        let source =
            Source { album: &album, tokenizer: &tokenizer, schedule: &schedule, empty: 0.1, weight: min_snr_weight };
        let batch = |seed| source.batch(&[5, 1, 2, 0], |index| samples[index].clone(), None, seed).unwrap();
        let (first, again, other) = (batch(7), batch(7), batch(8));
        assert!(first.noisy.equal(&again.noisy) && first.ids.equal(&again.ids));
        assert!(!first.noisy.equal(&other.noisy));
        assert_eq!(first.ids.size(), [5, 77]);

        // Early and late timesteps in each batch, not always in the same order.
        let quarters = |batch: &NoisyBatch| {
            let timesteps = Vec::<f32>::try_from(&batch.timesteps).unwrap();
            timesteps.into_iter().map(|timestep| (timestep / 250.0) as usize).collect::<Vec<_>>()
        };
        let orders: Vec<Vec<usize>> = (0..8).map(|seed| quarters(&batch(seed))).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        assert!(orders.iter().any(|order| *order != orders[0]));

        // Without the noise, the latents of the picture remain.
        let rows: Vec<i64> =
            Vec::<f32>::try_from(&first.timesteps).unwrap().into_iter().map(|timestep| timestep as i64).collect();
        let Latents { means, stds, .. } = album.pick(&[5, 1, 2, 0]).unwrap();
        let zeros = first.target.zeros_like();
        let noise = schedule.add_noise(&zeros, &first.target, &rows).unwrap();
        let signal = &first.noisy - noise;
        let plain = schedule.add_noise(&means, &zeros, &rows).unwrap();
        let spread = schedule.add_noise(&stds, &zeros, &rows).unwrap();
        let off = ((signal - plain).abs() / spread).max().double_value(&[]);
        assert!((1.0..8.0).contains(&off), "a draw around the mean: {off} standard deviations at most");
    }
}
