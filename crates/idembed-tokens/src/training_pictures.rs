//! The pictures that are learned from, encoded once, and what every step draws from them.

use std::ops::Range;

use idembed_attention::Mask;
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::noise::with_seed;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::examples::Example;
use crate::objective::Batch;
use crate::{Result, TokensError};

/// Pictures as latents.
#[derive(Debug)]
pub(crate) struct TrainingPictures {
    /// Number of pictures, their mirror images not counted.
    count: i64,
    /// `[count, or twice as many, channels, height, width]`, f32: the pictures and then, if asked for, their mirror images.
    latents: Tensor,
    /// `[as latents, 1, H, W]`, f32.
    masks: Option<Tensor>,
    sha256: String,
}

/// What one step learns from.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) batch: Batch,
    /// For each sample, the number of the picture that it shows.
    pub(crate) pictures: Vec<usize>,
}

impl TrainingPictures {
    /// Encodes pictures: the means of their latents. Masks count where all pictures have one.
    ///
    /// # Errors
    /// No picture, pictures of different sizes, or masks that do not fit.
    pub(crate) fn encode(model: &StableDiffusion, pictures: &[Example], mirror: bool) -> Result<Self> {
        let first = pictures.first().ok_or_else(|| TokensError::Setting {
            what: "number of pictures",
            got: "0".to_owned(),
            expected: "1 or more".to_owned(),
        })?;
        let size = first.image.size();
        let mut hashed = Vec::new();
        let (mut images, mut masks) = (Vec::new(), Vec::new());
        for Example { image, mask, .. } in pictures {
            check_shapes(image, mask.as_ref(), &size)?;
            images.push(image.f_to_kind(Kind::Float)?);
            hashed.extend([Some(image), mask.as_ref()]);
            if let Some(mask) = mask {
                let mask = mask.f_to_kind(Kind::Float)?.f_to_device(model.compute.device)?;
                // Checks the values.
                Mask::new(&mask)?;
                masks.push(mask);
            }
        }
        let masks = match masks.len() == pictures.len() {
            true => Some(with_mirrored(&Tensor::f_cat(&masks, 0)?, mirror)?),
            false => None,
        };
        let latents = encode_latents(model, &with_mirrored(&Tensor::f_cat(&images, 0)?, mirror)?)?;
        Ok(TrainingPictures { count: pictures.len() as i64, latents, masks, sha256: fingerprint(&hashed)? })
    }

    /// Whether all pictures have a mask.
    pub(crate) fn are_masked(&self) -> bool {
        self.masks.is_some()
    }

    /// SHA-256 of pictures and masks.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Everything random of one step: timesteps, noise, which picture each sample shows, and whether mirrored.
    ///
    /// Each timestep is drawn from within a stage, and the stages that are learned take turns ([`stages_of_step`]).
    pub(crate) fn draw(&self, seed: u64, step: usize, samples: usize, timing: &Timing) -> Result<Drawn> {
        let count = samples as i64;
        let mut shape = self.latents.size();
        shape[0] = count;
        let cpu = |kind| (kind, Device::Cpu);
        let (shares, noise, mirrored, which) = with_seed(step_seed(seed, step as u64), || {
            let shares = Tensor::f_rand([count], cpu(Kind::Double))?;
            let noise = Tensor::f_randn(&shape, cpu(Kind::Float))?;
            let mirrored = Tensor::f_randint(2, [count], cpu(Kind::Int64))?;
            Ok((shares, noise, mirrored, Tensor::f_randint(self.count, [count], cpu(Kind::Int64))?))
        })?;
        let learned = stages_of_step(seed, step, samples, timing.learned.len())?;
        let shares = Vec::<f64>::try_from(&shares)?;
        let timesteps = learned.into_iter().zip(shares);
        let timesteps = timesteps.map(|(stage, share)| timing.timestep_within(timing.learned.start + stage, share));
        let device = self.latents.device();
        let has_mirrored = self.latents.size()[0] > self.count;
        let rows = if has_mirrored { which.f_add(&mirrored.f_mul_scalar(self.count)?)? } else { which.shallow_clone() };
        let rows = rows.f_to_device(device)?;
        let batch = Batch {
            latents: self.latents.f_index_select(0, &rows)?,
            noise: noise.f_to_device(device)?,
            timesteps: timesteps.collect(),
            mask: self.masks.as_ref().map(|masks| masks.f_index_select(0, &rows)).transpose()?,
        };
        let pictures = Vec::<i64>::try_from(&which)?.into_iter().map(|picture| picture as usize).collect();
        Ok(Drawn { batch, pictures })
    }
}

/// The means of pictures' latents, f32, without gradient.
///
/// # Shapes
/// - `images`: `[pictures, 3, H, W]` in -1..1
pub(crate) fn encode_latents(model: &StableDiffusion, images: &Tensor) -> Result<Tensor> {
    let latents = tch::no_grad(|| -> Result<Tensor> {
        // One at a time: the autoencoder needs far more memory than what it gives.
        let encoded = (0..images.size()[0]).map(|row| Ok(model.vae.encode(&images.f_narrow(0, row, 1)?)?.mean));
        let encoded: Vec<Tensor> = encoded.collect::<Result<_>>()?;
        Ok(Tensor::f_cat(&encoded, 0)?.f_to_kind(Kind::Float)?)
    })?;
    if latents.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(idembed_diffusion::Error::NotFinite { what: "the picture's latents".to_owned() }.into());
    }
    Ok(latents)
}

/// Fails if a picture has not the shape of the first, or a mask not that of its picture.
fn check_shapes(image: &Tensor, mask: Option<&Tensor>, first: &[i64]) -> Result<()> {
    let [1, 3, height, width] = image.size()[..] else {
        let expected = "[1, 3, height, width]".to_owned();
        return Err(TokensError::Shape { what: "picture", got: image.size(), expected });
    };
    if image.size() != first {
        let expected = format!("{first:?}, as the first");
        return Err(TokensError::Shape { what: "picture", got: image.size(), expected });
    }
    match mask.map(Tensor::size) {
        Some(got) if got != [1, 1, height, width] => {
            let expected = format!("[1, 1, {height}, {width}], as the picture");
            Err(TokensError::Shape { what: "mask", got, expected })
        }
        _ => Ok(()),
    }
}

/// Pictures and, if asked for, their mirror images below them in the batch.
fn with_mirrored(images: &Tensor, mirror: bool) -> Result<Tensor> {
    if !mirror {
        return Ok(images.shallow_clone());
    }
    Ok(Tensor::f_cat(&[images, &images.f_flip([3])?], 0)?)
}

fn fingerprint(tensors: &[Option<&Tensor>]) -> Result<String> {
    let mut hasher = Sha256::new();
    for tensor in tensors {
        let Some(tensor) = tensor else {
            hasher.update("none");
            continue;
        };
        let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut bytes = vec![0; tensor.numel() * size_of::<f32>()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        hasher.update(format!("{:?}", tensor.size()));
        hasher.update(&bytes);
    }
    Ok(hex::encode(hasher.finalize()))
}

/// How a run's timesteps are divided.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    /// Number of stages, at most `train_timesteps`.
    pub(crate) stages: usize,
    /// Those that are trained on.
    pub(crate) learned: Range<usize>,
    /// Number of timesteps.
    pub(crate) train_timesteps: usize,
}

impl Timing {
    /// The timestep of a stage at a `share`, from 0 up to but not 1, of the stage's range.
    fn timestep_within(&self, stage: usize, share: f64) -> i64 {
        // Stage `stages - 1 - i` holds the timesteps with `floor(t * stages / train_timesteps) == i`.
        let index = self.stages - 1 - stage;
        let first = |index: usize| (index * self.train_timesteps).div_ceil(self.stages);
        let (from, to) = (first(index), first(index + 1));
        from as i64 + (share * (to - from) as f64) as i64
    }
}

/// The stages of one step's samples: all samples of a run in a row take one stage after another, each stage once in every
/// round, in an order that is drawn anew for each round.
fn stages_of_step(seed: u64, step: usize, samples: usize, stages: usize) -> Result<Vec<usize>> {
    let mut drawn = Vec::with_capacity(samples);
    let mut known: Option<(usize, Vec<i64>)> = None;
    for sample in step * samples..(step + 1) * samples {
        let (round, place) = (sample / stages, sample % stages);
        let order = match known.take() {
            Some((of, order)) if of == round => order,
            _ => with_seed(step_seed(!seed, round as u64), || {
                Ok(Vec::<i64>::try_from(Tensor::f_randperm(stages as i64, (Kind::Int64, Device::Cpu))?)?)
            })?,
        };
        drawn.push(order[place] as usize);
        known = Some((round, order));
    }
    Ok(drawn)
}

/// A seed for one step: SplitMix64 (Steele, Lea and Flood 2014), so that neighbouring steps and seeds share nothing.
pub(crate) fn step_seed(seed: u64, step: u64) -> u64 {
    split_mix(split_mix(seed).wrapping_add(step))
}

fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_diffusion::conditioning::stage_of;

    use super::*;

    #[test]
    fn every_stage_gets_its_share() {
        for (samples, stages, steps) in [(2, 5, 10), (4, 5, 5), (3, 1, 2), (1, 7, 7), (8, 3, 3)] {
            let mut counts = vec![0; stages];
            let mut first = Vec::new();
            for step in 0..steps {
                let drawn = stages_of_step(7, step, samples, stages).unwrap();
                assert_eq!(drawn, stages_of_step(7, step, samples, stages).unwrap(), "a function of seed and step");
                drawn.iter().for_each(|&stage| counts[stage] += 1);
                first.extend(drawn);
            }
            assert_eq!(counts, vec![steps * samples / stages; stages], "{samples} {stages}");
            for round in first.chunks_exact(stages) {
                let mut round = round.to_vec();
                round.sort_unstable();
                assert_eq!(round, (0..stages).collect::<Vec<_>>());
            }
        }
        let orders = |seed| (0..4).flat_map(|step| stages_of_step(seed, step, 5, 5).unwrap()).collect::<Vec<_>>();
        assert_ne!(orders(0), orders(1));
    }

    #[test]
    fn timesteps_lie_in_their_stage_and_reach_all_of_it() {
        for (stages, train_timesteps) in [(5, 1000), (3, 1000), (7, 1000), (1, 1000), (10, 10), (3, 10)] {
            let timing = Timing { stages, learned: 0..stages, train_timesteps };
            let mut reached = vec![false; train_timesteps];
            for stage in 0..stages {
                for part in 0..4000 {
                    let timestep = timing.timestep_within(stage, f64::from(part) / 4000.0);
                    assert_eq!(stage_of(timestep as f64, stages, train_timesteps), stage);
                    reached[timestep as usize] = true;
                }
                assert!(timing.timestep_within(stage, 1.0 - f64::EPSILON) < train_timesteps as i64);
            }
            assert!(reached.into_iter().all(|seen| seen), "{stages} {train_timesteps}");
        }
    }

    #[test]
    fn the_seeds_are_those_of_splitmix64() {
        // The first outputs of the reference implementation from state 1234567.
        assert_eq!(split_mix(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(1_234_567u64.wrapping_add(0x9e37_79b9_7f4a_7c15)), 3_203_168_211_198_807_973);
        assert_ne!(step_seed(0, 1), step_seed(1, 0));
    }
}
