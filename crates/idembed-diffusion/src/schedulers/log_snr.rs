//! The noise levels of solvers that compute in `lambda = ln(signal / noise)` (arXiv 2206.00927, section 3).
//!
//! The numbers are f32 as in diffusers: differences of logarithms cancel, so that f64 would give others.

use tch::{Kind, Tensor};

use super::config::{PredictionType, SchedulerConfigJson, TimestepSpacing, unsupported};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{karras, linspace, timesteps_of, trailing};
use super::weighted_sum;
use crate::{Error, Result};

/// One noise level: the amplitudes of signal and noise, and `lambda = ln(alpha / sigma)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    pub(super) lambda: f32,
}

impl Level {
    /// The level with so much noise relative to the signal.
    pub(super) fn new(ratio: f32) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        let sigma = ratio * alpha;
        Self { alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }

    /// The clean latents that the model's output implies for `latents` of this level.
    pub(super) fn clean(self, prediction: PredictionType, output: &Tensor, latents: &Tensor) -> Result<Tensor> {
        let Level { alpha, sigma, .. } = self;
        match prediction {
            PredictionType::Epsilon => Ok(weighted_sum(1.0, latents, -sigma, output)?.f_div_scalar(f64::from(alpha))?),
            PredictionType::VPrediction => weighted_sum(alpha, latents, -sigma, output),
        }
    }

    /// Clean latents with the noise of this level.
    pub(super) fn noisy(self, latents: &Tensor, noise: &Tensor) -> Result<Tensor> {
        weighted_sum(self.alpha, &latents.f_to_kind(Kind::Float)?, self.sigma, &noise.f_to_kind(Kind::Float)?)
    }
}

/// Evenly spaced timesteps, from one more than `steps` of which the last is left out; `used` is how many of those of
/// training there are to choose from.
pub(super) fn evenly_spaced(
    spacing: TimestepSpacing,
    config: &SchedulerConfigJson,
    train_timesteps: usize,
    used: usize,
    steps: usize,
) -> Vec<f64> {
    match spacing {
        TimestepSpacing::Linspace => {
            let grid = linspace(0.0, used as f64 - 1.0, steps + 1);
            grid[1..].iter().rev().map(|value| value.round_ties_even()).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0) as f64;
            (1..=steps).rev().map(|index| (index * (used / (steps + 1))) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => trailing(used as f64, train_timesteps as f64 / steps as f64, steps),
    }
}

/// How many timesteps are left where `lambda_min_clipped` cuts off the noisiest ones.
pub(super) fn unclipped(config: &SchedulerConfigJson, schedule: &NoiseSchedule) -> Result<usize> {
    let Some(lambda_min) = config.lambda_min_clipped else { return Ok(schedule.train_timesteps) };
    let used = schedule.sigmas()?.iter().filter(|&&ratio| f64::from(-ratio.ln()) >= lambda_min).count();
    if used == 0 {
        return Err(unsupported("lambda_min_clipped", lambda_min, "a number below the clearest timestep's"));
    }
    Ok(used)
}

/// Karras' levels between the ends of training, with the timesteps next to them, which are fractional.
pub(super) fn karras_levels(config: &SchedulerConfigJson, trained: &[f32], steps: usize) -> (Vec<f64>, Vec<f64>) {
    // Not parameters of these classes, but diffusers keeps them in its configuration and finds them there.
    let sigma_min = config.sigma_min.unwrap_or(f64::from(trained[0]));
    let sigma_max = config.sigma_max.unwrap_or(f64::from(trained[trained.len() - 1]));
    let sigmas = karras(sigma_min, sigma_max, steps);
    (timesteps_of(&sigmas, trained), sigmas)
}

/// Fails where two steps have the same noise level: the solvers divide by the difference.
pub(super) fn check_apart(sigmas: &[f64], steps: usize) -> Result<()> {
    if sigmas.windows(2).any(|pair| pair[0] <= pair[1]) {
        return Err(Error::Setting(format!(
            "{steps} steps are too many for this scheduler: two of them fall on the same noise level"
        )));
    }
    Ok(())
}
