//! The whole autoencoder.

use std::path::Path;

use idembed_layers::{Conv2d, ConvShape};
use idembed_weights::{Compute, Files, Source, Weights, channels_last};
use tch::{Kind, Tensor};

use super::blocks::{Decoder, Encoder};
use super::config::VaeConfig;
use crate::{Error, Result};

/// An autoencoder, frozen or being trained.
#[derive(Debug)]
pub struct Vae {
    config: VaeConfig,
    compute: Compute,
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    weights: Weights,
}

/// What the encoder says of a picture: the normal distribution of its latents, not yet scaled; f32.
#[derive(Debug)]
pub struct LatentMoments {
    /// The mean, `[batch, channels, height, width]`.
    pub mean: Tensor,
    /// The logarithm of the variance, of the same shape, within -30..20.
    pub log_variance: Tensor,
}

impl LatentMoments {
    /// The standard deviation.
    pub fn std(&self) -> Result<Tensor> {
        Ok(self.log_variance.f_mul_scalar(0.5)?.f_exp()?)
    }
}

/// The normal distribution of a picture's latents, already scaled as the U-Net wants them; f32.
#[derive(Debug)]
pub struct LatentDistribution {
    /// The mean, `[batch, channels, height, width]`.
    pub mean: Tensor,
    /// The standard deviation, of the same shape.
    pub std: Tensor,
}

impl LatentDistribution {
    /// One draw, given standard normal noise of the same shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(self.mean.f_add(&self.std.f_mul(&noise.f_to_device(self.std.device())?)?)?)
    }
}

impl Vae {
    /// Loads `config.json` and `diffusion_pytorch_model.safetensors` from a folder.
    ///
    /// An autoencoder whose file says that f16 overflows is kept in f32 instead.
    ///
    /// # Errors
    /// Unreadable files, or weights that do not match the configuration.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let config = VaeConfig::read(&folder.join("config.json"))?;
        let files = Files::find(folder, "diffusion_pytorch_model")?;
        Self::from_source(config, Box::new(files), compute)
    }

    /// As [`Vae::load`], from anywhere.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_source(config: VaeConfig, source: Box<dyn Source>, compute: Compute) -> Result<Self> {
        let overflows = config.force_upcast && compute.kind == Kind::Half;
        if overflows {
            tracing::info!("the autoencoder would overflow in f16, and computes in f32");
        }
        let kind = if overflows { Kind::Float } else { compute.kind };
        Self::from_weights(config, Weights::new(source, Compute { kind, ..compute })?)
    }

    /// Builds the autoencoder of a configuration on weights from anywhere.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: VaeConfig, weights: Weights) -> Result<Self> {
        let compute = weights.compute();
        let root = weights.root();
        let latent = config.latent_channels;
        let pointwise = |name: &str, channels| Conv2d::load(&(&root / name), channels, channels, ConvShape::same(1));
        let quant_conv = config.quant_conv.then(|| pointwise("quant_conv", 2 * latent)).transpose()?;
        let post_quant_conv = config.post_quant_conv.then(|| pointwise("post_quant_conv", latent)).transpose()?;
        let encoder = Encoder::load(&(&root / "encoder"), &config)?;
        let decoder = Decoder::load(&(&root / "decoder"), &config)?;
        weights.check_all_used(&[])?;
        Ok(Vae { compute, encoder, decoder, quant_conv, post_quant_conv, config, weights })
    }

    /// The configuration.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Fails if the weights may be others by now, because their file was changed in place.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        Ok(self.weights.check_unchanged()?)
    }

    /// SHA-256 of the autoencoder's tensors (values rounded to f16), the same for the same weights in any file.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(self.weights.fingerprint("", |_| true)?)
    }

    /// Where the autoencoder computes.
    pub fn device(&self) -> tch::Device {
        self.compute.device
    }

    /// Where and in which format it computes.
    pub(crate) fn compute(&self) -> Compute {
        self.compute
    }

    /// Bytes of its weights in memory.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// What latents are multiplied with before the U-Net sees them.
    pub fn scaling_factor(&self) -> f64 {
        self.config.scaling_factor
    }

    /// Encodes pictures.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]` in -1..1; sides divisible by [`VaeConfig::downscale`]
    ///
    /// # Errors
    /// Another shape.
    pub fn encode(&self, images: &Tensor) -> Result<LatentDistribution> {
        let moments = self.moments(images)?;
        let scale = self.config.scaling_factor;
        Ok(LatentDistribution { mean: moments.mean.f_mul_scalar(scale)?, std: moments.std()?.f_mul_scalar(scale)? })
    }

    /// Encodes pictures as [`Vae::encode`] does, up to what a training loss needs.
    ///
    /// # Errors
    /// As [`Vae::encode`].
    pub fn moments(&self, images: &Tensor) -> Result<LatentMoments> {
        let got = images.size();
        let unit = self.config.downscale();
        if got.len() != 4 || got[1] != 3 || got[2] % unit != 0 || got[3] % unit != 0 || got[2] < 1 || got[3] < 1 {
            let expected = format!("[batch, 3, height, width] with sides divisible by {unit}");
            return Err(Error::Shape { what: "pictures", got, expected });
        }
        let mut moments = self.encoder.forward(&self.to_compute(images)?)?;
        if let Some(conv) = &self.quant_conv {
            moments = conv.forward(&moments)?;
        }
        let [mean, log_variance] =
            moments.f_to_kind(Kind::Float)?.f_chunk(2, 1)?.try_into().map_err(|_| Error::Shape {
                what: "the encoder's output",
                got: moments.size(),
                expected: "an even number of channels".to_owned(),
            })?;
        Ok(LatentMoments { mean, log_variance: log_variance.f_clamp(-30.0, 20.0)? })
    }

    /// Decodes latents as the U-Net leaves them.
    ///
    /// # Shapes
    /// - `latents`: `[batch, latent_channels, height, width]`, scaled
    /// - returns: `[batch, 3, 8 height, 8 width]` (for Stable Diffusion's downscale of 8), about -1..1, f32
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let got = latents.size();
        if got.len() != 4 || got[1] != self.config.latent_channels {
            let expected = format!("[batch, {}, height, width]", self.config.latent_channels);
            return Err(Error::Shape { what: "latents", got, expected });
        }
        let mut latents = self.to_compute(&latents.f_div_scalar(self.config.scaling_factor)?)?;
        if let Some(conv) = &self.post_quant_conv {
            latents = conv.forward(&latents)?;
        }
        Ok(self.decoder.forward(&latents)?.f_to_kind(Kind::Float)?)
    }

    fn to_compute(&self, x: &Tensor) -> Result<Tensor> {
        Ok(channels_last(&x.f_to_device(self.compute.device)?.f_to_kind(self.compute.kind)?)?)
    }
}
