//! Ancestral sampling with Euler's method: each step goes below the next noise level and adds fresh noise up to it.
//!
//! Source: diffusers 0.42, `EulerAncestralDiscreteScheduler`, after k-diffusion's `sample_euler_ancestral`.

use tch::Tensor;

use super::config::SchedulerConfigJson;
use super::euler::Levels;
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, check_index, inputs, step_noise, weighted_sum};
use crate::Result;

/// The ancestral sampler set up for a number of steps.
#[derive(Debug)]
pub(super) struct EulerAncestral {
    levels: Levels,
    /// The level that each step goes down to, and the amplitude of the noise added there.
    down_up: Vec<(f32, f32)>,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        let levels = Levels::at_timesteps(config, schedule, steps)?;
        let down_up = down_up(&levels.sigmas)?;
        Ok(Self { levels, down_up })
    }
}

/// Splits each next level into what is kept and what is drawn anew: `down^2 + up^2 = to^2`.
///
/// After a long step the difference of squares has few digits left, hence libtorch's roots, as in the reference.
fn down_up(sigmas: &[f32]) -> Result<Vec<(f32, f32)>> {
    let from = Tensor::f_from_slice(&sigmas[..sigmas.len() - 1])?.f_square()?;
    let to = Tensor::f_from_slice(&sigmas[1..])?.f_square()?;
    let up = to.f_mul(&from.f_sub(&to)?)?.f_div(&from)?.f_clamp_min(0.0)?.f_pow_tensor_scalar(0.5)?;
    // Rounding can put `up` above `to`.
    let down = to.f_sub(&up.f_square()?)?.f_clamp_min(0.0)?.f_pow_tensor_scalar(0.5)?;
    let (down, up) = (Vec::<f32>::try_from(&down)?, Vec::<f32>::try_from(&up)?);
    Ok(down.into_iter().zip(up).collect())
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[f64] {
        &self.levels.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        self.levels.init_noise_sigma()
    }

    fn noise_draws(&self) -> usize {
        self.levels.timesteps.len()
    }

    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        self.levels.scale(latents, index)
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        self.levels.add_noise(latents, noise, index)
    }

    fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        latents: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        check_index(index, self.levels.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let noise = step_noise(noise, &latents)?;
        let (down, up) = self.down_up[index];
        let derivative = self.levels.derivative(&output, index, &latents, None)?;
        let lowered = weighted_sum(1.0, &latents, down - self.levels.sigmas[index], &derivative)?;
        weighted_sum(1.0, &lowered, up, &noise)
    }
}
