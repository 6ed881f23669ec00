//! How much noise each training timestep holds.
//!
//! Computed with libtorch in f32 exactly as diffusers' `DDPMScheduler` and its relatives do: `1 - alphas_cumprod` and
//! logarithms of it cancel, so that better numbers would be other numbers.

use std::f64::consts::FRAC_PI_2;

use tch::{Device, Kind, Tensor};

use super::config::{PredictionType, SchedulerConfigJson, choose, unsupported};
use crate::{Error, Result};

/// More training timesteps than any model has; bounds the memory that a file can ask for.
const MAX_TRAIN_TIMESTEPS: i64 = 1_000_000;

/// The forward process of a diffusion model: `sqrt(alphas_cumprod[t]) x + sqrt(1 - alphas_cumprod[t]) noise`.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    /// The variance of the noise added at each timestep (f32 values).
    pub betas: Vec<f64>,
    /// The share of the signal's variance left at each timestep (f32 values). Falls from near 1 to near 0; the last one
    /// is exactly 0 under `rescale_betas_zero_snr`.
    pub alphas_cumprod: Vec<f64>,
    /// The number of timesteps in training.
    pub train_timesteps: usize,
    /// What the U-Net predicts.
    pub prediction_type: PredictionType,
}

#[derive(Clone, Copy)]
enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredCosine,
}

impl NoiseSchedule {
    /// Computes the schedule of a `scheduler_config.json`.
    ///
    /// The defaults of the fields read here are the same in all of diffusers' classes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names a field whose value is not supported or gives no valid schedule.
    pub fn from_config(config: &SchedulerConfigJson) -> Result<Self> {
        let prediction_type = PredictionType::resolve(config)?;
        let train_timesteps = config.num_train_timesteps.unwrap_or(1000);
        if !(1..=MAX_TRAIN_TIMESTEPS).contains(&train_timesteps) {
            let expected = format!("1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(unsupported("num_train_timesteps", train_timesteps, &expected));
        }
        let zero_snr = config.rescale_betas_zero_snr == Some(true);
        let mut betas = betas(config, train_timesteps)?;
        if zero_snr {
            betas = rescale_zero_terminal_snr(&betas)?;
        }
        let alphas_cumprod = to_f64(&cumulative_alphas(&betas)?)?;

        let falls = alphas_cumprod.windows(2).all(|pair| pair[0] > pair[1]);
        let last = alphas_cumprod.last().copied().unwrap_or(0.0);
        if !falls || alphas_cumprod[0] >= 1.0 || last < 0.0 || (last == 0.0 && !zero_snr) {
            let what = "the scheduler's betas give no valid noise schedule: each must lie between 0 and 1".to_owned();
            return Err(Error::Unsupported { what, hint: None });
        }
        Ok(Self { betas: to_f64(&betas)?, alphas_cumprod, train_timesteps: train_timesteps as usize, prediction_type })
    }

    /// Latents with the noise of their timestep, in f32.
    ///
    /// # Shapes
    /// - `latents`, `noise`: `[batch, ...]`
    /// - `timesteps`: `batch` numbers below [`NoiseSchedule::train_timesteps`]
    /// - returns: as `latents`
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Setting`] if the arguments do not fit.
    pub fn add_noise(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<Tensor> {
        let (signal, sigma) = self.amplitudes(latents, noise, timesteps)?;
        let signal = latents.f_to_kind(Kind::Float)?.f_mul(&signal)?;
        Ok(signal.f_add(&noise.f_to_kind(Kind::Float)?.f_mul(&sigma)?)?)
    }

    /// The velocity `sqrt(alphas_cumprod) noise - sqrt(1 - alphas_cumprod) latents`, in f32.
    ///
    /// # Shapes
    /// As in [`NoiseSchedule::add_noise`].
    ///
    /// # Errors
    /// As in [`NoiseSchedule::add_noise`].
    pub fn velocity(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<Tensor> {
        let (signal, sigma) = self.amplitudes(latents, noise, timesteps)?;
        let noise = noise.f_to_kind(Kind::Float)?.f_mul(&signal)?;
        Ok(noise.f_sub(&latents.f_to_kind(Kind::Float)?.f_mul(&sigma)?)?)
    }

    /// What the U-Net should output for [`NoiseSchedule::add_noise`] of the same arguments, in f32.
    ///
    /// # Shapes
    /// As in [`NoiseSchedule::add_noise`].
    ///
    /// # Errors
    /// As in [`NoiseSchedule::add_noise`].
    pub fn training_target(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<Tensor> {
        match self.prediction_type {
            PredictionType::Epsilon => {
                self.alphas_at(latents, noise, timesteps)?;
                Ok(noise.f_to_kind(Kind::Float)?)
            }
            PredictionType::VPrediction => self.velocity(latents, noise, timesteps),
        }
    }

    /// The noise level of each timestep relative to the signal, `sqrt((1 - alpha) / alpha)`.
    ///
    /// The root is libtorch's power of 0.5, as in the reference: near 4096, where a run starts under
    /// `rescale_betas_zero_snr`, its last digit shows in the picture.
    pub(super) fn sigmas(&self) -> Result<Vec<f32>> {
        // Zero signal would be an infinite level; diffusers puts f16's smallest number in its place.
        let smallest = 2f64.powi(-24);
        let alphas: Vec<f64> =
            self.alphas_cumprod.iter().map(|&alpha| if alpha == 0.0 { smallest } else { alpha }).collect();
        let alphas = from_f64(&alphas)?;
        let sigmas = one_minus(&alphas)?.f_div(&alphas)?.f_pow_tensor_scalar(0.5)?;
        Ok(Vec::try_from(&sigmas)?)
    }

    /// `sqrt(alpha)` and `sqrt(1 - alpha)` of each sample, as `[batch, 1, ..]`.
    fn amplitudes(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<(Tensor, Tensor)> {
        let alphas = self.alphas_at(latents, noise, timesteps)?;
        let mut per_sample = vec![1; latents.dim()];
        per_sample[0] = alphas.len() as i64;
        let spread = |values: Vec<f32>| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&values)?.f_view(per_sample.as_slice())?.f_to_device(latents.device())?)
        };
        let signal = spread(alphas.iter().map(|alpha| alpha.sqrt()).collect())?;
        let sigma = spread(alphas.iter().map(|alpha| (1.0 - alpha).sqrt()).collect())?;
        Ok((signal, sigma))
    }

    /// Checks that the arguments fit together and looks the timesteps up.
    fn alphas_at(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<Vec<f32>> {
        let shape = latents.size();
        if noise.size() != shape {
            return Err(Error::Shape { what: "noise", got: noise.size(), expected: format!("{shape:?}") });
        }
        if shape.first() != Some(&(timesteps.len() as i64)) {
            let expected = format!("[{}, ...], one sample per timestep", timesteps.len());
            return Err(Error::Shape { what: "latents", got: shape, expected });
        }
        let alpha_at = |&timestep: &i64| {
            let alpha = usize::try_from(timestep).ok().and_then(|index| self.alphas_cumprod.get(index));
            alpha.map(|&alpha| alpha as f32).ok_or_else(|| {
                let last = self.train_timesteps - 1;
                Error::Setting(format!("timestep {timestep} is out of range, expected 0 to {last}"))
            })
        };
        timesteps.iter().map(alpha_at).collect()
    }
}

fn betas(config: &SchedulerConfigJson, train_timesteps: i64) -> Result<Tensor> {
    if let Some(betas) = &config.trained_betas {
        if betas.len() as i64 != train_timesteps {
            let given = format!("a list of {}", betas.len());
            return Err(unsupported("trained_betas", given, &format!("one for each of {train_timesteps} timesteps")));
        }
        return from_f64(betas);
    }
    let accepted = [
        ("linear", BetaSchedule::Linear),
        ("scaled_linear", BetaSchedule::ScaledLinear),
        ("squaredcos_cap_v2", BetaSchedule::SquaredCosine),
    ];
    let schedule = choose("beta_schedule", config.beta_schedule.as_deref(), BetaSchedule::Linear, &accepted)?;
    let (start, end) = (config.beta_start.unwrap_or(0.0001), config.beta_end.unwrap_or(0.02));
    let float = (Kind::Float, Device::Cpu);
    match schedule {
        BetaSchedule::Linear => Ok(Tensor::f_linspace(start, end, train_timesteps, float)?),
        BetaSchedule::ScaledLinear => {
            Ok(Tensor::f_linspace(start.sqrt(), end.sqrt(), train_timesteps, float)?.f_square()?)
        }
        BetaSchedule::SquaredCosine => {
            let alpha_bar = |share: f64| ((share + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
            let count = train_timesteps as f64;
            let beta = |index: i64| 1.0 - alpha_bar((index + 1) as f64 / count) / alpha_bar(index as f64 / count);
            from_f64(&(0..train_timesteps).map(|index| beta(index).min(0.999)).collect::<Vec<f64>>())
        }
    }
}

/// Betas whose last timestep is pure noise (arXiv 2305.08891, algorithm 1).
fn rescale_zero_terminal_snr(betas: &Tensor) -> Result<Tensor> {
    let signal = cumulative_alphas(betas)?.f_sqrt()?;
    let (first, last) = (signal.f_get(0)?, signal.f_get(-1)?);
    let scale = first.f_div(&first.f_sub(&last)?)?;
    let alphas_bar = signal.f_sub(&last)?.f_mul(&scale)?.f_square()?;
    let later = alphas_bar.f_slice(0, 1, None, 1)?.f_div(&alphas_bar.f_slice(0, None, -1, 1)?)?;
    one_minus(&Tensor::f_cat(&[alphas_bar.f_slice(0, None, 1, 1)?, later], 0)?)
}

fn cumulative_alphas(betas: &Tensor) -> Result<Tensor> {
    Ok(one_minus(betas)?.f_cumprod(0, None::<Kind>)?)
}

fn one_minus(values: &Tensor) -> Result<Tensor> {
    Ok(values.f_neg()?.f_add_scalar(1.0)?)
}

fn from_f64(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?)
}

fn to_f64(values: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(&values.f_to_kind(Kind::Double)?)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn arguments_that_do_not_fit_are_errors() {
        let schedule = NoiseSchedule::from_config(&SchedulerConfigJson::default()).unwrap();
        let latents = zeros(&[2, 4, 3, 5]);
        assert!(matches!(schedule.add_noise(&latents, &zeros(&[2, 4, 5, 3]), &[0, 1]), Err(Error::Shape { .. })));
        assert!(matches!(schedule.velocity(&latents, &latents, &[0]), Err(Error::Shape { .. })));
        assert!(matches!(schedule.add_noise(&latents, &latents, &[0, 1000]), Err(Error::Setting(_))));
        assert!(matches!(schedule.training_target(&latents, &latents, &[-1, 0]), Err(Error::Setting(_))));
        assert!(schedule.add_noise(&latents, &latents, &[0, 999]).is_ok());
    }

    #[test]
    fn schedules_that_make_no_sense_are_errors() {
        let refused = [
            SchedulerConfigJson { num_train_timesteps: Some(0), ..Default::default() },
            SchedulerConfigJson { num_train_timesteps: Some(i64::MAX), ..Default::default() },
            SchedulerConfigJson { beta_start: Some(0.0), ..Default::default() },
            SchedulerConfigJson { beta_start: Some(f64::NAN), ..Default::default() },
            SchedulerConfigJson { beta_end: Some(1.5), ..Default::default() },
            SchedulerConfigJson { trained_betas: Some(vec![0.1, 0.2]), ..Default::default() },
            SchedulerConfigJson { beta_schedule: Some("sigmoid".to_owned()), ..Default::default() },
        ];
        for config in refused {
            let result = NoiseSchedule::from_config(&config);
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{config:?}: {result:?}");
        }
    }

    #[test]
    fn trained_betas_are_taken_as_they_are() {
        let config = SchedulerConfigJson {
            num_train_timesteps: Some(2),
            trained_betas: Some(vec![0.25, 0.5]),
            ..Default::default()
        };
        assert_eq!(NoiseSchedule::from_config(&config).unwrap().alphas_cumprod, [0.75, 0.375]);
    }

    #[test]
    fn the_last_timestep_can_be_pure_noise() {
        let config = SchedulerConfigJson { rescale_betas_zero_snr: Some(true), ..Default::default() };
        let schedule = NoiseSchedule::from_config(&config).unwrap();
        assert_eq!(schedule.alphas_cumprod.last(), Some(&0.0));
        assert!(schedule.sigmas().unwrap().iter().all(|sigma| sigma.is_finite()));
    }
}
