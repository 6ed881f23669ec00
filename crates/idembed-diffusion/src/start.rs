//! Where a run of the sampler begins: at noise, at a picture with noise on it, or at a picture of which a part is drawn anew.
//!
//! Source: diffusers 0.42, `StableDiffusionPipeline`, `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline`, each
//! drawing one picture with a generator of its own: the same numbers in the same order.

use image::{GrayImage, RgbImage};
use tch::{Kind, Tensor};

use crate::noise::seeded_noise;
use crate::picture;
use crate::schedulers::Scheduler;
use crate::stable_diffusion::StableDiffusion;
use crate::vae::LatentDistribution;
use crate::{Error, Result};

/// From this grey level on, a pixel of a mask counts as white.
const WHITE: u8 = 128;

/// A picture to draw from.
#[derive(Debug, Clone, PartialEq)]
pub struct FromPicture {
    /// The picture, of the size that is drawn.
    pub picture: RgbImage,
    /// The share of the steps that is taken, 0 to 1: at 1 little of the picture is left.
    pub strength: f64,
    /// What is drawn anew, white in a mask of the picture's size; everything if `None`.
    pub mask: Option<GrayImage>,
}

impl FromPicture {
    /// The entry of the sampler's timesteps that a run with `steps` begins with.
    ///
    /// # Errors
    /// [`Error::Setting`] if the strength is out of its range or leaves no step.
    pub fn first_entry(&self, scheduler: &dyn Scheduler, steps: usize) -> Result<usize> {
        let strength = self.strength;
        if !(0.0..=1.0).contains(&strength) {
            return Err(Error::Setting(format!("the strength is {strength}, expected 0 to 1")));
        }
        let taken = ((steps as f64 * strength) as usize).min(steps);
        let first = (steps - taken) * scheduler.entries_per_step();
        if taken == 0 || first >= scheduler.timesteps().len() {
            let least = 1.0 / steps.max(1) as f64;
            return Err(Error::Setting(format!(
                "a strength of {strength} leaves none of {steps} steps; take {least:.2} or more, or more steps"
            )));
        }
        Ok(first)
    }

    /// Fails unless picture and mask have the size that is drawn, and the mask has a part to draw anew; `unit` is how many pixels
    /// one latent stands for, along each side.
    ///
    /// # Errors
    /// [`Error::Setting`] says what is wrong.
    pub fn check(&self, width: i64, height: i64, unit: i64) -> Result<()> {
        let wanted = (width, height);
        let is_as_wanted = |size: (u32, u32)| (i64::from(size.0), i64::from(size.1)) == wanted;
        let sizes = [("picture to draw from", Some(self.picture.dimensions()))];
        let sizes = sizes.into_iter().chain([("mask", self.mask.as_ref().map(GrayImage::dimensions))]);
        for (what, size) in sizes {
            if let Some(size) = size.filter(|&size| !is_as_wanted(size)) {
                return Err(Error::Setting(format!(
                    "the {what} is {} x {} pixels, expected {width} x {height}",
                    size.0, size.1
                )));
            }
        }
        let Some(mask) = &self.mask else { return Ok(()) };
        if !cells(mask, unit as u32).any(|white| white) {
            return Err(Error::Setting(format!(
                "the mask has no white part that the model could draw anew: it sees one pixel in {unit} x {unit}"
            )));
        }
        Ok(())
    }
}

/// Which latents a mask covers, row by row: each is asked of its first pixel, as `torch.nn.functional.interpolate` does.
fn cells(mask: &GrayImage, unit: u32) -> impl Iterator<Item = bool> + '_ {
    let (columns, rows) = (mask.width() / unit, mask.height() / unit);
    (0..rows).flat_map(move |row| (0..columns).map(move |column| mask.get_pixel(column * unit, row * unit)[0] >= WHITE))
}

/// A picture to draw from as the networks see it, the same for all seeds.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Its latents, where they are needed.
    clean: Option<LatentDistribution>,
    redrawn: Option<Redrawn>,
    /// Whether the run begins at noise alone.
    from_noise: bool,
}

/// The part that is drawn anew.
#[derive(Debug)]
struct Redrawn {
    /// 1 there and 0 elsewhere, `[1, 1, height, width]` of the latents.
    mask: Tensor,
    /// The latents of the picture with grey there.
    around: LatentDistribution,
    /// Whether the U-Net reads both.
    is_read: bool,
}

impl Origin {
    /// Encodes the picture.
    pub(crate) fn new(from: &FromPicture, model: &StableDiffusion) -> Result<Self> {
        let image = picture::to_tensor(&from.picture)?;
        let is_read = model.unet.config().is_inpainting();
        // Like the reference: a run of all steps that redraws a part begins at noise.
        let from_noise = from.mask.is_some() && from.strength == 1.0;
        let clean = if from_noise && is_read { None } else { Some(model.vae.encode(&image)?) };
        let redrawn = from.mask.as_ref().map(|mask| -> Result<Redrawn> {
            let unit = model.pixels_per_latent();
            let (height, width) = (i64::from(mask.height()), i64::from(mask.width()));
            let white = |pixels: Vec<f32>, size: [i64; 4]| -> Result<Tensor> {
                Ok(Tensor::f_from_slice(&pixels)?.f_view(size)?)
            };
            let outside: Vec<f32> = mask.pixels().map(|pixel| if pixel[0] < WHITE { 1.0 } else { 0.0 }).collect();
            let around = image.f_mul(&white(outside, [1, 1, height, width])?)?;
            let cells: Vec<f32> = cells(mask, unit as u32).map(|white| if white { 1.0 } else { 0.0 }).collect();
            let mask = white(cells, [1, 1, height / unit, width / unit])?.f_to_device(model.compute.device)?;
            Ok(Redrawn { mask, around: model.vae.encode(&around)?, is_read })
        });
        Ok(Origin { clean, redrawn: redrawn.transpose()?, from_noise })
    }
}

/// What a batch of pictures begins with, and what is known of them beforehand.
#[derive(Debug)]
pub(crate) struct Start {
    /// The entry of the timesteps that comes first.
    pub(crate) first: usize,
    /// `[pictures, channels, height, width]`, unscaled.
    pub(crate) latents: Tensor,
    /// What the sampler adds, for each entry from the first on.
    step_noise: Vec<Tensor>,
    around: Around,
}

/// What stays of a picture.
#[derive(Debug)]
enum Around {
    Nothing,
    /// The U-Net reads it beside the latents, `[pictures, channels + 1, height, width]`.
    Read(Tensor),
    /// It is put back after each step, with the noise of that step.
    PutBack {
        clean: Tensor,
        noise: Tensor,
        mask: Tensor,
    },
}

impl Start {
    /// Draws the numbers of every picture, which do not depend on its batch mates.
    ///
    /// `shape` is that of one picture's latents, `first` the entry that the run begins with.
    pub(crate) fn new(
        origin: Option<&Origin>,
        shape: [i64; 4],
        scheduler: &dyn Scheduler,
        first: usize,
        seeds: &[u64],
        model: &StableDiffusion,
    ) -> Result<Self> {
        let (clean, redrawn) = match origin {
            Some(origin) => (origin.clean.as_ref(), origin.redrawn.as_ref()),
            None => (None, None),
        };
        let later = scheduler.noise_draws().saturating_sub(first);
        let draws = 1 + usize::from(clean.is_some()) + usize::from(redrawn.is_some()) + later;
        let per_picture =
            seeds.iter().map(|&seed| seeded_noise(seed, &shape, draws)).collect::<Result<Vec<Vec<Tensor>>>>()?;
        let mut drawn = (0..draws).map(|draw| -> Result<Tensor> {
            let rows: Vec<&Tensor> = per_picture.iter().map(|noise| &noise[draw]).collect();
            Ok(Tensor::f_cat(&rows, 0)?.f_to_device(model.compute.device)?)
        });
        let mut draw = || drawn.next().unwrap_or_else(|| Err(Error::Setting("no number is left to draw".to_owned())));

        let clean = clean.map(|clean| clean.sample(&draw()?)).transpose()?;
        let noise = draw()?;
        let latents = match &clean {
            Some(clean) if origin.is_some_and(|origin| !origin.from_noise) => {
                scheduler.add_noise(clean, &noise, first)?
            }
            _ => noise.f_mul_scalar(scheduler.init_noise_sigma())?,
        };
        let around = match redrawn {
            None => Around::Nothing,
            Some(redrawn) => {
                // Drawn even where nothing looks at it, as in the reference: the numbers after it are the same then.
                let around = redrawn.around.sample(&draw()?)?;
                let mask = redrawn.mask.shallow_clone();
                match clean {
                    Some(clean) if !redrawn.is_read => Around::PutBack { clean, noise, mask },
                    _ => {
                        let mask = mask.f_expand([seeds.len() as i64, 1, shape[2], shape[3]], false)?;
                        Around::Read(Tensor::f_cat(&[&mask, &around], 1)?)
                    }
                }
            }
        };
        Ok(Start { first, latents, step_noise: drawn.collect::<Result<_>>()?, around })
    }

    /// What the sampler adds at an entry, if anything.
    pub(crate) fn step_noise(&self, entry: usize) -> Option<&Tensor> {
        self.step_noise.get(entry - self.first)
    }

    /// What the U-Net reads: scaled latents, once or twice for each picture, and what belongs beside them.
    pub(crate) fn beside(&self, latents: &Tensor) -> Result<Tensor> {
        let Around::Read(around) = &self.around else { return Ok(latents.shallow_clone()) };
        let times = latents.size()[0] / around.size()[0];
        Ok(Tensor::f_cat(&[&latents.f_to_kind(Kind::Float)?, &around.f_repeat([times, 1, 1, 1])?], 1)?)
    }

    /// The latents after a step with what stays of the picture put back, as noisy as `next` entry begins.
    pub(crate) fn put_back(&self, latents: Tensor, scheduler: &dyn Scheduler, next: usize) -> Result<Tensor> {
        let Around::PutBack { clean, noise, mask } = &self.around else { return Ok(latents) };
        let is_last = next == scheduler.timesteps().len();
        let outside = if is_last { clean.shallow_clone() } else { scheduler.add_noise(clean, noise, next)? };
        let kept = mask.f_neg()?.f_add_scalar(1.0)?.f_mul(&outside)?;
        Ok(kept.f_add(&mask.f_mul(&latents)?)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use image::Luma;

    use super::*;
    use crate::schedulers::{SchedulerConfigJson, SchedulerKind, build};

    fn from(strength: f64) -> FromPicture {
        FromPicture { picture: RgbImage::new(24, 16), strength, mask: None }
    }

    #[test]
    fn the_share_of_steps_is_rounded_down() {
        let first = |kind, strength, steps| {
            let scheduler = build(kind, &SchedulerConfigJson::default(), steps).unwrap();
            from(strength).first_entry(scheduler.as_ref(), steps)
        };
        assert_eq!(first(SchedulerKind::Ddim, 1.0, 10).unwrap(), 0);
        assert_eq!(first(SchedulerKind::Ddim, 0.75, 10).unwrap(), 3);
        assert_eq!(first(SchedulerKind::Heun, 0.75, 10).unwrap(), 6);
        for (strength, expected) in
            [(0.09, "leaves none of 10 steps; take 0.10"), (1.5, "0 to 1"), (f64::NAN, "0 to 1")]
        {
            let message = first(SchedulerKind::Euler, strength, 10).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn sizes_are_checked_and_masks_must_reach_a_latent() {
        from(0.5).check(24, 16, 8).unwrap();
        assert!(from(0.5).check(16, 24, 8).unwrap_err().to_string().contains("24 x 16 pixels, expected 16 x 24"));
        let masked = |mask: GrayImage| FromPicture { mask: Some(mask), ..from(0.5) };
        assert!(
            masked(GrayImage::new(16, 16)).check(24, 16, 8).unwrap_err().to_string().contains("the mask is 16 x 16")
        );
        let mut mask = GrayImage::new(24, 16);
        mask.put_pixel(3, 3, Luma([255]));
        assert!(masked(mask.clone()).check(24, 16, 8).unwrap_err().to_string().contains("no white part"));
        mask.put_pixel(8, 8, Luma([WHITE]));
        masked(mask.clone()).check(24, 16, 8).unwrap();
        assert_eq!(cells(&mask, 8).collect::<Vec<_>>(), [false, false, false, false, true, false]);
    }
}
