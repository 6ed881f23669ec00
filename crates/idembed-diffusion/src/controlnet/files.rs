//! Where the parts of a ControlNet lie: in a folder, or in one file.

use std::path::{Path, PathBuf};

use idembed_layouts::{Kind, controlnet};
use idembed_weights::{Compute, Files, Renamed, Source, Weights, weight_files};

use super::{ControlNet, ControlNetConfig};
use crate::model_files::read_listing;
use crate::{Error, Result};

/// What diffusers calls its weights, before the ending.
const WEIGHTS: &str = "diffusion_pytorch_model";

impl ControlNet {
    /// Loads a folder as diffusers writes it, or a safetensors file in the layout of diffusers or of the original code.
    ///
    /// # Errors
    /// Nothing is there, it is no ControlNet, or its weights do not fit together.
    pub fn load(path: &Path, compute: Compute) -> Result<Self> {
        let (config, source) = if path.is_dir() { of_folder(path)? } else { of_file(path)? };
        Self::from_weights(config, Weights::new(source, compute)?)
    }

    /// The files that hold its weights, the shards in order.
    ///
    /// # Errors
    /// There are none.
    pub fn weight_files(path: &Path) -> Result<Vec<PathBuf>> {
        if !path.is_dir() {
            return Ok(vec![path.to_path_buf()]);
        }
        weight_files(path, WEIGHTS).map_err(|error| no_weights(error.into()))
    }

    /// Looks at a folder or a file, and loads no weight.
    ///
    /// # Errors
    /// As [`ControlNet::load`], as far as no weight is needed to see it.
    pub fn look_at(path: &Path) -> Result<ControlNetConfig> {
        Ok(if path.is_dir() { of_folder(path)? } else { of_file(path)? }.0)
    }
}

fn of_folder(folder: &Path) -> Result<(ControlNetConfig, Box<dyn Source>)> {
    let config = ControlNetConfig::read(&folder.join("config.json"))?;
    Ok((config, Box::new(Files::find(folder, WEIGHTS).map_err(|error| no_weights(error.into()))?)))
}

/// A folder that lacks its weights is no model's.
fn no_weights(error: Error) -> Error {
    match error {
        Error::Layout { path, what } => Error::Unsupported {
            what: format!("`{}` is no folder of a ControlNet: {what}", path.display()),
            hint: Some("give a folder with config.json and diffusion_pytorch_model.safetensors, or one file"),
        },
        other => other,
    }
}

fn of_file(path: &Path) -> Result<(ControlNetConfig, Box<dyn Source>)> {
    let listing = read_listing(path)?;
    let source: Box<dyn Source> = match Kind::of(&listing) {
        Kind::ControlNet { original: true } => {
            let prefix = controlnet::prefix(&listing);
            let belongs = |name: &str| name.starts_with(prefix);
            let renamed = Renamed::new(Box::new(Files::open(path)?), belongs, controlnet::table(&listing));
            Box::new(renamed.map_err(|source| Error::Weights { path: path.to_path_buf(), source })?)
        }
        Kind::ControlNet { original: false } => Box::new(Files::open(path)?),
        kind => {
            let what = format!("`{}` is no ControlNet: {kind}", path.display());
            return Err(Error::Unsupported {
                what,
                hint: Some("give a ControlNet for Stable Diffusion 1.x, 2.x or SDXL"),
            });
        }
    };
    Ok((ControlNetConfig::of_weights(&*source)?, source))
}
