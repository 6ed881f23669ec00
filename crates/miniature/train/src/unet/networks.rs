//! The two networks that are trained together, and what they are to become good at.

use std::path::Path;

use idembed_clip::{ClipTextConfig, ClipTextModel};
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::controlnet::{ControlNet, Hint};
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::text_encoders::TextEncoders;
use idembed_diffusion::unet::{UNet, UNetConfig, UNetInput};
use idembed_diffusion::{ModelFiles, StableDiffusion};
use idembed_weights::{Compute, Parameters, Weights};
use tch::{Kind, Tensor};

use super::batch::NoisyBatch;
use super::grounding::{Grounding, Ratio};
use crate::{Losses, Result};

/// Before the names of the text encoder's parameters.
pub(super) const TEXT_ENCODER: &str = "text_encoder";
/// Before the names of the U-Net's parameters.
pub(super) const UNET: &str = "unet";

/// The text encoder and the U-Net.
#[derive(Debug)]
pub struct Networks {
    text_encoder: ClipTextModel,
    unet: UNet,
}

/// The text encoder's own parameters; the published ones are stored with `text_model` before all names.
pub(super) fn text_encoder(parameters: &Parameters) -> Parameters {
    parameters.part(TEXT_ENCODER).part("text_model")
}

impl Networks {
    /// Builds both on the parameters below `text_encoder.text_model` and `unet`, in this format.
    ///
    /// # Errors
    /// Parameters that are there already and do not fit.
    pub fn new(text: ClipTextConfig, unet: UNetConfig, parameters: &Parameters, kind: Kind) -> Result<Self> {
        let weights = |part: Parameters| Weights::from_parameters(&part, kind);
        let text_encoder = weights(text_encoder(parameters));
        Ok(Networks {
            text_encoder: ClipTextModel::from_weights(text, text_encoder)?,
            unet: UNet::from_weights(unet, weights(parameters.part(UNET)))?,
        })
    }

    /// `mean(weight * error) + grounding * places`: how far the predicted noise is off, and how far words look past their
    /// things.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn losses(&self, batch: &NoisyBatch, grounding: f64) -> Result<Losses> {
        let mut watched = Grounding::new(&batch.words);
        let noise = self.errors(batch, Some(&mut watched), None)?.f_mean(Kind::Float)?;
        let places = watched.loss(&batch.visibility)?;
        let total = noise.f_add(&places.f_mul_scalar(grounding)?)?;
        Ok(Losses { total, parts: vec![("noise", noise), ("places", places)] })
    }

    /// Those of a whole model.
    pub(crate) fn of(model: StableDiffusion) -> Self {
        Networks { text_encoder: model.text_encoders.into_first().model, unet: model.unet }
    }

    /// Those of a model's folder, frozen.
    pub(crate) fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let files = ModelFiles::open(folder)?;
        let (config, source) = files.unet()?;
        Ok(Networks {
            text_encoder: TextEncoders::load(&files, compute)?.into_first().model,
            unet: UNet::from_weights(config, Weights::new(source, compute)?)?,
        })
    }

    /// The weighed error of each picture, `[batch]`, and where its words look.
    pub(super) fn look(&self, batch: &NoisyBatch) -> Result<(Tensor, Vec<Ratio>)> {
        let mut watched = Grounding::new(&batch.words);
        let errors = self.errors(batch, Some(&mut watched), None)?;
        Ok((errors, watched.ratios()?))
    }

    /// The weighed error of each picture, `[batch]`, with what a ControlNet adds for the features of its pictures.
    pub(crate) fn errors(
        &self,
        batch: &NoisyBatch,
        hook: Option<&mut dyn AttentionHook>,
        steering: Option<(&ControlNet, &Hint)>,
    ) -> Result<Tensor> {
        let states = TextStates::shared(self.states(batch)?);
        let residuals = steering.map(|(net, hint)| {
            let context = net.project(&states)?;
            net.forward(UNetInput::new(&batch.noisy, &batch.timesteps, &context), hint, 1.0)
        });
        let residuals = residuals.transpose()?;
        let context = self.unet.project(&states)?;
        let input =
            UNetInput { residuals: residuals.as_ref(), ..UNetInput::new(&batch.noisy, &batch.timesteps, &context) };
        let noise = self.unet.forward(input, hook)?.f_to_kind(Kind::Float)?;
        let errors = noise.f_sub(&batch.target)?.f_square()?.f_flatten(1, -1)?;
        Ok(errors.f_mean_dim(1, false, Kind::Float)?.f_mul(&batch.weights)?)
    }

    /// The captions' states, some of them with the end of the empty caption.
    fn states(&self, batch: &NoisyBatch) -> Result<Tensor> {
        let states = self.text_encoder.encode(&self.text_encoder.embed_tokens(&batch.ids)?)?;
        let rows = states.size()[0] - 1;
        let (own, empty) = (states.f_narrow(0, 0, rows)?, states.f_narrow(0, rows, 1)?);
        Ok(own.f_add(&empty.f_sub(&own)?.f_mul(&batch.silenced.f_to_kind(own.kind())?)?)?)
    }
}
