//! Ancestral sampling with Euler's method: each step goes below the next noise level and adds fresh noise up to it.
//!
//! Source: diffusers 0.42, `EulerAncestralDiscreteScheduler`, after k-diffusion's `sample_euler_ancestral`.

use tch::{Kind, Tensor};

use super::config::SchedulerConfigJson;
use super::euler::Levels;
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::{Error, Result};

/// The ancestral sampler set up for a number of steps.
#[derive(Debug)]
pub(super) struct EulerAncestral {
    levels: Levels,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        Ok(Self { levels: Levels::at_timesteps(config, schedule, steps)? })
    }
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

    fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        latents: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        check_index(index, self.levels.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let Some(noise) = noise else {
            return Err(Error::Setting("the ancestral sampler needs noise for each step".to_owned()));
        };
        if noise.size() != latents.size() {
            let expected = format!("{:?}", latents.size());
            return Err(Error::Shape { what: "the step's noise", got: noise.size(), expected });
        }
        let (from, to) = (self.levels.sigmas[index], self.levels.sigmas[index + 1]);
        let (from2, to2) = (from * from, to * to);
        let up = (to2 * (from2 - to2) / from2).max(0.0).sqrt();
        // Rounding can put `up` above `to`.
        let down = (to2 - up * up).max(0.0).sqrt();

        let derivative = self.levels.derivative(&output, index, &latents)?;
        let lowered = weighted_sum(1.0, &latents, down - from, &derivative)?;
        weighted_sum(1.0, &lowered, up, &noise.f_to_device(latents.device())?.f_to_kind(Kind::Float)?)
    }
}
