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
    /// Differences to the weights that are to be trained: all zero, or those of an identity.
    ///
    /// # Errors
    /// Class pictures are needed and missing, the identity changes other weights, or the model's files cannot be read.
    pub(crate) fn new(
        model: &StableDiffusion,
        options: UNetOptions,
        class_pictures: &[Tensor],
        class_prompt: &str,
        start: Option<&UNetChanges>,
    ) -> Result<Self> {
        let shapes = model.unet_weight_shapes()?.into_iter().filter(|(name, _)| options.part.contains(name));
        let shapes: BTreeMap<String, Vec<i64>> = shapes.collect();
        if let Some(start) = start {
            check_weights(start, &shapes)?;
            if start.sha256 != model.unet.fingerprint()? {
                tracing::info!(
                    "the weights to start at were learned for the U-Net {}: only a start here",
                    start.sha256
                );
            }
        }
        let device = model.compute.device;
        let deltas = shapes.into_iter().map(|(name, shape)| {
            let delta = match start.and_then(|start| start.deltas.get(&name)) {
                Some(delta) => delta.f_to_device(device)?.f_to_kind(Kind::Float)?,
                None => Tensor::f_zeros(shape, (Kind::Float, device))?,
            };
            Ok((name, delta.f_set_requires_grad(true)?))
        });
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
        let predictor = Predictor { unet, ..model.into() };
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

/// Fails if changes are not of the weights that are to be trained, which have these shapes.
fn check_weights(start: &UNetChanges, trained: &BTreeMap<String, Vec<i64>>) -> Result<()> {
    let fits = |(name, delta): (&String, &Tensor)| trained.get(name).is_some_and(|shape| *shape == delta.size());
    if start.deltas.len() == trained.len() && start.deltas.iter().all(fits) {
        return Ok(());
    }
    let (got, expected) = (start.deltas.len(), trained.len());
    let got = format!("one that changes {got} tensors of the U-Net");
    let expected = format!("one that changes the {expected} that the method trains, or none");
    Err(TokensError::Setting { what: "identity to start at", got, expected })
}
