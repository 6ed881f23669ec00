//! The stage `clip`: a text encoder and an image encoder that learn which caption belongs to which picture.
//!
//! It measures how well a picture shows what a prompt says.

mod batch;
mod held_out;
mod loss;

use std::path::{Path, PathBuf};

use idembed_clip::{Activation, ClipConfig, ClipModel, ClipPreprocessor, ClipTextConfig, ClipVisionConfig, Tokenizer};
use idembed_weights::{Parameters, Weights};
use idembed_world::SIDE;
use image::RgbImage;
use tch::{Device, Kind};

use crate::outputs::{WEIGHTS, read_text_weights};
use crate::recipe::Usual;
use crate::{Check, Choices, Losses, Recipe, Result, Share, Task, tokenizer};
pub use batch::CaptionedBatch;
use held_out::HeldOut;
pub use loss::ClipLoss;

/// Its folder within that of a run: network, tokenizer and how pictures are prepared, as `transformers` keeps them.
const FOLDER: &str = "clip";
/// Each worker compares its share of a step with itself only. In a short trial, steps of 128 learned less from as many
/// samples.
const USUAL: Usual = Usual { samples: 400_000, batch: 64, learning_rate: 1e-3 };

/// The part of the training until all pictures come in groups that are alike; there are more and more of them.
const ALIKE_AFTER: f64 = 0.5;

/// The training of CLIP.
#[derive(Debug)]
pub struct ClipTask {
    recipe: Recipe,
    config: ClipConfig,
    loss: ClipLoss,
    preprocessor: ClipPreprocessor,
    /// Where the tokenizer is.
    folder: PathBuf,
    tokenizer: Tokenizer,
    held_out: HeldOut,
}

impl ClipTask {
    /// The stage for a recipe, in the folder `out`, where the tokenizer is made if it is not there.
    ///
    /// # Errors
    /// The tokenizer cannot be read or written.
    pub fn new(recipe: Recipe, out: &Path) -> Result<Self> {
        let folder = out.join(FOLDER);
        let tokenizer = tokenizer::ensure(&folder)?;
        let config = config(&tokenizer);
        let preprocessor = ClipPreprocessor::openai(config.vision.image_size);
        let held_out = HeldOut::draw(tokenizer.clone(), preprocessor.clone())?;
        Ok(ClipTask { recipe, config, loss: ClipLoss::default(), preprocessor, folder, tokenizer, held_out })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        Recipe::cosine(choices, USUAL)
    }
}

/// The network: the text encoder is of the shape of Stable Diffusion's.
fn config(tokenizer: &Tokenizer) -> ClipConfig {
    let (activation, layer_norm_eps) = (Activation::QuickGelu, 1e-5);
    ClipConfig {
        text: ClipTextConfig {
            vocab_size: tokenizer.vocab_size() as i64,
            hidden_size: 128,
            intermediate_size: 512,
            layers: 3,
            heads: 4,
            max_positions: tokenizer.max_length() as i64,
            activation,
            layer_norm_eps,
            projection_dim: 128,
        },
        vision: ClipVisionConfig {
            image_size: SIDE.into(),
            patch_size: 16,
            hidden_size: 192,
            intermediate_size: 768,
            layers: 4,
            heads: 6,
            activation,
            layer_norm_eps,
        },
        projection_dim: 128,
        end_token: Some(tokenizer.eos()),
    }
}

impl Task for ClipTask {
    type Batch = CaptionedBatch;
    type Network = ClipModel;

    fn name(&self) -> &'static str {
        "clip"
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ClipConfig { text, vision, projection_dim, .. } = &self.config;
        let text = format!("{} {} {} {}", text.vocab_size, text.hidden_size, text.layers, text.heads);
        let vision = format!("{} {} {} {}", vision.patch_size, vision.hidden_size, vision.layers, vision.heads);
        let network = format!("text {text}, vision {vision}, projection {projection_dim}");
        let fields = [("network", network), ("loss", self.loss.to_string()), ("alike", ALIKE_AFTER.to_string())];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<ClipModel> {
        Ok(ClipModel::from_weights(self.config.clone(), Weights::from_parameters(parameters, kind))?)
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        let from = folder.join(FOLDER);
        read_text_weights(parameters, &from.join(WEIGHTS), &from, &self.folder)
    }

    fn draw(&self, step: usize, share: Share) -> Result<CaptionedBatch> {
        let samples = share.samples(self.recipe.batch);
        let first = (step * self.recipe.batch + samples.start) as u64;
        let alike = (step as f64 / (ALIKE_AFTER * self.recipe.steps() as f64)).min(1.0);
        CaptionedBatch::draw(self.recipe.seed, first, samples.len(), alike, &self.tokenizer)
    }

    fn losses(&self, network: &ClipModel, batch: &CaptionedBatch, device: Device) -> Result<Losses> {
        let pixel_values = self.preprocessor.normalise(&batch.pixels.f_to_device(device)?)?;
        self.loss.losses(network, &pixel_values, &batch.ids, &batch.words)
    }

    fn glance(&self, network: &ClipModel) -> Result<Vec<Check>> {
        self.held_out.glance(network)
    }

    fn check(&self, network: &ClipModel) -> Result<Vec<Check>> {
        self.held_out.check(network)
    }

    fn sheet(&self, network: &ClipModel) -> Result<RgbImage> {
        self.held_out.sheet(network)
    }

    fn export(&self, _: &ClipModel, parameters: &Parameters, out: &Path) -> Result<()> {
        let folder = out.join(FOLDER);
        parameters.save(&folder.join(WEIGHTS), Kind::Half)?;
        self.config.write(&folder.join("config.json"))?;
        Ok(self.preprocessor.write(&folder.join("preprocessor_config.json"))?)
    }
}
