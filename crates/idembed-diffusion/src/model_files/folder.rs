//! The parts of a model in a folder as diffusers writes it.

use std::path::Path;

use idembed_clip::ClipTextConfig;
use idembed_weights::{Files, Source, json};
use serde::Deserialize;

use crate::schedulers::SchedulerConfigJson;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;
use crate::{Error, Result};

/// The U-Net's folder below a model's.
pub(super) const UNET: &str = "unet";
/// What diffusers calls the weights of its networks, before the ending.
pub(super) const WEIGHTS: &str = "diffusion_pytorch_model";
/// What transformers calls them.
pub(super) const TEXT_WEIGHTS: &str = "model";

/// The fields of `model_index.json` that matter.
#[derive(Deserialize)]
struct ModelIndexJson {
    #[serde(rename = "_class_name")]
    class_name: String,
    /// Of SDXL alone.
    #[serde(default = "yes")]
    force_zeros_for_empty_prompt: bool,
}

fn yes() -> bool {
    true
}

/// What a folder's parts are put together to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pipeline {
    /// Stable Diffusion 1.x or 2.x.
    StableDiffusion,
    /// SDXL.
    Xl {
        /// Whether an empty negative prompt stands for zeros.
        force_zeros: bool,
    },
}

/// Where a text encoder and its tokenizer lie.
pub(super) struct TextEncoderFolders {
    pub(super) tokenizer: &'static str,
    pub(super) folder: &'static str,
}

const TEXT_ENCODERS: [TextEncoderFolders; 2] = [
    TextEncoderFolders { tokenizer: "tokenizer", folder: "text_encoder" },
    TextEncoderFolders { tokenizer: "tokenizer_2", folder: "text_encoder_2" },
];

impl Pipeline {
    pub(super) fn text_encoders(self) -> &'static [TextEncoderFolders] {
        match self {
            Pipeline::StableDiffusion => &TEXT_ENCODERS[..1],
            Pipeline::Xl { .. } => &TEXT_ENCODERS,
        }
    }

    pub(super) fn is_xl(self) -> bool {
        matches!(self, Pipeline::Xl { .. })
    }

    pub(super) fn empty_prompt_is_zero(self) -> bool {
        matches!(self, Pipeline::Xl { force_zeros: true })
    }
}

/// What the folder holds; fails unless that is a text-to-image or inpainting model of a family that is built.
pub(super) fn pipeline(folder: &Path) -> Result<Pipeline> {
    let path = folder.join("model_index.json");
    if !path.is_file() {
        let what = "`model_index.json` is missing".to_owned();
        return Err(Error::Layout { path: folder.to_path_buf(), what });
    }
    let index: ModelIndexJson = json::read(&path)?;
    let hint = match index.class_name.as_str() {
        "StableDiffusionPipeline" | "StableDiffusionInpaintPipeline" => return Ok(Pipeline::StableDiffusion),
        "StableDiffusionXLPipeline" | "StableDiffusionXLInpaintPipeline" => {
            return Ok(Pipeline::Xl { force_zeros: index.force_zeros_for_empty_prompt });
        }
        name if name.contains("Inpaint") => {
            Some("inpainting is supported with Stable Diffusion 1.x and 2.x, and with SDXL")
        }
        "StableDiffusionXLImg2ImgPipeline" => Some("this is SDXL's refiner; give the base model"),
        _ => Some("give a folder whose model_index.json names StableDiffusionPipeline or StableDiffusionXLPipeline"),
    };
    Err(Error::Unsupported { what: format!("`{}` is made for {}", folder.display(), index.class_name), hint })
}

pub(super) fn scheduler_config(folder: &Path) -> Result<SchedulerConfigJson> {
    SchedulerConfigJson::read(&folder.join("scheduler").join("scheduler_config.json"))
}

pub(super) fn unet_config(folder: &Path) -> Result<UNetConfig> {
    UNetConfig::read(&folder.join(UNET).join("config.json"))
}

pub(super) fn unet(folder: &Path) -> Result<(UNetConfig, Box<dyn Source>)> {
    Ok((unet_config(folder)?, Box::new(Files::find(&folder.join(UNET), WEIGHTS)?)))
}

/// The text encoder in a folder of its own.
pub(super) fn text_encoder(folder: &Path) -> Result<(ClipTextConfig, Box<dyn Source>)> {
    Ok((ClipTextConfig::read(&folder.join("config.json"))?, Box::new(Files::find(folder, TEXT_WEIGHTS)?)))
}

/// The autoencoder in a folder of its own.
pub(super) fn vae(folder: &Path) -> Result<(VaeConfig, Box<dyn Source>)> {
    Ok((VaeConfig::read(&folder.join("config.json"))?, Box::new(Files::find(folder, WEIGHTS)?)))
}
