//! A sampler of one's own: DDPM (arXiv 2006.11239) on a few of the model's timesteps, with fresh noise at every step.
//! Writes `own_scheduler.png`.
//!
//! `cargo run -p idembed-diffusion --example own_scheduler -- "a photo of a woman at the beach"`

use std::error::Error;
use std::path::Path;

use idembed_diffusion::schedulers::{NoiseSchedule, Scheduler};
use idembed_diffusion::{Compute, Result, StableDiffusion, TextToImage};
use tch::Tensor;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini");

struct Ddpm {
    timesteps: Vec<f64>,
    /// The share of the signal's variance at each step, and 1 at the end.
    alphas: Vec<f64>,
}

impl Ddpm {
    /// For models that predict the noise, as the bundled one does.
    fn new(schedule: &NoiseSchedule, steps: usize) -> Ddpm {
        let at = |step: usize| (steps - step) * schedule.train_timesteps / steps - 1;
        let timesteps: Vec<usize> = (0..steps).map(at).collect();
        let mut alphas: Vec<f64> = timesteps.iter().map(|&timestep| schedule.alphas_cumprod[timestep]).collect();
        alphas.push(1.0);
        Ddpm { timesteps: timesteps.iter().map(|&timestep| timestep as f64).collect(), alphas }
    }
}

impl Scheduler for Ddpm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    fn noise_draws(&self) -> usize {
        self.timesteps.len()
    }

    fn scale_model_input(&self, latents: &Tensor, _: usize) -> Result<Tensor> {
        Ok(latents.shallow_clone())
    }

    /// The mean and the variance of equation 7 of the paper, for the clean latents that the noise leaves.
    fn step(&mut self, output: &Tensor, index: usize, latents: &Tensor, noise: Option<&Tensor>) -> Result<Tensor> {
        let (now, next) = (self.alphas[index], self.alphas[index + 1]);
        let (kept, added) = (now / next, 1.0 - now / next);
        let clean = (latents - output * (1.0 - now).sqrt()) / now.sqrt();
        let mean = (clean * (next.sqrt() * added) + latents * (kept.sqrt() * (1.0 - next))) / (1.0 - now);
        let deviation = ((1.0 - next) / (1.0 - now) * added).sqrt();
        Ok(noise.map_or(mean.shallow_clone(), |noise| mean + noise * deviation))
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or("a photo of a woman at the beach".to_owned());
    let model = StableDiffusion::load(Path::new(MODEL), Compute::CPU_F32)?;
    let (prompt, negative) = (model.condition(&prompt)?, model.condition("")?);
    let request = TextToImage { guidance_scale: 4.0, steps: 50, ..TextToImage::new(&model, &prompt, &negative, &[0]) };
    let sampler = || -> Result<Box<dyn Scheduler>> { Ok(Box::new(Ddpm::new(&model.noise_schedule, request.steps))) };
    request.run_with(&sampler, &model, &mut (), |_, picture| Ok(picture.save("own_scheduler.png")?))
}
