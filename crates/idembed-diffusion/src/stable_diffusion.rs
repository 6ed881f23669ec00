//! A whole model folder: tokenizer and text encoder, U-Net, autoencoder, noise schedule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idembed_clip::{ClipTextModel, Encoding, TextLayer, Tokenizer};
use idembed_weights::{Compute, Delta, json};
use serde::Deserialize;

use crate::conditioning::{Conditioning, TextStates};
use crate::schedulers::{NoiseSchedule, PredictionType, SchedulerConfigJson};
use crate::text_encoders::{TextEncoder, TextEncoders};
use crate::unet::UNet;
use crate::vae::Vae;
use crate::{Error, Result};

/// `model_index.json`, of which only the pipeline's name matters.
#[derive(Deserialize)]
struct ModelIndexJson {
    #[serde(rename = "_class_name")]
    class_name: String,
}

/// The U-Net's folder below a model's.
const UNET: &str = "unet";

/// A loaded, frozen Stable Diffusion 1.x or 2.x.
#[derive(Debug)]
pub struct StableDiffusion {
    /// From text to text states.
    pub text_encoders: TextEncoders,
    /// The noise predictor.
    pub unet: UNet,
    /// Between pictures and latents.
    pub vae: Vae,
    /// What `scheduler/scheduler_config.json` says; samplers are built from it.
    pub scheduler_config: SchedulerConfigJson,
    /// The noise schedule that the model was trained with.
    pub noise_schedule: NoiseSchedule,
    /// Where and in which format the networks run.
    pub compute: Compute,
    /// The folder.
    pub folder: PathBuf,
}

impl StableDiffusion {
    /// Loads a folder in diffusers layout.
    ///
    /// # Errors
    /// A file is missing or damaged, the parts do not fit together, or the model is of another family.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        check_index(folder)?;
        let scheduler_config = SchedulerConfigJson::read(&folder.join("scheduler").join("scheduler_config.json"))?;
        let text_encoder = TextEncoder {
            tokenizer: Tokenizer::from_folder(&folder.join("tokenizer"))?,
            model: ClipTextModel::load(&folder.join("text_encoder"), compute)?,
            layer: TextLayer::Last,
            pooled: false,
        };
        let model = StableDiffusion {
            text_encoders: TextEncoders::new(text_encoder, Vec::new())?,
            unet: UNet::load(&folder.join(UNET), compute)?,
            vae: Vae::load(&folder.join("vae"), compute)?,
            noise_schedule: NoiseSchedule::from_config(&scheduler_config)?,
            scheduler_config,
            compute,
            folder: folder.to_path_buf(),
        };
        model.check_parts_fit()?;
        Ok(model)
    }

    /// The model with another prediction type than its scheduler's file says, or leaves unsaid.
    #[must_use]
    pub fn predicting(mut self, prediction: PredictionType) -> Self {
        self.scheduler_config.prediction_type = Some(prediction.to_string());
        self.noise_schedule.prediction_type = prediction;
        self
    }

    /// Whether the scheduler's file leaves unsaid what the U-Net predicts although models of its shape usually predict
    /// the velocity: Stable Diffusion 2.x at 768 pixels. Like diffusers, [`StableDiffusion::load`] takes epsilon then.
    pub fn prediction_is_doubtful(&self) -> bool {
        const WIDTH_OF_2: i64 = 1024;
        const NATIVE_SIZE: i64 = 768;
        let shape = (self.unet.config().cross_attention_dim, self.native_size());
        self.scheduler_config.prediction_type.is_none() && shape == (WIDTH_OF_2, NATIVE_SIZE)
    }

    /// Its U-Net with something added to some of the weights; [`crate::TextToImage::unet`] draws with it.
    ///
    /// # Errors
    /// There is no weight of that name and shape, or the files cannot be read any more.
    pub fn changed_unet(&self, deltas: BTreeMap<String, Delta>) -> Result<UNet> {
        UNet::load_changed(&self.folder.join(UNET), deltas, self.compute)
    }

    /// The names and shapes of its U-Net's weights.
    ///
    /// # Errors
    /// The files cannot be read any more.
    pub fn unet_weight_shapes(&self) -> Result<BTreeMap<String, Vec<i64>>> {
        UNet::weight_shapes(&self.folder.join(UNET))
    }

    /// The text states of a plain prompt, a batch of 1, without gradient.
    ///
    /// # Errors
    /// A text encoder refuses its tokenizer's ids.
    pub fn text_states(&self, prompt: &str) -> Result<TextStates> {
        let encodings = self.text_encoders.tokenizers().map(|tokenizer| tokenizer.encode(prompt));
        let encodings: Vec<Encoding> = encodings.collect::<std::result::Result<_, _>>()?;
        let cut = encodings.iter().map(|encoding| encoding.cut).max().unwrap_or(0);
        if cut > 0 {
            tracing::warn!("the prompt is {cut} tokens too long; its end was cut off: {prompt:?}");
        }
        let ids: Vec<Vec<i64>> = encodings.into_iter().map(|encoding| encoding.ids).collect();
        tch::no_grad(|| Ok(self.text_encoders.encode(&self.text_encoders.embed(&ids)?)?.into()))
    }

    /// The conditioning of a plain prompt: the same text states at every timestep.
    pub fn condition(&self, prompt: &str) -> Result<Conditioning> {
        Ok(Conditioning::constant(self.text_states(prompt)?))
    }

    /// Bytes of all weights in memory once everything was used.
    pub fn weight_bytes(&self) -> u64 {
        self.text_encoders.weight_bytes() + self.unet.weight_bytes() + self.vae.weight_bytes()
    }

    /// Fails if a network may compute with other weights than were loaded, because its file was changed in place.
    ///
    /// Cheap; to be asked after a computation and before its result is handed out.
    ///
    /// # Errors
    /// Names the file.
    pub fn check_unchanged(&self) -> Result<()> {
        self.text_encoders.check_unchanged()?;
        self.unet.check_unchanged()?;
        self.vae.check_unchanged()
    }

    /// How many pixels one latent stands for, along each side.
    pub fn pixels_per_latent(&self) -> i64 {
        self.vae.config().downscale()
    }

    /// The side in pixels of the pictures the model was trained on (512 where the files do not say).
    pub fn native_size(&self) -> i64 {
        self.unet.config().sample_size.map_or(512, |latents| latents * self.pixels_per_latent())
    }

    fn check_parts_fit(&self) -> Result<()> {
        let mismatch = |what: String| Err(Error::Layout { path: self.folder.clone(), what });
        let (widths, cross) = (self.text_encoders.widths(), self.unet.config().cross_attention_dim);
        if widths.iter().sum::<i64>() != cross {
            let hidden = widths.iter().map(i64::to_string).collect::<Vec<_>>().join(" + ");
            return mismatch(format!("the text encoder is {hidden} wide, but the U-Net expects {cross}"));
        }
        let (latent, unet) = (self.vae.config().latent_channels, self.unet.config().channels);
        if latent != unet {
            return mismatch(format!("the VAE has {latent} latent channels, but the U-Net expects {unet}"));
        }
        Ok(())
    }
}

fn check_index(folder: &Path) -> Result<()> {
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
