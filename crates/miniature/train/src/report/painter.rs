//! Draws prompts with a whole model.

use std::sync::atomic::{AtomicBool, Ordering};

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::controlnet::Control;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_diffusion::{Callback, StepInfo, TextToImage};
use image::RgbImage;

use crate::{PretrainError, Result};

/// A model with the settings that it is used with.
#[derive(Debug)]
pub(crate) struct Painter<'a> {
    model: &'a StableDiffusion,
    negative: Conditioning,
    guidance: f64,
    steps: usize,
    stop: &'a AtomicBool,
}

impl<'a> Painter<'a> {
    pub(crate) fn new(model: &'a StableDiffusion, guidance: f64, steps: usize, stop: &'a AtomicBool) -> Result<Self> {
        Ok(Painter { model, negative: model.condition("")?, guidance, steps, stop })
    }

    /// The picture of a prompt and a seed.
    ///
    /// # Errors
    /// What the model reports, or [`PretrainError::Stopped`].
    pub(crate) fn draw(&self, prompt: &str, seed: u64) -> Result<RgbImage> {
        self.draw_along(prompt, seed, &[])
    }

    /// The same, steered by ControlNets.
    pub(crate) fn draw_along(&self, prompt: &str, seed: u64, controls: &[Control<'_>]) -> Result<RgbImage> {
        let side = self.model.native_size();
        let request = TextToImage {
            prompt: &self.model.condition(prompt)?,
            negative: &self.negative,
            guidance_scale: self.guidance,
            steps: self.steps,
            scheduler: SchedulerKind::Ddim,
            eta: 0.0,
            width: side,
            height: side,
            from: None,
            seeds: &[seed],
            batch: 1,
            unet: None,
            controls,
            tiles: None,
        };
        let mut drawn = None;
        let run = request.run(self.model, &mut Stopper(self.stop), |_, picture| {
            drawn = Some(picture);
            Ok::<_, idembed_diffusion::Error>(())
        });
        match run {
            Err(idembed_diffusion::Error::Stopped) => Err(PretrainError::Stopped),
            Err(error) => Err(error.into()),
            Ok(()) => drawn.ok_or(PretrainError::Stopped),
        }
    }
}

struct Stopper<'a>(&'a AtomicBool);

impl Callback for Stopper<'_> {
    fn on_step_begin(&mut self, _: &StepInfo) -> idembed_diffusion::Result<Option<&mut dyn AttentionHook>> {
        if self.0.load(Ordering::Relaxed) { Err(idembed_diffusion::Error::Stopped) } else { Ok(None) }
    }
}
