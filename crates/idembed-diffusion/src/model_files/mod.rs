//! Where the parts of a model lie: in a folder, or in a checkpoint of one file.

mod checkpoint;
mod folder;
mod lora;

use std::path::{Path, PathBuf};

use idembed_clip::{ClipTextConfig, TextLayer, Tokenizer};
use idembed_layouts::lora::Network;
use idembed_weights::{Files, Listing, PICKLES, Renamed, Source, weight_files};

use crate::schedulers::{PredictionType, SchedulerConfigJson};
use crate::stable_diffusion::inpainting_only;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;
use crate::{Error, Result};
use checkpoint::CheckpointFile;
pub use lora::Lora;

/// A network that was given beside a model's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenPart {
    /// What it is, such as `autoencoder`.
    pub part: &'static str,
    /// The name of its file or folder.
    pub name: String,
    /// The files that hold its weights.
    pub files: Vec<PathBuf>,
}

/// The files of a model, looked at but not loaded.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    layout: Layout,
    /// An autoencoder of its own.
    vae: Option<PathBuf>,
    /// The folders of text encoders of their own, in the order of the model's.
    text_encoders: Vec<PathBuf>,
    /// What is added to its weights, in this order.
    loras: Vec<Lora>,
    /// What the U-Net predicts, where the user knows better than the files.
    prediction: Option<PredictionType>,
}

/// A text encoder that was looked at.
#[derive(Debug)]
pub struct TextEncoderFiles {
    /// Its shape.
    pub config: ClipTextConfig,
    /// Its weights.
    pub source: Box<dyn Source>,
    /// The layer whose states the U-Net reads.
    pub layer: TextLayer,
    /// Whether the U-Net is also told the pooled state of the end token.
    pub pooled: bool,
}

#[derive(Debug, Clone)]
enum Layout {
    /// A folder as diffusers writes it.
    Folder(PathBuf),
    /// One file in the original layout.
    Checkpoint(Box<CheckpointFile>),
}

impl ModelFiles {
    /// Looks at a folder in diffusers layout, or at a checkpoint in one file.
    ///
    /// # Errors
    /// A folder without the files of a model; a file that is no checkpoint, or one of a family that is not supported.
    pub fn open(path: &Path) -> Result<Self> {
        let layout = if path.is_dir() {
            Layout::Folder(path.to_path_buf())
        } else {
            Layout::Checkpoint(Box::new(CheckpointFile::open(path)?))
        };
        Ok(ModelFiles { layout, vae: None, text_encoders: Vec::new(), loras: Vec::new(), prediction: None })
    }

    /// With another autoencoder: a safetensors file in the layout of the original code or of diffusers, or a folder.
    #[must_use]
    pub fn with_vae(self, path: PathBuf) -> Self {
        ModelFiles { vae: Some(path), ..self }
    }

    /// With another text encoder: a folder with `config.json` and `model.safetensors`. Of a model with two, the first one
    /// that is given is the first, and the next one the second.
    #[must_use]
    pub fn with_text_encoder(mut self, folder: PathBuf) -> Self {
        self.text_encoders.push(folder);
        self
    }

    /// With something added to the weights of its U-Net and its text encoder. Those of several LoRA add up.
    #[must_use]
    pub fn with_lora(mut self, lora: Lora) -> Self {
        self.loras.push(lora);
        self
    }

    /// What is added to its weights.
    pub fn loras(&self) -> &[Lora] {
        &self.loras
    }

    /// The networks that were given beside the model's own.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn given_parts(&self) -> Result<Vec<GivenPart>> {
        let vae = self.vae.iter().map(|path| ("autoencoder", path, folder::WEIGHTS));
        let texts = self.text_encoders.iter().map(|path| ("text encoder", path, folder::TEXT_WEIGHTS));
        let found = vae.chain(texts).map(|(part, path, weights)| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let files = if path.is_dir() { weight_files(path, weights)? } else { vec![path.clone()] };
            Ok(GivenPart { part, name, files })
        });
        found.collect()
    }

    /// With another prediction than the files say, or leave unsaid.
    #[must_use]
    pub fn with_prediction(self, prediction: PredictionType) -> Self {
        ModelFiles { prediction: Some(prediction), ..self }
    }

    /// Fails unless there is a text-to-image model of a family that is supported.
    ///
    /// # Errors
    /// What is there instead.
    pub fn check(&self) -> Result<()> {
        match &self.layout {
            Layout::Folder(folder) => folder::pipeline(folder).map(drop),
            Layout::Checkpoint(_) => Ok(()),
        }
    }

    /// The folder or the file.
    pub fn path(&self) -> &Path {
        match &self.layout {
            Layout::Folder(folder) => folder,
            Layout::Checkpoint(file) => file.path(),
        }
    }

    /// The model's name: that of its folder, or of its file without the ending.
    pub fn name(&self) -> String {
        let whole = self.path().canonicalize().unwrap_or_else(|_| self.path().to_path_buf());
        let name = match &self.layout {
            Layout::Folder(_) => whole.file_name(),
            Layout::Checkpoint(_) => whole.file_stem(),
        };
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// How its samplers are set, and what its U-Net predicts: as the user says, or else the files, or else as usual.
    ///
    /// # Errors
    /// The scheduler's file cannot be used.
    pub fn scheduler_config(&self) -> Result<SchedulerConfigJson> {
        let config = self.stored_scheduler_config()?;
        let prediction_type = self.prediction.map(|prediction| prediction.to_string()).or(config.prediction_type);
        let usual = || match &self.layout {
            Layout::Folder(_) => PredictionType::Epsilon,
            Layout::Checkpoint(file) => file.usual_prediction(),
        };
        let prediction_type = prediction_type.unwrap_or_else(|| usual().to_string());
        Ok(SchedulerConfigJson { prediction_type: Some(prediction_type), ..config })
    }

    /// Whether the files say what the U-Net predicts.
    ///
    /// # Errors
    /// As [`ModelFiles::scheduler_config`].
    pub fn prediction_is_said(&self) -> Result<bool> {
        Ok(self.stored_scheduler_config()?.prediction_type.is_some())
    }

    /// What the U-Net predicts according to the user.
    pub fn prediction(&self) -> Option<PredictionType> {
        self.prediction
    }

    fn with_loras(&self, network: Network, source: Box<dyn Source>) -> Result<Box<dyn Source>> {
        self.loras.iter().try_fold(source, |source, lora| lora.apply(network, source))
    }

    fn stored_scheduler_config(&self) -> Result<SchedulerConfigJson> {
        match &self.layout {
            Layout::Folder(folder) => folder::scheduler_config(folder),
            Layout::Checkpoint(file) => Ok(file.scheduler_config()),
        }
    }

    /// The tokenizers of the text encoders; a checkpoint brings none, and takes CLIP's.
    ///
    /// # Errors
    /// Their files are missing or cannot be used.
    pub fn tokenizers(&self) -> Result<Vec<Tokenizer>> {
        match &self.layout {
            Layout::Folder(folder) => {
                let encoders = folder::pipeline(folder)?.text_encoders();
                encoders.iter().map(|encoder| Ok(Tokenizer::from_folder(&folder.join(encoder.tokenizer))?)).collect()
            }
            Layout::Checkpoint(file) => {
                file.paddings().iter().map(|&padding| Ok(Tokenizer::of_clip(padding)?)).collect()
            }
        }
    }

    /// The shapes and the weights of the text encoders.
    ///
    /// # Errors
    /// They are not there, or cannot be used, or more were given than the model has.
    pub fn text_encoders(&self) -> Result<Vec<TextEncoderFiles>> {
        let count = self.text_encoder_count()?;
        if self.text_encoders.len() > count {
            let given = self.text_encoders.len();
            return Err(Error::Setting(format!("{given} text encoders were given, but the model has {count}")));
        }
        // Of several, the U-Net reads the last layer but one, and is told what the last one pools.
        let layer = if count > 1 { TextLayer::Penultimate } else { TextLayer::Last };
        let found = (0..count).map(|index| {
            let (config, source) = match (self.text_encoders.get(index), &self.layout) {
                (Some(folder), _) => folder::text_encoder(folder),
                (None, Layout::Folder(folder)) => {
                    folder::text_encoder(&folder.join(folder::pipeline(folder)?.text_encoders()[index].folder))
                }
                (None, Layout::Checkpoint(file)) => file.text_encoder(index),
            }?;
            let network = if index == 0 { Network::TextEncoder } else { Network::SecondTextEncoder };
            let source = self.with_loras(network, source)?;
            Ok(TextEncoderFiles { config, source, layer, pooled: count > 1 && index + 1 == count })
        });
        found.collect()
    }

    /// Whether it is an SDXL.
    ///
    /// # Errors
    /// As [`ModelFiles::check`].
    pub fn is_xl(&self) -> Result<bool> {
        match &self.layout {
            Layout::Folder(folder) => Ok(folder::pipeline(folder)?.is_xl()),
            Layout::Checkpoint(file) => Ok(file.is_xl()),
        }
    }

    /// The side in pixels of the pictures the model was trained on, as [`crate::StableDiffusion::native_size`].
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn native_size(&self) -> Result<i64> {
        Ok(self.unet()?.0.side_in_pixels(self.vae()?.0.downscale()))
    }

    /// Fails if it is known that the model is made for inpainting; a configuration that cannot be used is left to loading.
    ///
    /// # Errors
    /// [`Error::Unsupported`] says so.
    pub fn check_is_text_to_image(&self) -> Result<()> {
        if matches!(self.is_inpainting(), Ok(true)) { Err(inpainting_only(&self.name())) } else { Ok(()) }
    }

    /// Whether its U-Net also reads a mask and a picture; it draws nothing without them.
    ///
    /// # Errors
    /// The U-Net's configuration cannot be used.
    pub fn is_inpainting(&self) -> Result<bool> {
        match &self.layout {
            Layout::Folder(folder) => Ok(folder::unet_config(folder)?.is_inpainting()),
            Layout::Checkpoint(file) => Ok(file.is_inpainting()),
        }
    }

    fn text_encoder_count(&self) -> Result<usize> {
        match &self.layout {
            Layout::Folder(folder) => Ok(folder::pipeline(folder)?.text_encoders().len()),
            Layout::Checkpoint(file) => Ok(file.paddings().len()),
        }
    }

    /// Whether an empty negative prompt stands for text states that are all zero, instead of those of the empty text.
    ///
    /// # Errors
    /// As [`ModelFiles::check`].
    pub fn empty_prompt_is_zero(&self) -> Result<bool> {
        match &self.layout {
            Layout::Folder(folder) => Ok(folder::pipeline(folder)?.empty_prompt_is_zero()),
            Layout::Checkpoint(file) => Ok(file.is_xl()),
        }
    }

    /// The shape and the weights of the U-Net.
    ///
    /// # Errors
    /// They are not there, or cannot be used.
    pub fn unet(&self) -> Result<(UNetConfig, Box<dyn Source>)> {
        let (config, source) = match &self.layout {
            Layout::Folder(folder) => folder::unet(folder),
            Layout::Checkpoint(file) => file.unet(self.prediction),
        }?;
        let texts = self.text_encoder_count()?;
        self.loras.iter().try_for_each(|lora| lora.check_model(config.cross_attention_dim, texts))?;
        Ok((config, self.with_loras(Network::Unet, source)?))
    }

    /// The files that hold the U-Net: a checkpoint as it is, or the shards in order.
    ///
    /// # Errors
    /// As [`weight_files`].
    pub fn unet_files(&self) -> Result<Vec<PathBuf>> {
        match &self.layout {
            Layout::Folder(folder) => Ok(weight_files(&folder.join(folder::UNET), folder::WEIGHTS)?),
            Layout::Checkpoint(file) => Ok(vec![file.path().to_path_buf()]),
        }
    }

    /// The shape and the weights of the autoencoder.
    ///
    /// # Errors
    /// They are not there, or cannot be used.
    pub fn vae(&self) -> Result<(VaeConfig, Box<dyn Source>)> {
        match (&self.vae, &self.layout) {
            (Some(path), _) if path.is_dir() => folder::vae(path),
            (Some(path), _) => checkpoint::vae_file(path, self.is_xl()?),
            (None, Layout::Folder(folder)) => folder::vae(&folder.join("vae")),
            (None, Layout::Checkpoint(file)) => file.vae(),
        }
    }
}

/// Some tensors of a file under other names; those of the others that `belongs` says yes to are reported if they are not
/// asked for.
fn renamed(path: &Path, table: idembed_layouts::Table, belongs: impl Fn(&str) -> bool) -> Result<Box<dyn Source>> {
    let renamed = Renamed::new(Box::new(Files::open(path)?), belongs, table);
    Ok(Box::new(renamed.map_err(|source| Error::Weights { path: path.to_path_buf(), source })?))
}

/// What a file of weights holds; a pickle is told from other files, and refused.
///
/// # Errors
/// No such file, a pickle, or not a whole safetensors file.
pub fn read_listing(path: &Path) -> Result<Listing> {
    let is_pickle = path.extension().is_some_and(|ending| PICKLES.iter().any(|pickle| ending == *pickle));
    if is_pickle && path.is_file() {
        return Err(Error::PickledFile { path: path.to_path_buf() });
    }
    Ok(Listing::read(path)?)
}
