//! Heun's method on the noise level (arXiv 2206.00364, algorithm 1): each step looks at its end, too, and goes with the mean.
//!
//! Source: diffusers 0.42, `HeunDiscreteScheduler`. Every step but the last takes two outputs of the U-Net, which stand beside
//! each other in the list of timesteps.

use tch::Tensor;

use super::config::{FinalSigma, SchedulerConfigJson, refuse};
use super::euler::Levels;
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::Result;

/// Heun's method set up for a number of steps.
#[derive(Debug)]
pub(super) struct Heun {
    /// All but the first twice, the end once.
    levels: Levels,
    clip_range: Option<f64>,
    /// The latents and their derivative where a step began that has not ended.
    begun: Option<(usize, Tensor, Tensor)>,
}

impl Heun {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        refuse("use_exponential_sigmas", config.use_exponential_sigmas)?;
        refuse("use_beta_sigmas", config.use_beta_sigmas)?;
        let mut levels = Levels::of_file(config, schedule, steps, FinalSigma::Zero)?;
        levels.timesteps = doubled(&levels.timesteps, levels.timesteps.len());
        levels.sigmas = doubled(&levels.sigmas, levels.sigmas.len() - 1);
        let clip_range = (config.clip_sample == Some(true)).then(|| config.clip_sample_range.unwrap_or(1.0));
        Ok(Self { levels, clip_range, begun: None })
    }
}

/// The first once, those up to `end` twice, the rest once.
fn doubled<T: Copy>(values: &[T], end: usize) -> Vec<T> {
    let times = |index: usize| if index > 0 && index < end { 2 } else { 1 };
    values.iter().enumerate().flat_map(|(index, &value)| std::iter::repeat_n(value, times(index))).collect()
}

impl Scheduler for Heun {
    fn timesteps(&self) -> &[f64] {
        &self.levels.timesteps
    }

    fn entries_per_step(&self) -> usize {
        2
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
        let derivative = self.levels.derivative(&output, index, &latents, self.clip_range)?;
        let sigma = |at: usize| self.levels.sigmas[at];
        match self.begun.take().filter(|(at, ..)| at + 1 == index) {
            Some((at, start, before)) => {
                let mean = before.f_add(&derivative)?.f_div_scalar(2.0)?;
                weighted_sum(1.0, &start, sigma(index) - sigma(at), &mean)
            }
            None => {
                let next = weighted_sum(1.0, &latents, sigma(index + 1) - sigma(index), &derivative)?;
                self.begun = Some((index, latents, derivative));
                Ok(next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_ends_are_doubled() {
        assert_eq!(doubled(&[9, 5, 1], 3), [9, 5, 5, 1, 1]);
        assert_eq!(doubled(&[9, 5, 1, 0], 3), [9, 5, 5, 1, 1, 0]);
        assert_eq!(doubled(&[9], 1), [9]);
        assert_eq!(doubled(&[9, 0], 1), [9, 0]);
    }
}
