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

/// `model_index.json`, of which only the pipeline's name matters.
#[derive(Deserialize)]
struct ModelIndexJson {
    #[serde(rename = "_class_name")]
    class_name: String,
}

/// Fails unless the folder holds a text-to-image model of the family.
pub(super) fn check_index(folder: &Path) -> Result<()> {
    let path = folder.join("model_index.json");
    if !path.is_file() {
        let what = "`model_index.json` is missing".to_owned();
        return Err(Error::Layout { path: folder.to_path_buf(), what });
    }
    let index: ModelIndexJson = json::read(&path)?;
    let hint = match index.class_name.as_str() {
        "StableDiffusionPipeline" => return Ok(()),
        name if name.contains("XL") => Some("SDXL is not supported; give a Stable Diffusion 1.x or 2.x model"),
        name if name.contains("Inpaint") => Some("this is an inpainting model; give a text-to-image one"),
        _ => Some("give a folder whose model_index.json names StableDiffusionPipeline"),
    };
    Err(Error::Unsupported { what: format!("`{}` is made for {}", folder.display(), index.class_name), hint })
}

pub(super) fn scheduler_config(folder: &Path) -> Result<SchedulerConfigJson> {
    SchedulerConfigJson::read(&folder.join("scheduler").join("scheduler_config.json"))
}

pub(super) fn unet(folder: &Path) -> Result<(UNetConfig, Box<dyn Source>)> {
    let folder = folder.join(UNET);
    Ok((UNetConfig::read(&folder.join("config.json"))?, Box::new(Files::find(&folder, WEIGHTS)?)))
}

/// The text encoder in a folder of its own.
pub(super) fn text_encoder(folder: &Path) -> Result<(ClipTextConfig, Box<dyn Source>)> {
    Ok((ClipTextConfig::read(&folder.join("config.json"))?, Box::new(Files::find(folder, TEXT_WEIGHTS)?)))
}

/// The autoencoder in a folder of its own.
pub(super) fn vae(folder: &Path) -> Result<(VaeConfig, Box<dyn Source>)> {
    Ok((VaeConfig::read(&folder.join("config.json"))?, Box::new(Files::find(folder, WEIGHTS)?)))
}
