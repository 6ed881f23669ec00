//! DDIM (arXiv 2010.02502), which adds as much noise at each step as `eta` says: none at 0, as much as DDPM at 1.
//!
//! Source: diffusers 0.42, `DDIMScheduler`.

use tch::{Kind, Tensor};

use super::config::{PredictionType, SchedulerConfigJson, TimestepSpacing, refuse, unsupported};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{linspace, trailing};
use super::{Scheduler, inputs, step_noise, weighted_sum};
use crate::{Error, Result};

/// DDIM set up for a number of steps.
#[derive(Debug)]
pub(super) struct Ddim {
    timesteps: Vec<f64>,
    /// The signal's variance before and after each step.
    alphas: Vec<(f32, f32)>,
    prediction_type: PredictionType,
    clip_range: Option<f64>,
    eta: f32,
}

impl Ddim {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize, eta: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(Error::Setting(format!("eta is {eta}, expected 0 to 1")));
        }
        refuse("thresholding", config.thresholding)?;
        let clip_sample = config.clip_sample.unwrap_or(true);
        let set_alpha_to_one = config.set_alpha_to_one.unwrap_or(true);
        let stride = schedule.train_timesteps / steps;
        let timesteps = timesteps(config, schedule.train_timesteps, steps)?;

        let last_alpha = if set_alpha_to_one { 1.0 } else { schedule.alphas_cumprod[0] };
        let mut alphas = Vec::with_capacity(steps);
        for &timestep in &timesteps {
            let in_range = (0.0..schedule.train_timesteps as f64).contains(&timestep);
            let Some(&alpha) = schedule.alphas_cumprod.get(timestep as usize).filter(|_| in_range) else {
                return Err(Error::Setting(format!(
                    "{steps} steps reach timestep {timestep}, but the model has 0 to {}; take fewer steps",
                    schedule.train_timesteps - 1
                )));
            };
            if alpha == 0.0 && schedule.prediction_type == PredictionType::Epsilon {
                return Err(unsupported("rescale_betas_zero_snr", true, "false where prediction_type is epsilon"));
            }
            let before = (timestep as usize).checked_sub(stride);
            let previous = before.map_or(last_alpha, |index| schedule.alphas_cumprod[index]);
            alphas.push((alpha as f32, previous as f32));
        }
        Ok(Self {
            timesteps,
            alphas,
            prediction_type: schedule.prediction_type,
            clip_range: clip_sample.then(|| config.clip_sample_range.unwrap_or(1.0)),
            eta: eta as f32,
        })
    }
}

fn timesteps(config: &SchedulerConfigJson, train_timesteps: usize, steps: usize) -> Result<Vec<f64>> {
    let train = train_timesteps as f64;
    Ok(match TimestepSpacing::resolve(config, TimestepSpacing::Leading)? {
        TimestepSpacing::Linspace => {
            linspace(0.0, train - 1.0, steps).iter().rev().map(|value| value.round_ties_even()).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0) as f64;
            (0..steps).rev().map(|index| (index * (train_timesteps / steps)) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => trailing(train, train / steps as f64, steps),
    })
}

impl Scheduler for Ddim {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn noise_draws(&self) -> usize {
        if self.eta > 0.0 { self.timesteps.len() } else { 0 }
    }

    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        super::check_index(index, self.timesteps.len())?;
        Ok(latents.shallow_clone())
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        super::check_index(index, self.timesteps.len())?;
        let (alpha, _) = self.alphas[index];
        let (latents, noise) = (latents.f_to_kind(Kind::Float)?, noise.f_to_kind(Kind::Float)?);
        weighted_sum(alpha.sqrt(), &latents, (1.0 - alpha).sqrt(), &noise)
    }

    /// Equation 12, with the variance of equation 16.
    fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        latents: &Tensor,
        fresh: Option<&Tensor>,
    ) -> Result<Tensor> {
        super::check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let (alpha, previous) = self.alphas[index];
        let (signal, sigma) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let (mut clean, noise) = match self.prediction_type {
            PredictionType::Epsilon => {
                (weighted_sum(1.0, &latents, -sigma, &output)?.f_div_scalar(f64::from(signal))?, output)
            }
            PredictionType::VPrediction => {
                let noise = weighted_sum(signal, &output, sigma, &latents)?;
                (weighted_sum(signal, &latents, -sigma, &output)?, noise)
            }
        };
        if let Some(range) = self.clip_range {
            clean = clean.f_clamp(-range, range)?;
        }
        if self.eta == 0.0 {
            return weighted_sum(previous.sqrt(), &clean, (1.0 - previous).sqrt(), &noise);
        }
        let variance = (1.0 - previous) / (1.0 - alpha) * (1.0 - alpha / previous);
        let deviation = self.eta * variance.sqrt();
        // Rounding can put the variance above what there is.
        let kept = (1.0 - previous - deviation * deviation).max(0.0).sqrt();
        let next = weighted_sum(previous.sqrt(), &clean, kept, &noise)?;
        weighted_sum(1.0, &next, deviation, &step_noise(fresh, &latents)?)
    }
}
