//! A whole model: tokenizer and text encoder, U-Net, autoencoder, noise schedule.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_clip::Encoding;
use idembed_weights::{Compute, Delta, Overlay, Weights};

use crate::conditioning::{Conditioning, Piece, TextStates};
use crate::model_files::ModelFiles;
use crate::schedulers::{NoiseSchedule, SchedulerConfigJson};
use crate::text_encoders::TextEncoders;
use crate::unet::UNet;
use crate::vae::Vae;
use crate::{Error, Result};

/// A loaded, frozen Stable Diffusion 1.x or 2.x, or SDXL.
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
    /// Whether the files say what the U-Net predicts.
    pub prediction_is_said: bool,
    /// The noise schedule that the model was trained with.
    pub noise_schedule: NoiseSchedule,
    /// Whether an empty negative prompt stands for text states that are all zero.
    pub empty_prompt_is_zero: bool,
    /// Where and in which format the networks run.
    pub compute: Compute,
    /// Where it was loaded from.
    pub files: ModelFiles,
}

impl StableDiffusion {
    /// Loads a folder in diffusers layout, or a checkpoint in one file.
    ///
    /// # Errors
    /// A file is missing or damaged, the parts do not fit together, or the model is of another family.
    pub fn load(path: &Path, compute: Compute) -> Result<Self> {
        Self::load_files(ModelFiles::open(path)?, compute)
    }

    /// Loads a model whose files were looked at.
    ///
    /// # Errors
    /// As [`StableDiffusion::load`].
    pub fn load_files(files: ModelFiles, compute: Compute) -> Result<Self> {
        Self::load_with_texts_on(files, compute, compute)
    }

    /// As [`StableDiffusion::load_files`], with the text encoders elsewhere: a drawing asks them once, so that they need not lie in a
    /// GPU's memory.
    ///
    /// # Errors
    /// As [`StableDiffusion::load`].
    pub fn load_with_texts_on(files: ModelFiles, compute: Compute, texts: Compute) -> Result<Self> {
        files.check()?;
        let scheduler_config = files.scheduler_config()?;
        let prediction_is_said = files.prediction_is_said()?;
        let text_encoders = TextEncoders::load(&files, texts)?;
        let (unet_config, unet_source) = files.unet()?;
        let (vae_config, vae_source) = files.vae()?;
        let model = StableDiffusion {
            text_encoders,
            unet: UNet::from_weights(unet_config, Weights::new(unet_source, compute)?)?,
            vae: Vae::from_source(vae_config, vae_source, compute)?,
            noise_schedule: NoiseSchedule::from_config(&scheduler_config)?,
            scheduler_config,
            prediction_is_said,
            empty_prompt_is_zero: files.empty_prompt_is_zero()?,
            compute,
            files,
        };
        model.check_parts_fit()?;
        Ok(model)
    }

    /// Whether nothing says what the U-Net predicts although there are models of its shape that predict the noise and some
    /// that predict the velocity: Stable Diffusion 2.x at 768 pixels. Like diffusers, [`StableDiffusion::load`] takes the
    /// noise for a folder then, and the velocity for a checkpoint.
    pub fn prediction_is_doubtful(&self) -> bool {
        const WIDTH_OF_2: i64 = 1024;
        const NATIVE_SIZE: i64 = 768;
        let shape = (self.unet.config().cross_attention_dim, self.native_size());
        let is_said = self.prediction_is_said || self.files.prediction().is_some();
        !is_said && shape == (WIDTH_OF_2, NATIVE_SIZE)
    }

    /// Its U-Net with something added to some of the weights, the others where they lie; [`crate::TextToImage::unet`] draws with it.
    ///
    /// # Errors
    /// There is no weight of that name and shape, or the files cannot be read any more.
    pub fn changed_unet(&self, deltas: BTreeMap<String, Delta>) -> Result<UNet> {
        let (config, source) = self.files.unet()?;
        let path = source.path().map(Path::to_path_buf).unwrap_or_default();
        let changed = Overlay::new(source, deltas).map_err(|source| Error::Weights { path, source })?;
        UNet::from_weights(config, Weights::new(Box::new(changed), self.compute)?)
    }

    /// The names and shapes of its U-Net's weights.
    ///
    /// # Errors
    /// The files cannot be read any more.
    pub fn unet_weight_shapes(&self) -> Result<BTreeMap<String, Vec<i64>>> {
        let (_, source) = self.files.unet()?;
        Ok(source.names().into_iter().filter_map(|name| Some((name.clone(), source.shape(&name)?))).collect())
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

    /// The conditioning of a negative prompt: an empty one may stand for zeros.
    ///
    /// # Errors
    /// As [`StableDiffusion::text_states`].
    pub fn condition_negative(&self, prompt: &str) -> Result<Conditioning> {
        self.as_negative(prompt, self.condition(prompt)?)
    }

    /// The conditioning of a negative prompt that was encoded already.
    ///
    /// # Errors
    /// libtorch refused.
    pub fn as_negative(&self, prompt: &str, encoded: Conditioning) -> Result<Conditioning> {
        match &encoded.pieces()[0] {
            Piece { states, .. } if prompt.is_empty() && self.empty_prompt_is_zero => {
                Ok(Conditioning::constant(states.zeros_like()?))
            }
            _ => Ok(encoded),
        }
    }

    /// Bytes of all weights in memory once everything was used.
    pub fn weight_bytes(&self) -> u64 {
        self.text_encoders.weight_bytes(self.compute.device) + self.unet.weight_bytes() + self.vae.weight_bytes()
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

    /// Fails if the model is made for inpainting: without a mask and a picture it can neither draw nor be learned with.
    ///
    /// # Errors
    /// [`Error::Unsupported`] says so.
    pub fn check_is_text_to_image(&self) -> Result<()> {
        if self.unet.config().is_inpainting() { Err(inpainting_only(&self.files.name())) } else { Ok(()) }
    }

    /// How many pixels one latent stands for, along each side.
    pub fn pixels_per_latent(&self) -> i64 {
        self.vae.config().downscale()
    }

    /// The side in pixels of the pictures the model was trained on (512 where the files do not say).
    pub fn native_size(&self) -> i64 {
        self.unet.config().side_in_pixels(self.pixels_per_latent())
    }

    fn check_parts_fit(&self) -> Result<()> {
        let mismatch = |what: String| Err(Error::Layout { path: self.files.path().to_path_buf(), what });
        let (widths, cross) = (self.text_encoders.widths(), self.unet.config().cross_attention_dim);
        if widths.iter().sum::<i64>() != cross {
            let hidden = widths.iter().map(i64::to_string).collect::<Vec<_>>().join(" + ");
            return mismatch(format!("the text encoder is {hidden} wide, but the U-Net expects {cross}"));
        }
        let pooled =
            self.text_encoders.iter().filter(|encoder| encoder.pooled).map(|encoder| encoder.model.pooled_width());
        let (pooled, wanted) =
            (pooled.sum::<i64>(), self.unet.config().added.as_ref().map_or(0, |added| added.pooled_width));
        if pooled != wanted {
            return mismatch(format!("the pooled text state is {pooled} wide, but the U-Net expects {wanted}"));
        }
        let (latent, unet) = (self.vae.config().latent_channels, self.unet.config().channels);
        if latent != unet {
            return mismatch(format!("the VAE has {latent} latent channels, but the U-Net expects {unet}"));
        }
        Ok(())
    }
}

/// The error for an inpainting model where a text-to-image model is needed.
pub(crate) fn inpainting_only(name: &str) -> Error {
    Error::Unsupported {
        what: format!("`{name}` is made for inpainting: its U-Net also reads a mask and the picture around it"),
        hint: Some("draw with --from PICTURE --inpaint MASK, or give a text-to-image model"),
    }
}
