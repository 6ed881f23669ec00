//! Sampling of latent consistency models (arXiv 2310.04378): each step goes to the clean latents at once and puts less noise on.
//!
//! Source: diffusers 0.42, `LCMScheduler`. It is for models and LoRA that were distilled for it.

use tch::{Kind, Tensor};

use super::config::{PredictionType, SchedulerConfigJson, refuse, unsupported};
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, check_index, inputs, step_noise, weighted_sum};
use crate::{Error, Result};

/// The sampler set up for a number of steps.
#[derive(Debug)]
pub(super) struct Lcm {
    timesteps: Vec<f64>,
    /// The signal's variance at each step.
    alphas: Vec<f32>,
    prediction_type: PredictionType,
    clip_range: Option<f64>,
    timestep_scaling: f32,
}

impl Lcm {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        refuse("thresholding", config.thresholding)?;
        let distilled = config.original_inference_steps.unwrap_or(50);
        let train = schedule.train_timesteps;
        let distilled =
            usize::try_from(distilled).ok().filter(|count| (1..=train).contains(count)).ok_or_else(|| {
                unsupported("original_inference_steps", distilled, &format!("1 to the {train} timesteps of training"))
            })?;
        if steps > distilled {
            return Err(Error::Setting(format!("{steps} steps are too many for lcm, which takes up to {distilled}")));
        }
        let stride = train / distilled;
        let share = distilled as f64 / steps as f64;
        // `numpy.floor` of an evenly spaced grid without its end, counted from the noisiest.
        let from_noisiest = (0..steps).map(|index| (index as f64 * share).floor() as usize);
        let indices: Vec<usize> = from_noisiest.map(|index| (distilled - index) * stride - 1).collect();
        let alphas: Vec<f32> = indices.iter().map(|&index| schedule.alphas_cumprod[index] as f32).collect();
        if alphas.contains(&0.0) && schedule.prediction_type == PredictionType::Epsilon {
            return Err(unsupported("rescale_betas_zero_snr", true, "false where prediction_type is epsilon"));
        }
        Ok(Self {
            timesteps: indices.iter().map(|&index| index as f64).collect(),
            alphas,
            prediction_type: schedule.prediction_type,
            clip_range: (config.clip_sample == Some(true)).then(|| config.clip_sample_range.unwrap_or(1.0)),
            timestep_scaling: config.timestep_scaling.unwrap_or(10.0) as f32,
        })
    }

    /// How much of the latents and of their clean estimate a step keeps, so that at no noise nothing changes (appendix C).
    fn boundary(&self, index: usize) -> (f32, f32) {
        const SIGMA_DATA: f32 = 0.5;
        let scaled = self.timesteps[index] as f32 * self.timestep_scaling;
        let variance = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        (SIGMA_DATA * SIGMA_DATA / variance, scaled / variance.sqrt())
    }
}

impl Scheduler for Lcm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// The last step adds none.
    fn noise_draws(&self) -> usize {
        self.timesteps.len() - 1
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let alpha = self.alphas[index];
        let (latents, noise) = (latents.f_to_kind(Kind::Float)?, noise.f_to_kind(Kind::Float)?);
        weighted_sum(alpha.sqrt(), &latents, (1.0 - alpha).sqrt(), &noise)
    }

    fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        latents: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let (signal, sigma) = (self.alphas[index].sqrt(), (1.0 - self.alphas[index]).sqrt());
        let mut clean = match self.prediction_type {
            PredictionType::Epsilon => weighted_sum(1.0, &latents, -sigma, &output)?.f_div_scalar(f64::from(signal))?,
            PredictionType::VPrediction => weighted_sum(signal, &latents, -sigma, &output)?,
        };
        if let Some(range) = self.clip_range {
            clean = clean.f_clamp(-range, range)?;
        }
        let (kept, taken) = self.boundary(index);
        let denoised = weighted_sum(taken, &clean, kept, &latents)?;
        match self.alphas.get(index + 1) {
            Some(&next) => weighted_sum(next.sqrt(), &denoised, (1.0 - next).sqrt(), &step_noise(noise, &latents)?),
            None => Ok(denoised),
        }
    }
}
