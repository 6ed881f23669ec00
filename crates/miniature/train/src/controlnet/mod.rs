//! The stage `controlnet`: a ControlNet for the edges of pictures (arXiv 2302.05543), beside a U-Net that stays as it is.

mod agreement;
mod batch;
mod config;
mod held_out;
mod networks;
pub(crate) mod pairs;
pub(crate) mod sheet;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use idembed_clip::Tokenizer;
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::controlnet::ControlNetConfig;
use idembed_diffusion::schedulers::NoiseSchedule;
use idembed_weights::{Compute, Parameters};
use image::RgbImage;
use tch::{Device, Kind};

use crate::outputs::{self, DIFFUSERS_WEIGHTS, write};
use crate::recipe::Usual;
use crate::unet::album::Album;
use crate::unet::batch::Source;
use crate::unet::training_sample;
use crate::{Check, Choices, Losses, PretrainError, Recipe, Result, RunOptions, Share, Task, seeds};
pub use agreement::agreement;
pub use batch::{SteeredBatch, velocity_weight};
use held_out::HeldOut;
pub use networks::Steered;

const USUAL: Usual = Usual { samples: 56_000, batch: 8, learning_rate: 5e-4 };
/// Different pictures among them; each comes several times, with other captions and other noise.
const PICTURES: usize = 2 * 4096;
/// The share of pictures without a caption, in which only the edges tell what there is.
const EMPTY: f64 = 0.3;
/// The name of the stage, and of its folder.
pub(crate) const NAME: &str = "controlnet";
pub(crate) const CONFIG: &str = "config.json";

/// The ControlNet's training.
#[derive(Debug)]
pub struct ControlNetTask {
    recipe: Recipe,
    compute: Compute,
    /// The folder of the model that is steered.
    model: PathBuf,
    config: ControlNetConfig,
    tokenizer: Tokenizer,
    schedule: NoiseSchedule,
    album: Album,
    held_out: HeldOut,
    /// Tells which U-Net is steered.
    unet: String,
}

impl ControlNetTask {
    /// The stage for a recipe, for the model that the stage `unet` left, or else for the one that is trained further.
    ///
    /// Draws and encodes the pictures first, which takes minutes; what is done is kept.
    ///
    /// # Errors
    /// There is no such model, a file cannot be read or written, or `stop` became true.
    pub fn new(recipe: Recipe, options: &RunOptions, stop: &AtomicBool, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let RunOptions { out, from, .. } = options;
        let compute = Compute { kind: Kind::Float, ..options.compute };
        let made = out.join("model");
        let model = match from {
            Some(from) if !unet_weights(&made).is_file() => from.clone(),
            _ => made,
        };
        if !unet_weights(&model).is_file() {
            let (path, source) = (unet_weights(&model), io::Error::from(io::ErrorKind::NotFound));
            return Err(PretrainError::Earlier { stage: "unet", path, source });
        }
        let config = out.join(NAME).join(CONFIG);
        write(&config, &config::of_unet(&model.join("unet").join(CONFIG))?)?;
        let StableDiffusion { text_encoders, unet, vae, noise_schedule: schedule, .. } =
            StableDiffusion::load(&model, compute)?;
        let pictures = PICTURES.min(recipe.steps() * recipe.batch);
        let sample = |index| training_sample(&recipe, index);
        let album = Album::open(&out.join("album"), &vae, sample, pictures, stop, say)?;
        Ok(ControlNetTask {
            recipe,
            compute,
            config: ControlNetConfig::read(&config)?,
            tokenizer: text_encoders.into_first().tokenizer,
            schedule,
            album,
            held_out: HeldOut::draw(&vae)?,
            unet: unet.fingerprint()?,
            model,
        })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        Recipe::cosine(choices, USUAL)
    }

    fn source(&self) -> Source<'_> {
        let ControlNetTask { album, tokenizer, schedule, .. } = self;
        Source { album, tokenizer, schedule, empty: EMPTY, weight: velocity_weight }
    }
}

/// Where a model's U-Net is.
fn unet_weights(model: &Path) -> PathBuf {
    model.join("unet").join(DIFFUSERS_WEIGHTS)
}

impl Task for ControlNetTask {
    type Batch = SteeredBatch;
    type Network = Steered;

    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> Vec<(String, String)> {
        let fields = [
            ("network", format!("{:?} {:?}", self.config.unet.blocks, self.config.hint_channels)),
            ("pictures", self.album.count().to_string()),
            ("unet", self.unet.clone()),
            ("without a caption", EMPTY.to_string()),
            ("weights", "velocity".to_owned()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Steered> {
        Steered::new(self.config.clone(), &self.model, parameters, kind)
    }

    fn begin(&self, parameters: &Parameters) -> Result<()> {
        networks::begin(parameters, &unet_weights(&self.model))
    }

    /// A model without a ControlNet gets its first one.
    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        let weights = folder.join(NAME).join(DIFFUSERS_WEIGHTS);
        if weights.is_file() { outputs::read_weights(parameters, &weights) } else { self.begin(parameters) }
    }

    fn draw(&self, step: usize, share: Share) -> Result<SteeredBatch> {
        let first = step * self.recipe.batch;
        let samples = share.samples(self.recipe.batch);
        // One seed for each share; the number of threads decides where shares begin.
        let seed = seeds::training(self.recipe.seed, (first + samples.start) as u64);
        let count = self.album.count();
        let pictures: Vec<usize> = samples.map(|sample| (first + sample) % count).collect();
        SteeredBatch::of(&self.source(), &pictures, |index| training_sample(&self.recipe, index), None, seed)
    }

    fn losses(&self, networks: &Steered, batch: &SteeredBatch, device: Device) -> Result<Losses> {
        networks.losses(&batch.to_device(device)?)
    }

    fn glance(&self, networks: &Steered) -> Result<Vec<Check>> {
        self.held_out.checks(networks, self.source(), true, self.compute.device)
    }

    fn check(&self, networks: &Steered) -> Result<Vec<Check>> {
        self.held_out.checks(networks, self.source(), false, self.compute.device)
    }

    fn sheet(&self, networks: &Steered) -> Result<RgbImage> {
        sheet::draw(&self.model, &networks.net, self.compute)
    }

    fn export(&self, _: &Steered, parameters: &Parameters, folder: &Path) -> Result<()> {
        Ok(parameters.save(&folder.join(NAME).join(DIFFUSERS_WEIGHTS), Kind::Half)?)
    }
}
