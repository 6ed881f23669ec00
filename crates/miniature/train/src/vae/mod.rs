//! The stage `vae`: the autoencoder, encoder and decoder together.
//!
//! It decides what of a face can come back at all, so half of what it sees are faces.

mod crops;
pub(crate) mod held_out;
mod loss;

use std::path::Path;

use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::vae::{Vae, VaeConfig};
use idembed_weights::{Parameters, Weights};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::outputs::{DIFFUSERS_WEIGHTS, make_folder, read_weights};
use crate::pixels::to_images;
use crate::recipe::Usual;
use crate::{Check, Choices, Losses, Recipe, Result, Share, Task};
use crops::Pictures;
use held_out::HeldOut;
pub use loss::LossWeights;

const USUAL: Usual = Usual { samples: 400_000, batch: 8, learning_rate: 1e-3 };
/// One step of so many sees whole pictures, the others crops: the group norms have to know both, and a crop is cheap.
const WHOLE_EVERY: usize = 4;

/// The autoencoder's training.
#[derive(Debug)]
pub struct VaeTask {
    config: VaeConfig,
    weights: LossWeights,
    pictures: Pictures,
    recipe: Recipe,
    held_out: HeldOut,
}

/// A share of a step.
#[derive(Debug)]
pub struct PictureBatch {
    /// `[batch, 3, side, side]`, bytes.
    pixels: Tensor,
    /// Standard normal, of the latents' shape.
    noise: Tensor,
}

impl VaeTask {
    /// The stage for a recipe.
    ///
    /// # Errors
    /// When the held-out pictures cannot be drawn.
    pub fn new(recipe: Recipe) -> Result<Self> {
        Ok(VaeTask {
            config: config(),
            weights: LossWeights::default(),
            pictures: Pictures { run: recipe.seed },
            recipe,
            held_out: HeldOut::draw()?,
        })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        Recipe::cosine(choices, USUAL)
    }
}

/// The network: without attention, so that what it learns on crops holds for whole pictures.
fn config() -> VaeConfig {
    VaeConfig {
        image_channels: 3,
        latent_channels: 4,
        block_channels: vec![32, 64, 128, 128],
        layers: 1,
        norm_groups: 8,
        // Until it is measured.
        scaling_factor: 1.0,
        quant_conv: true,
        post_quant_conv: true,
        mid_attention: false,
        // As for Stable Diffusion's own: nobody measured that f16 is enough.
        force_upcast: true,
    }
}

impl Task for VaeTask {
    type Batch = PictureBatch;
    type Network = Vae;

    fn name(&self) -> &'static str {
        "vae"
    }

    fn settings(&self) -> Vec<(String, String)> {
        let VaeConfig { block_channels, layers, norm_groups, mid_attention, .. } = &self.config;
        let network = format!("{block_channels:?} {layers} {norm_groups} {mid_attention}");
        let fields = [
            ("network", network),
            ("loss", self.weights.to_string()),
            ("crops", format!("{} {WHOLE_EVERY}", crops::SIDE)),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Vae> {
        Ok(Vae::from_weights(self.config.clone(), Weights::from_parameters(parameters, kind))?)
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        read_weights(parameters, &folder.join("vae").join(DIFFUSERS_WEIGHTS))
    }

    fn draw(&self, step: usize, share: Share) -> Result<PictureBatch> {
        let batch = self.recipe.batch;
        let samples = share.samples(batch);
        let (first, count) = (samples.start as i64, samples.len() as i64);
        let whole = (step + 1).is_multiple_of(WHOLE_EVERY);
        let draw = if whole { Pictures::whole } else { Pictures::crops };
        let pixels = draw(&self.pictures, (step * batch + samples.start) as u64, samples.len())?;
        let side = pixels.size()[2] / self.config.downscale();
        let seed = (self.recipe.seed << 32) + step as u64;
        let shape = [batch as i64, self.config.latent_channels, side, side];
        let noise = Tensor::f_cat(&seeded_noise(seed, &shape, 1)?, 0)?;
        Ok(PictureBatch { pixels, noise: noise.f_narrow(0, first, count)? })
    }

    fn losses(&self, network: &Vae, batch: &PictureBatch, device: Device) -> Result<Losses> {
        let images = to_images(&batch.pixels, device)?;
        let moments = network.moments(&images)?;
        let latents = moments.mean.f_add(&moments.std()?.f_mul(&batch.noise.f_to_device(device)?)?)?;
        self.weights.losses(&images, &network.decode(&latents)?, &moments)
    }

    fn glance(&self, network: &Vae) -> Result<Vec<Check>> {
        self.held_out.glance(network)
    }

    fn check(&self, network: &Vae) -> Result<Vec<Check>> {
        self.held_out.check(network)
    }

    fn sheet(&self, network: &Vae) -> Result<RgbImage> {
        self.held_out.sheet(network)
    }

    fn export(&self, network: &Vae, parameters: &Parameters, folder: &Path) -> Result<()> {
        let scaling_factor = 1.0 / self.held_out.latents_std(network)?;
        let folder = folder.join("vae");
        make_folder(&folder)?;
        parameters.save(&folder.join(DIFFUSERS_WEIGHTS), Kind::Half)?;
        let config = VaeConfig { scaling_factor, ..self.config.clone() };
        Ok(config.write(&folder.join("config.json"))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn one_step_in_four_sees_whole_pictures() {
        let recipe = VaeTask::recipe(&Choices { samples: Some(64), batch: Some(4), ..Choices::default() });
        let stage = VaeTask::new(recipe).unwrap();
        for step in 0..8 {
            let PictureBatch { pixels, noise } = stage.draw(step, Share { index: 1, of: 2 }).unwrap();
            let side = if step % 4 == 3 { 128 } else { 64 };
            assert_eq!(pixels.size(), [2, 3, side, side], "step {step}");
            assert_eq!(noise.size(), [2, 4, side / 8, side / 8], "step {step}");
        }
    }
}
