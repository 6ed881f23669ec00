//! Noise schedules and samplers.
//!
//! Each sampler is a file that opens with its source; all are built from a `scheduler_config.json` as diffusers'
//! `from_config` would build that class from it.

use tch::Tensor;

use crate::Result;

/// One sampler set up for a number of steps.
pub trait Scheduler {
    /// The timesteps in the order of generation, noisiest first. They may be fractional.
    fn timesteps(&self) -> &[f64];

    /// What standard normal noise is multiplied with to become the first latents.
    fn init_noise_sigma(&self) -> f64;

    /// How many noise tensors (of the latents' shape) [`Scheduler::step`] consumes over the whole run, one per step
    /// from the first: 0 for a deterministic sampler, otherwise the number of steps.
    fn noise_draws(&self) -> usize;

    /// The latents as the U-Net wants to see them at step `index`.
    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor>;

    /// One step: from the model's output at step `index` to the next latents.
    ///
    /// `latents` are the unscaled latents of this step, `noise` is standard normal noise for this step
    /// (required if [`Scheduler::noise_draws`] is not 0).
    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, noise: Option<&Tensor>) -> Result<Tensor>;
}
