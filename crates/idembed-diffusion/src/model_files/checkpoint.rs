//! The parts of a checkpoint in one file, in the layout of the original code.
//!
//! Such a file says nothing of what a configuration holds. Shapes are told by the tensors, the rest by the family; what
//! differs between models of one family and is not in the file is taken as it usually is.
//! Source: `StableDiffusionPipeline.from_single_file` in diffusers 0.42.

use std::path::{Path, PathBuf};

use idembed_clip::{Activation, ClipTextConfig, Padding};
use idembed_layouts::{Checkpoint, Conditioner, Family, Kind, text_encoder, unet, vae};
use idembed_weights::{Files, Listing, Source};

use super::{read_listing, renamed};
use crate::schedulers::{PredictionType, SchedulerConfigJson};
use crate::unet::{Heads, UNetConfig};
use crate::vae::VaeConfig;
use crate::{Error, Result};

/// What latents are multiplied with in 1.x and 2.x.
const SCALING_FACTOR: f64 = 0.18215;
/// Channels of the latents that text-to-image models read.
const LATENT_CHANNELS: i64 = 4;

/// A checkpoint of a family that this crate builds.
#[derive(Debug, Clone)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    listing: Listing,
    generation: Generation,
    contents: Checkpoint,
    /// What the file says that its U-Net predicts.
    said: Option<PredictionType>,
}

/// What the two generations of Stable Diffusion do differently and no shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// 1.x: OpenAI's CLIP, eight heads.
    First,
    /// 2.x: OpenCLIP, heads of 64 channels.
    Second,
}

impl CheckpointFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let listing = read_listing(path)?;
        let is = |what: String| format!("`{}` {what}", path.display());
        let contents = match Kind::of(&listing) {
            Kind::Checkpoint(contents) => contents,
            kind => {
                let hint = "give a checkpoint (a whole model in one file), or a folder in diffusers layout";
                return Err(Error::Unsupported { what: is(format!("is no checkpoint: {kind}")), hint: Some(hint) });
            }
        };
        let hint = Some("give a text-to-image model of Stable Diffusion 1.x or 2.x");
        let generation = match contents.family {
            Family::Sd1 => Generation::First,
            Family::Sd2 => Generation::Second,
            other => return Err(Error::Unsupported { what: is(format!("is a checkpoint of {other}")), hint }),
        };
        if let Some(channels) = contents.input_channels.filter(|&channels| channels != LATENT_CHANNELS) {
            let made_for = match channels {
                9 => "inpainting".to_owned(),
                8 => "editing pictures by instructions".to_owned(),
                5 => "drawing by depth".to_owned(),
                7 => "enlarging pictures".to_owned(),
                other => format!("something else: its U-Net reads {other} channels"),
            };
            return Err(Error::Unsupported { what: is(format!("is made for {made_for}")), hint });
        }
        let said = contents.prediction.as_deref().map(str::parse).transpose().map_err(|error| {
            let hint = Some("say what it predicts with --prediction");
            Error::Unsupported { what: is(format!("names a prediction in its metadata: {error}")), hint }
        })?;
        Ok(CheckpointFile { path: path.to_path_buf(), listing, generation, contents, said })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn usual_prediction(&self) -> PredictionType {
        match self.generation {
            Generation::First => PredictionType::Epsilon,
            Generation::Second => PredictionType::VPrediction,
        }
    }

    /// As the schedulers of the published models are set.
    pub(super) fn scheduler_config(&self) -> SchedulerConfigJson {
        let zero_snr = self.contents.zero_terminal_snr;
        SchedulerConfigJson {
            num_train_timesteps: Some(1000),
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some("scaled_linear".to_owned()),
            prediction_type: self.said.map(|said| said.to_string()),
            rescale_betas_zero_snr: zero_snr.then_some(true),
            timestep_spacing: zero_snr.then(|| "trailing".to_owned()),
            steps_offset: Some(1),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            ..SchedulerConfigJson::default()
        }
    }

    pub(super) fn padding(&self) -> Padding {
        match self.generation {
            Generation::First => Padding::EndToken,
            Generation::Second => Padding::Zero,
        }
    }

    pub(super) fn text_encoder(&self) -> Result<(ClipTextConfig, Box<dyn Source>)> {
        let listing = &self.listing;
        let (activation, source) = match self.contents.conditioner {
            Some(Conditioner::Transformers) => {
                let belongs = |name: &str| name.starts_with(text_encoder::TRANSFORMERS_PREFIX);
                (Activation::QuickGelu, renamed(&self.path, text_encoder::transformers(listing), belongs)?)
            }
            Some(Conditioner::OpenClip) => {
                let belongs = |name: &str| !text_encoder::is_unused_by_open_clip(listing, name);
                (Activation::Gelu, renamed(&self.path, text_encoder::open_clip(listing), belongs)?)
            }
            _ => {
                let hint = "name the folder of one with --text-encoder";
                return Err(Error::Incomplete { path: self.path.clone(), part: "text encoder", hint });
            }
        };
        Ok((ClipTextConfig::of_weights(&*source, activation)?, source))
    }

    /// The U-Net, which predicts what the user says or else the file.
    pub(super) fn unet(&self, prediction: Option<PredictionType>) -> Result<(UNetConfig, Box<dyn Source>)> {
        let belongs = |name: &str| name.starts_with(unet::PREFIX);
        let source = renamed(&self.path, unet::table(&self.listing), belongs)?;
        let heads = match self.generation {
            Generation::First => Heads::Count(8),
            Generation::Second => Heads::Width(64),
        };
        let config = UNetConfig::of_weights(&*source, heads)?;
        // What the published models of 768 pixels overflow in f16 without; they are those that predict the velocity.
        let prediction = prediction.or(self.said).unwrap_or(self.usual_prediction());
        let is_large = self.generation == Generation::Second && prediction == PredictionType::VPrediction;
        let sample_size = Some(if is_large { 96 } else { 64 });
        Ok((UNetConfig { sample_size, upcast_attention: is_large, ..config }, source))
    }

    pub(super) fn vae(&self) -> Result<(VaeConfig, Box<dyn Source>)> {
        if !self.contents.has_vae {
            let hint = "name the file of one with --vae";
            return Err(Error::Incomplete { path: self.path.clone(), part: "autoencoder", hint });
        }
        original_vae(&self.path, &self.listing, vae::PREFIX)
    }
}

/// The autoencoder in a file of its own, in the layout of the original code or of diffusers.
pub(super) fn vae_file(path: &Path) -> Result<(VaeConfig, Box<dyn Source>)> {
    let listing = read_listing(path)?;
    match Kind::of(&listing) {
        Kind::Vae { original: true, prefix } => original_vae(path, &listing, prefix),
        Kind::Checkpoint(Checkpoint { has_vae: true, .. }) => original_vae(path, &listing, vae::PREFIX),
        Kind::Vae { original: false, prefix: "" } => {
            let source: Box<dyn Source> = Box::new(Files::open(path)?);
            Ok((VaeConfig::of_weights(&*source, SCALING_FACTOR)?, source))
        }
        kind => {
            let what = format!("`{}` holds no autoencoder: {kind}", path.display());
            Err(Error::Unsupported { what, hint: Some("give an autoencoder of Stable Diffusion 1.x or 2.x") })
        }
    }
}

fn original_vae(path: &Path, listing: &Listing, prefix: &'static str) -> Result<(VaeConfig, Box<dyn Source>)> {
    // Autoencoders by themselves often carry what they were trained with.
    let belongs = |name: &str| name.starts_with(prefix) && !name[prefix.len()..].starts_with("loss.");
    let source = renamed(path, vae::table(listing, prefix), belongs)?;
    Ok((VaeConfig::of_weights(&*source, SCALING_FACTOR)?, source))
}
