//! The parts of a checkpoint in one file, in the layout of the original code.
//!
//! Such a file says nothing of what a configuration holds. Shapes are told by the tensors, the rest by the family; what
//! differs between models of one family and is not in the file is taken as it usually is.
//! Source: `StableDiffusionPipeline.from_single_file` in diffusers 0.42.

use std::path::{Path, PathBuf};

use idembed_clip::{Activation, ClipTextConfig, Padding};
use idembed_layouts::text_encoder::{self, Form, Place};
use idembed_layouts::{Checkpoint, Family, Kind, unet, vae};
use idembed_weights::{Files, Listing, Source};

use super::{read_listing, renamed};
use crate::schedulers::{PredictionType, SchedulerConfigJson};
use crate::unet::{Heads, UNetConfig};
use crate::vae::VaeConfig;
use crate::{Error, Result};

/// Channels of the latents that text-to-image models read.
const LATENT_CHANNELS: i64 = 4;
/// Channels that inpainting models read: latents, a mask, and the latents of the picture around it.
const INPAINTING_CHANNELS: i64 = 9;

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

/// What the generations of Stable Diffusion do differently and no shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// 1.x: OpenAI's CLIP, eight heads.
    First,
    /// 2.x: OpenCLIP, heads of 64 channels.
    Second,
    /// SDXL: both text encoders, heads of 64 channels.
    Xl,
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
        let hint = Some("give a text-to-image model of Stable Diffusion 1.x or 2.x, or of SDXL");
        let generation = match contents.family {
            Family::Sd1 => Generation::First,
            Family::Sd2 => Generation::Second,
            Family::Sdxl => Generation::Xl,
            other => return Err(Error::Unsupported { what: is(format!("is a checkpoint of {other}")), hint }),
        };
        let is_read = |channels: i64| [LATENT_CHANNELS, INPAINTING_CHANNELS].contains(&channels);
        if let Some(channels) = contents.input_channels.filter(|&channels| !is_read(channels)) {
            let made_for = match channels {
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

    pub(super) fn is_xl(&self) -> bool {
        self.generation == Generation::Xl
    }

    pub(super) fn is_inpainting(&self) -> bool {
        self.contents.input_channels == Some(INPAINTING_CHANNELS)
    }

    pub(super) fn usual_prediction(&self) -> PredictionType {
        match self.generation {
            Generation::First | Generation::Xl => PredictionType::Epsilon,
            Generation::Second if self.is_inpainting() => PredictionType::Epsilon,
            Generation::Second => PredictionType::VPrediction,
        }
    }

    /// As the schedulers of the published models are set.
    pub(super) fn scheduler_config(&self) -> SchedulerConfigJson {
        let zero_snr = self.contents.zero_terminal_snr;
        let spacing = match self.generation {
            _ if zero_snr => Some("trailing"),
            Generation::Xl => Some("leading"),
            _ => None,
        };
        SchedulerConfigJson {
            num_train_timesteps: Some(1000),
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some("scaled_linear".to_owned()),
            prediction_type: self.said.map(|said| said.to_string()),
            rescale_betas_zero_snr: zero_snr.then_some(true),
            timestep_spacing: spacing.map(str::to_owned),
            steps_offset: Some(1),
            skip_prk_steps: Some(true),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            ..SchedulerConfigJson::default()
        }
    }

    /// What the tokenizer of each text encoder pads with.
    pub(super) fn paddings(&self) -> &'static [Padding] {
        match self.generation {
            Generation::First => &[Padding::EndToken],
            Generation::Second => &[Padding::Zero],
            Generation::Xl => &[Padding::EndToken, Padding::Zero],
        }
    }

    /// The text encoder of this number.
    pub(super) fn text_encoder(&self, index: usize) -> Result<(ClipTextConfig, Box<dyn Source>)> {
        let place = match self.generation {
            Generation::First => Place::FIRST,
            Generation::Second => Place::SECOND,
            Generation::Xl => Place::OF_XL[index],
        };
        if !self.listing.has_below(place.prefix) {
            let hint = "name the folder of one with --text-encoder";
            return Err(Error::Incomplete { path: self.path.clone(), part: "text encoder", hint });
        }
        let table = text_encoder::table(&self.listing, place);
        let source = renamed(&self.path, table, |name| text_encoder::is_used(&self.listing, place, name))?;
        let activation = match place.form {
            Form::Transformers => Activation::QuickGelu,
            Form::OpenClip { .. } => Activation::Gelu,
        };
        Ok((ClipTextConfig::of_weights(&*source, activation)?, source))
    }

    /// The U-Net, which predicts what the user says or else the file.
    pub(super) fn unet(&self, prediction: Option<PredictionType>) -> Result<(UNetConfig, Box<dyn Source>)> {
        let belongs = |name: &str| name.starts_with(unet::PREFIX);
        let source = renamed(&self.path, unet::table(&self.listing), belongs)?;
        let heads = match self.generation {
            Generation::First => Heads::Count(8),
            Generation::Second | Generation::Xl => Heads::Width(64),
        };
        let config = UNetConfig::of_weights(&*source, heads)?;
        // What the published models of 768 pixels overflow in f16 without; they are those that predict the velocity.
        let prediction = prediction.or(self.said).unwrap_or(self.usual_prediction());
        let is_large = self.generation == Generation::Second && prediction == PredictionType::VPrediction;
        let sample_size = Some(match self.generation {
            Generation::Xl => 128,
            _ if is_large => 96,
            _ => 64,
        });
        Ok((UNetConfig { sample_size, upcast_attention: is_large, ..config }, source))
    }

    pub(super) fn vae(&self) -> Result<(VaeConfig, Box<dyn Source>)> {
        if !self.contents.has_vae {
            let hint = "name the file of one with --vae";
            return Err(Error::Incomplete { path: self.path.clone(), part: "autoencoder", hint });
        }
        original_vae(&self.path, &self.listing, vae::PREFIX, self.is_xl())
    }
}

/// The autoencoder in a file of its own, in the layout of the original code or of diffusers, for SDXL or another model.
pub(super) fn vae_file(path: &Path, is_xl: bool) -> Result<(VaeConfig, Box<dyn Source>)> {
    let listing = read_listing(path)?;
    match Kind::of(&listing) {
        Kind::Vae { original: true, prefix } => original_vae(path, &listing, prefix, is_xl),
        Kind::Checkpoint(Checkpoint { has_vae: true, .. }) => original_vae(path, &listing, vae::PREFIX, is_xl),
        Kind::Vae { original: false, prefix: "" } => {
            let source: Box<dyn Source> = Box::new(Files::open(path)?);
            Ok((vae_config(&*source, is_xl)?, source))
        }
        kind => {
            let what = format!("`{}` holds no autoencoder: {kind}", path.display());
            Err(Error::Unsupported {
                what,
                hint: Some("give an autoencoder of Stable Diffusion 1.x or 2.x, or of SDXL"),
            })
        }
    }
}

/// What no shape tells of an autoencoder is as in its family: what latents are multiplied with, and that SDXL's overflows in
/// f16.
fn vae_config(source: &dyn Source, is_xl: bool) -> Result<VaeConfig> {
    let config = VaeConfig::of_weights(source, if is_xl { 0.13025 } else { 0.18215 })?;
    Ok(VaeConfig { force_upcast: is_xl, ..config })
}

fn original_vae(
    path: &Path,
    listing: &Listing,
    prefix: &'static str,
    is_xl: bool,
) -> Result<(VaeConfig, Box<dyn Source>)> {
    // Autoencoders by themselves often carry what they were trained with.
    let belongs = |name: &str| name.starts_with(prefix) && !name[prefix.len()..].starts_with("loss.");
    let source = renamed(path, vae::table(listing, prefix), belongs)?;
    Ok((vae_config(&*source, is_xl)?, source))
}
