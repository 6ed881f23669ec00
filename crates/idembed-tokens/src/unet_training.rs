//! The weights of the U-Net that are trained beside the vectors, and what keeps them from forgetting the class.
//!
//! What is trained is a difference to each weight, zero at first; a U-Net is built on the sums for every step, whose graph they
//! belong to.

use std::collections::BTreeMap;

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::noise::with_seed;
use idembed_diffusion::unet::UNet;
use idembed_weights::Delta;
use tch::{Device, Kind, Tensor};

use crate::objective::{Batch, NoiseWeights, Predictor, losses};
use crate::training_pictures::{encode_latents, step_seed};
use crate::unet_changes::UNetChanges;
use crate::unet_options::UNetOptions;
use crate::{Result, TokensError};

/// Mixed into the seeds of steps, so that class pictures draw other noise than the identity's.
const PRIOR: u64 = 0x70_72_69_6f_72;

/// Weights of a U-Net being trained.
#[derive(Debug)]
pub(crate) struct UNetTraining {
    options: UNetOptions,
    /// By the names of the checkpoint.
    deltas: BTreeMap<String, Tensor>,
    prior: Option<Prior>,
}

/// Pictures of the class.
#[derive(Debug)]
struct Prior {
    /// `[pictures, channels, height, width]`, f32.
    latents: Tensor,
    /// Of the training prompt with the class word.
    states: TextStates,
}

impl UNetTraining {
    /// Differences to the weights that are to be trained, all zero.
    ///
    /// # Errors
    /// Class pictures are needed and missing, or the model's files cannot be read.
    pub(crate) fn new(
        model: &StableDiffusion,
        options: UNetOptions,
        class_pictures: &[Tensor],
        class_prompt: &str,
    ) -> Result<Self> {
        let device = model.compute.device;
        let trained = model.unet_weight_shapes()?.into_iter().filter(|(name, _)| options.part.contains(name));
        let deltas = trained
            .map(|(name, shape)| Ok((name, Tensor::f_zeros(shape, (Kind::Float, device))?.f_set_requires_grad(true)?)));
        let prior = match options.prior_weight > 0.0 {
            false => None,
            true if class_pictures.is_empty() => {
                let (got, expected) = ("0".to_owned(), "1 or more, because the prior has a weight".to_owned());
                return Err(TokensError::Setting { what: "number of class pictures", got, expected });
            }
            true => {
                let latents = encode_latents(model, &Tensor::f_cat(class_pictures, 0)?.f_to_kind(Kind::Float)?)?;
                Some(Prior { latents, states: model.text_states(class_prompt)? })
            }
        };
        Ok(UNetTraining { options, deltas: deltas.collect::<Result<_>>()?, prior })
    }

    /// The U-Net with the weights as they are now, in the graph of one backward pass.
    pub(crate) fn build(&self, model: &StableDiffusion) -> Result<UNet> {
        let deltas = self.deltas.iter().map(|(name, delta)| (name.clone(), Delta::Full(delta.shallow_clone())));
        Ok(model.changed_unet(deltas.collect())?)
    }

    /// The trained tensors with their names in a checkpoint, in a fixed order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.deltas.iter().map(|(name, delta)| (format!("unet.{name}"), delta))
    }

    /// The learning rate of every parameter.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    /// The noise loss of class pictures times its weight, if there is a prior.
    ///
    /// `samples` of them are drawn by chance, with timesteps from all of the schedule.
    pub(crate) fn prior_loss(
        &self,
        model: &StableDiffusion,
        unet: &UNet,
        seed: u64,
        step: usize,
        samples: usize,
        min_snr: Option<f64>,
    ) -> Result<Option<Tensor>> {
        let Some(Prior { latents, states }) = &self.prior else { return Ok(None) };
        let count = samples as i64;
        let mut shape = latents.size();
        let pictures = std::mem::replace(&mut shape[0], count);
        let train_timesteps = model.noise_schedule.train_timesteps as i64;
        let cpu = |kind| (kind, Device::Cpu);
        let (which, timesteps, noise) = with_seed(step_seed(seed ^ PRIOR, step as u64), || {
            let which = Tensor::f_randint(pictures, [count], cpu(Kind::Int64))?;
            let timesteps = Tensor::f_randint(train_timesteps, [count], cpu(Kind::Int64))?;
            Ok((which, timesteps, Tensor::f_randn(&shape, cpu(Kind::Float))?))
        })?;
        let batch = Batch {
            latents: latents.f_index_select(0, &which.f_to_device(latents.device())?)?,
            noise: noise.f_to_device(latents.device())?,
            timesteps: Vec::try_from(&timesteps)?,
            mask: None,
        };
        let predictor = Predictor { unet, schedule: &model.noise_schedule };
        let weights = NoiseWeights { masked: false, min_snr };
        let loss = losses(predictor, states, &batch, None, weights, None)?.noise;
        Ok(Some(loss.f_mul_scalar(self.options.prior_weight)?))
    }

    /// What was learned so far.
    pub(crate) fn changes(&self, model: &StableDiffusion) -> Result<UNetChanges> {
        let rounded =
            |delta: &Tensor| delta.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Half)?.f_contiguous();
        let deltas = self.deltas.iter().map(|(name, delta)| Ok((name.clone(), rounded(delta)?)));
        Ok(UNetChanges { sha256: model.unet.fingerprint()?, deltas: deltas.collect::<Result<_>>()? })
    }
}
