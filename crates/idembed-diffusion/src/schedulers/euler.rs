//! Euler's method on the noise level (arXiv 2206.00364, algorithm 2 without churn).
//!
//! Source: diffusers 0.42, `EulerDiscreteScheduler`. The operations keep its order: at high noise the latents are
//! thousands of times larger than the picture, and another order would round another way.

use tch::{Kind, Tensor};

use super::config::{FinalSigma, PredictionType, SchedulerConfigJson, TimestepSpacing, choose, refuse, unsupported};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{interpolate, karras, linspace, timesteps_of, trailing, with_final};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::Result;

/// The noise levels of a run, which both Euler samplers walk down.
#[derive(Debug)]
pub(super) struct Levels {
    pub(super) timesteps: Vec<f64>,
    /// One more than timesteps: the last is the level after the last step.
    pub(super) sigmas: Vec<f32>,
    pub(super) prediction_type: PredictionType,
    init_noise_sigma: f64,
}

impl Levels {
    /// The levels at evenly spaced timesteps, ending without noise: all that the ancestral sampler knows.
    pub(super) fn at_timesteps(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        let spacing = TimestepSpacing::resolve(config, TimestepSpacing::Linspace)?;
        let timesteps = timesteps(spacing, config.steps_offset.unwrap_or(0), schedule.train_timesteps, steps);
        let sigmas = interpolate(&timesteps, &schedule.sigmas()?);
        Self::new(spacing, timesteps, &sigmas, FinalSigma::Zero, schedule)
    }

    /// The levels as the file wants them spaced.
    pub(super) fn of_file(
        config: &SchedulerConfigJson,
        schedule: &NoiseSchedule,
        steps: usize,
        last: FinalSigma,
    ) -> Result<Self> {
        let spacing = TimestepSpacing::resolve(config, TimestepSpacing::Linspace)?;
        let mut timesteps = timesteps(spacing, config.steps_offset.unwrap_or(0), schedule.train_timesteps, steps);
        let trained = schedule.sigmas()?;
        let mut sigmas = interpolate(&timesteps, &trained);
        if config.use_karras_sigmas == Some(true) {
            let sigma_min = config.sigma_min.unwrap_or(sigmas[sigmas.len() - 1]);
            let sigma_max = config.sigma_max.unwrap_or(sigmas[0]);
            sigmas = karras(sigma_min, sigma_max, steps);
            timesteps = timesteps_of(&sigmas, &trained).iter().map(|&value| f64::from(value as f32)).collect();
        }
        Self::new(spacing, timesteps, &sigmas, last, schedule)
    }

    fn new(
        spacing: TimestepSpacing,
        timesteps: Vec<f64>,
        sigmas: &[f64],
        last: FinalSigma,
        schedule: &NoiseSchedule,
    ) -> Result<Self> {
        let sigmas = with_final(sigmas, last, &schedule.sigmas()?)?;
        let max = sigmas.iter().copied().fold(0.0, f32::max);
        let init = match spacing {
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
            TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
        };
        let prediction_type = schedule.prediction_type;
        Ok(Self { timesteps, sigmas, prediction_type, init_noise_sigma: f64::from(init) })
    }

    pub(super) fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// Latents of unit variance.
    pub(super) fn scale(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let sigma = self.sigmas[index];
        let latents = latents.f_to_kind(Kind::Float)?;
        Ok(latents.f_div_scalar(f64::from((sigma * sigma + 1.0).sqrt()))?)
    }

    /// Clean latents with the noise of a step.
    pub(super) fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        weighted_sum(1.0, &latents.f_to_kind(Kind::Float)?, self.sigmas[index], &noise.f_to_kind(Kind::Float)?)
    }

    /// How the latents change with the noise level: `(latents - clean) / sigma`, the clean ones kept within a range if there
    /// is one.
    pub(super) fn derivative(
        &self,
        output: &Tensor,
        index: usize,
        latents: &Tensor,
        clip_range: Option<f64>,
    ) -> Result<Tensor> {
        let sigma = self.sigmas[index];
        let mut clean = match self.prediction_type {
            PredictionType::Epsilon => weighted_sum(1.0, latents, -sigma, output)?,
            PredictionType::VPrediction => {
                let variance = sigma * sigma + 1.0;
                let kept = latents.f_div_scalar(f64::from(variance))?;
                weighted_sum(-sigma / variance.sqrt(), output, 1.0, &kept)?
            }
        };
        if let Some(range) = clip_range {
            clean = clean.f_clamp(-range, range)?;
        }
        Ok(latents.f_sub(&clean)?.f_div_scalar(f64::from(sigma))?)
    }
}

/// Evenly spaced timesteps; f32 in the reference, hence fractional ones are rounded to it.
fn timesteps(spacing: TimestepSpacing, offset: i64, train_timesteps: usize, steps: usize) -> Vec<f64> {
    let train = train_timesteps as f64;
    match spacing {
        TimestepSpacing::Linspace => {
            linspace(0.0, train - 1.0, steps).iter().rev().map(|&value| f64::from(value as f32)).collect()
        }
        TimestepSpacing::Leading => {
            (0..steps).rev().map(|index| (index * (train_timesteps / steps)) as f64 + offset as f64).collect()
        }
        TimestepSpacing::Trailing => trailing(train, train / steps as f64, steps),
    }
}

/// Euler's method set up for a number of steps.
#[derive(Debug)]
pub(super) struct Euler {
    levels: Levels,
}

impl Euler {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        refuse("use_exponential_sigmas", config.use_exponential_sigmas)?;
        refuse("use_beta_sigmas", config.use_beta_sigmas)?;
        choose("interpolation_type", config.interpolation_type.as_deref(), (), &[("linear", ())])?;
        let continuous = choose(
            "timestep_type",
            config.timestep_type.as_deref(),
            false,
            &[("discrete", false), ("continuous", true)],
        )?;
        if continuous && schedule.prediction_type == PredictionType::VPrediction {
            return Err(unsupported(
                "timestep_type",
                "\"continuous\"",
                "discrete where prediction_type is v_prediction",
            ));
        }
        Ok(Self { levels: Levels::of_file(config, schedule, steps, FinalSigma::resolve(config)?)? })
    }
}

impl Scheduler for Euler {
    fn timesteps(&self) -> &[f64] {
        &self.levels.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        self.levels.init_noise_sigma()
    }

    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        self.levels.scale(latents, index)
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        self.levels.add_noise(latents, noise, index)
    }

    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
        check_index(index, self.levels.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let derivative = self.levels.derivative(&output, index, &latents, None)?;
        weighted_sum(1.0, &latents, self.levels.sigmas[index + 1] - self.levels.sigmas[index], &derivative)
    }
}
