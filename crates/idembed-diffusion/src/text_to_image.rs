//! From a conditioned prompt and seeds, and a picture to begin at where there is one, to pictures.

use std::ops::Range;

use image::RgbImage;
use tch::{Kind, Tensor};

use crate::conditioning::Conditioning;
use crate::contexts::{Contexts, Texts};
use crate::controlnet::{Control, Steering};
use crate::hook::AttentionHook;
use crate::picture;
use crate::schedulers::{self, Scheduler, SchedulerKind};
use crate::stable_diffusion::StableDiffusion;
use crate::start::{FromPicture, Origin, Start};
use crate::unet::{PictureSizes, UNet, UNetInput};
use crate::vae::Tiles;
use crate::{Error, Result};

/// Everything that decides what a picture looks like, apart from the model.
#[derive(Debug, Clone)]
pub struct TextToImage<'a> {
    /// The prompt.
    pub prompt: &'a Conditioning,
    /// The negative prompt (usually the empty text); unused without guidance.
    pub negative: &'a Conditioning,
    /// Scale of classifier-free guidance (CFG, arXiv 2207.12598); at 1 and below the negative prompt is left out.
    pub guidance_scale: f64,
    /// Number of denoising steps.
    pub steps: usize,
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// How much noise DDIM adds at each step, 0 to 1 ([`schedulers::build_with_eta`]).
    pub eta: f64,
    /// Width in pixels.
    pub width: i64,
    /// Height in pixels.
    pub height: i64,
    /// A picture to begin at; noise alone if `None`.
    pub from: Option<&'a FromPicture>,
    /// One seed for each picture.
    pub seeds: &'a [u64],
    /// How many pictures are drawn at the same time.
    pub batch: usize,
    /// The noise predictor, if not the model's own ([`StableDiffusion::changed_unet`]).
    pub unet: Option<&'a UNet>,
    /// ControlNets that steer it.
    pub controls: &'a [Control<'a>],
    /// Decodes pictures part by part, so that the autoencoder's memory does not grow with their size; at once if `None`.
    pub tiles: Option<Tiles>,
}

/// One denoising step about to be taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepInfo {
    /// Which pictures of the request are being drawn.
    pub pictures: Range<usize>,
    /// The step, from 0: one for each time that the U-Net is asked.
    pub step: usize,
    /// The number of them.
    pub steps: usize,
    /// The step's timestep.
    pub timestep: f64,
    /// Which rows of the U-Net's batch see the prompt; the others see the negative prompt.
    pub conditional_rows: Range<i64>,
}

/// What is called while pictures are drawn: for progress, attention hooks, stopping.
pub trait Callback {
    /// Called before every step. Returns a hook for the step's forward call, if any.
    ///
    /// # Errors
    /// Ends the drawing; [`Error::Stopped`] for a wish to stop.
    fn on_step_begin(&mut self, step: &StepInfo) -> Result<Option<&mut dyn AttentionHook>>;
}

/// Does nothing.
impl Callback for () {
    fn on_step_begin(&mut self, _step: &StepInfo) -> Result<Option<&mut dyn AttentionHook>> {
        Ok(None)
    }
}

impl<'a> TextToImage<'a> {
    /// The guidance scale of a usual request.
    pub const USUAL_GUIDANCE: f64 = 7.5;
    /// The denoising steps of a usual request.
    pub const USUAL_STEPS: usize = 30;
    /// The sampler of a usual request.
    pub const USUAL_SCHEDULER: SchedulerKind = SchedulerKind::DpmPp2m;

    /// A usual request for a model: pictures of its own size, one at a time.
    pub fn new(
        model: &StableDiffusion,
        prompt: &'a Conditioning,
        negative: &'a Conditioning,
        seeds: &'a [u64],
    ) -> TextToImage<'a> {
        TextToImage {
            prompt,
            negative,
            guidance_scale: Self::USUAL_GUIDANCE,
            steps: Self::USUAL_STEPS,
            scheduler: Self::USUAL_SCHEDULER,
            eta: 0.0,
            width: model.native_size(),
            height: model.native_size(),
            from: None,
            seeds,
            batch: 1,
            unet: None,
            controls: &[],
            tiles: None,
        }
    }

    /// Draws one picture per seed, in order. Runs without gradient.
    ///
    /// `each` receives every picture as soon as it is there.
    ///
    /// # Errors
    /// Settings out of range, numbers that overflow on the way, files of the model that were changed meanwhile, or what
    /// `callback` and `each` report.
    pub fn run<E: From<Error>>(
        &self,
        model: &StableDiffusion,
        callback: &mut dyn Callback,
        each: impl FnMut(usize, RgbImage) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let sampler = || schedulers::build_with_eta(self.scheduler, &model.scheduler_config, self.steps, self.eta);
        self.run_with(&sampler, model, callback, each)
    }

    /// As [`TextToImage::run`], with a sampler that this crate need not know.
    ///
    /// `sampler` sets one up for each batch; [`TextToImage::scheduler`] and [`TextToImage::steps`] are for it to heed.
    ///
    /// # Errors
    /// As [`TextToImage::run`], and what `sampler` reports.
    pub fn run_with<E: From<Error>>(
        &self,
        sampler: &dyn Fn() -> Result<Box<dyn Scheduler>>,
        model: &StableDiffusion,
        callback: &mut dyn Callback,
        mut each: impl FnMut(usize, RgbImage) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.check(model)?;
        let origin = self.from.map(|from| tch::no_grad(|| Origin::new(from, model))).transpose()?;
        for (index, seeds) in self.seeds.chunks(self.batch).enumerate() {
            let first = index * self.batch;
            let pictures = tch::no_grad(|| self.draw(sampler()?, model, origin.as_ref(), callback, first, seeds));
            // Before anything else: other weights explain whatever went wrong.
            model.check_unchanged()?;
            self.unet.map_or(Ok(()), UNet::check_unchanged)?;
            Steering::check_unchanged(self.controls)?;
            for (offset, picture) in pictures?.into_iter().enumerate() {
                each(first + offset, picture)?;
            }
        }
        Ok(())
    }

    fn check(&self, model: &StableDiffusion) -> Result<()> {
        let unit = model.pixels_per_latent();
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side < unit || side % unit != 0 {
                return Err(Error::Setting(format!("the {name} is {side}, expected a multiple of {unit} pixels")));
            }
        }
        if !self.guidance_scale.is_finite() || self.guidance_scale < 0.0 {
            return Err(Error::Setting(format!("the guidance scale is {}, expected 0 or more", self.guidance_scale)));
        }
        if self.batch == 0 {
            return Err(Error::Setting("the batch is 0, expected 1 or more".to_owned()));
        }
        self.controls.iter().try_for_each(Control::check)?;
        if self.from.is_none_or(|from| from.mask.is_none()) {
            model.check_is_text_to_image()?;
        }
        self.from.map_or(Ok(()), |from| from.check(self.width, self.height, unit))
    }

    fn draw(
        &self,
        mut scheduler: Box<dyn Scheduler>,
        model: &StableDiffusion,
        origin: Option<&Origin>,
        callback: &mut dyn Callback,
        first_picture: usize,
        seeds: &[u64],
    ) -> Result<Vec<RgbImage>> {
        let timesteps = scheduler.timesteps().to_vec();
        let first = self.from.map_or(Ok(0), |from| from.first_entry(scheduler.as_ref(), self.steps))?;
        let unit = model.pixels_per_latent();
        let shape = [1, model.unet.config().channels, self.height / unit, self.width / unit];
        let start = Start::new(origin, shape, scheduler.as_ref(), first, seeds, model)?;
        let unet = self.unet.unwrap_or(&model.unet);
        let negative = self.is_guided().then_some(self.negative);
        let texts = Texts { prompt: self.prompt, negative, pictures: seeds.len() as i64 };
        let mut contexts = Contexts::new(texts, |states| unet.project(states))?;
        let sizes = PictureSizes::whole(self.height, self.width);
        let mut steering = Steering::new(self.controls, texts, sizes)?;
        let mut latents = start.latents.shallow_clone();

        for (entry, &timestep) in timesteps.iter().enumerate().skip(first) {
            let rows = seeds.len() as i64;
            let guided = self.is_guided();
            let hook = callback.on_step_begin(&StepInfo {
                pictures: first_picture..first_picture + seeds.len(),
                step: entry - first,
                steps: timesteps.len() - first,
                timestep,
                conditional_rows: if guided { rows..2 * rows } else { 0..rows },
            })?;
            let scaled = scheduler.scale_model_input(&latents, entry)?;
            let scaled = if guided { Tensor::f_cat(&[&scaled, &scaled], 0)? } else { scaled };
            let times = Tensor::f_full([scaled.size()[0]], timestep, (Kind::Float, model.compute.device))?;
            let context = contexts.at(timestep)?;
            let added = unet.added(context, sizes)?;
            let input = UNetInput { added: added.as_ref(), ..UNetInput::new(&scaled, &times, context) };
            let residuals = steering.residuals((entry - first, timesteps.len() - first), timestep, input)?;
            let read = start.beside(&scaled)?;
            let input = UNetInput { latents: &read, residuals: residuals.as_ref(), ..input };
            let noise_pred = unet.forward(input, hook)?.f_to_kind(Kind::Float)?;
            let noise_pred = if guided { self.apply_cfg(&noise_pred)? } else { noise_pred };
            latents = scheduler.step(&noise_pred, entry, &latents, start.step_noise(entry))?;
            latents = start.put_back(latents, scheduler.as_ref(), entry + 1)?;
            if latents.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                let what = format!("the latents after step {} of {}", entry + 1 - first, timesteps.len() - first);
                return Err(Error::NotFinite { what });
            }
        }
        let decode = |latents: &Tensor| match self.tiles {
            Some(tiles) => model.vae.decode_in_tiles(latents, tiles),
            None => model.vae.decode(latents),
        };
        (0..latents.size()[0])
            .map(|row| picture::from_tensor(&decode(&latents.f_narrow(0, row, 1)?)?.f_squeeze_dim(0)?))
            .collect()
    }

    fn is_guided(&self) -> bool {
        self.guidance_scale > 1.0
    }

    /// Classifier-free guidance of a batch whose first half has the negative prompt.
    fn apply_cfg(&self, noise_pred: &Tensor) -> Result<Tensor> {
        let halves = noise_pred.f_chunk(2, 0)?;
        let difference = halves[1].f_sub(&halves[0])?;
        Ok(halves[0].f_add(&difference.f_mul_scalar(self.guidance_scale)?)?)
    }
}
