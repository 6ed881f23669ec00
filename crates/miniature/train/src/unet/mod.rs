//! The stage `unet`: the noise predictor, and the text encoder with it.
//!
//! Both are trained together, since the states of the words decide what attention can hold on to.

pub(crate) mod album;
pub(crate) mod batch;
mod caption;
mod folder;
mod grounding;
pub(crate) mod held_out;
mod networks;
pub(crate) mod sheet;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use idembed_optimizer::Ema;
use idembed_weights::{Compute, Parameters};
use idembed_world::Sample;
use image::RgbImage;
use tch::{Device, Kind};

use crate::recipe::Usual;
use crate::{Check, Choices, Losses, Recipe, Result, RunOptions, Share, Task, seeds};
use album::Album;
use batch::Source;
pub use batch::{NoisyBatch, min_snr_weight};
use folder::ModelFolder;
pub use grounding::PlacedWords;
use held_out::HeldOut;
pub use networks::Networks;
use networks::UNET;

const USUAL: Usual = Usual { samples: 400_000, batch: 32, learning_rate: 8e-4 };
/// Different pictures among them; each comes several times, with other captions and other noise. On few cores, drawing and
/// encoding one costs two thirds of a training step with it.
const PICTURES: usize = 12 * 4096;
/// How much the words' places count beside the noise.
const GROUNDING: f64 = 0.05;

/// The share of samples without a caption, for guidance without a classifier (arXiv 2207.12598).
const EMPTY: f64 = 0.1;

/// The layers that end the branches of residual and attention blocks, and the U-Net itself.
const LAST_LAYERS: [&str; 3] = [".conv2.", ".proj_out.", "conv_out."];

/// The U-Net's training.
#[derive(Debug)]
pub struct UNetTask {
    recipe: Recipe,
    compute: Compute,
    folder: ModelFolder,
    album: Album,
    held_out: HeldOut,
    /// Tells which autoencoder the latents are from.
    vae: String,
}

impl UNetTask {
    /// The stage for a recipe, in the folder where the earlier stages left the autoencoder and CLIP; what is not there is
    /// taken from the model that is trained further.
    ///
    /// Draws and encodes the pictures first, which takes minutes; what is done is kept.
    ///
    /// # Errors
    /// An earlier stage is missing, a file cannot be read or written, or `stop` became true.
    pub fn new(recipe: Recipe, options: &RunOptions, stop: &AtomicBool, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let RunOptions { out, from, .. } = options;
        let compute = Compute { kind: Kind::Float, ..options.compute };
        let folder = ModelFolder::prepare(out, from.as_deref())?;
        let vae = folder.vae(compute)?;
        let pictures = PICTURES.min(recipe.steps() * recipe.batch);
        let sample = |index| training_sample(&recipe, index);
        let album = Album::open(&out.join("album"), &vae, sample, pictures, stop, say)?;
        let held_out = HeldOut::draw(&vae)?;
        Ok(UNetTask { recipe, compute, folder, album, held_out, vae: vae.fingerprint()? })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        let cosine = Recipe::cosine(choices, USUAL);
        // So long a training settles slowly.
        Recipe { ema: Ema { decay: 0.9995 }, ..cosine }
    }

    fn source(&self) -> Source<'_> {
        let ModelFolder { tokenizer, schedule, .. } = &self.folder;
        Source { album: &self.album, tokenizer, schedule, empty: EMPTY, weight: min_snr_weight }
    }
}

/// The picture of this number in a run's album.
pub(crate) fn training_sample(recipe: &Recipe, index: usize) -> Sample {
    Sample::training(seeds::training(recipe.seed, index as u64))
}

impl Task for UNetTask {
    type Batch = NoisyBatch;
    type Network = Networks;

    fn name(&self) -> &'static str {
        "unet"
    }

    fn settings(&self) -> Vec<(String, String)> {
        let unet = &self.folder.unet_config;
        let text = &self.folder.text_config;
        let fields = [
            ("network", format!("{:?} {:?}", unet.blocks, (text.hidden_size, text.layers, text.vocab_size))),
            ("pictures", self.album.count().to_string()),
            ("vae", self.vae.clone()),
            ("grounding", GROUNDING.to_string()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Networks> {
        Networks::new(self.folder.text_config.clone(), self.folder.unet_config.clone(), parameters, kind)
    }

    /// The text encoder goes on from CLIP's, which knows the words already. Every branch of the U-Net begins as nothing,
    /// so that it learns from the plain path first (arXiv 2105.05233, as in its code).
    fn begin(&self, parameters: &Parameters) -> Result<()> {
        self.folder.read_text_encoder(parameters)?;
        let ends_branch = |name: &str| LAST_LAYERS.iter().any(|layer| name.contains(layer));
        tch::no_grad(|| {
            for (_, mut tensor) in parameters.part(UNET).list().into_iter().filter(|(name, _)| ends_branch(name)) {
                let _ = tensor.f_zero_()?;
            }
            Ok(())
        })
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        // Words that the model does not know begin as CLIP's.
        self.folder.read_text_encoder(parameters)?;
        self.folder.read_weights(parameters, folder)
    }

    fn draw(&self, step: usize, share: Share) -> Result<NoisyBatch> {
        let first = step * self.recipe.batch;
        let samples = share.samples(self.recipe.batch);
        // One seed for each share; the number of threads decides where shares begin.
        let seed = seeds::training(self.recipe.seed, (first + samples.start) as u64);
        let count = self.album.count();
        let pictures: Vec<usize> = samples.map(|sample| (first + sample) % count).collect();
        self.source().batch(&pictures, |index| training_sample(&self.recipe, index), None, seed)
    }

    fn losses(&self, networks: &Networks, batch: &NoisyBatch, device: Device) -> Result<Losses> {
        networks.losses(&batch.to_device(device)?, GROUNDING)
    }

    fn glance(&self, networks: &Networks) -> Result<Vec<Check>> {
        self.held_out.checks(networks, self.source(), true, self.compute.device)
    }

    fn check(&self, networks: &Networks) -> Result<Vec<Check>> {
        self.held_out.checks(networks, self.source(), false, self.compute.device)
    }

    fn sheet(&self, _: &Networks) -> Result<RgbImage> {
        sheet::draw(&self.folder.path, self.compute)
    }

    fn export(&self, _: &Networks, parameters: &Parameters, _: &Path) -> Result<()> {
        self.folder.write_weights(parameters)
    }
}
