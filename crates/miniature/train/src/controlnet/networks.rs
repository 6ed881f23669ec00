//! The ControlNet that is trained, with the frozen networks that it steers.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_diffusion::controlnet::{ControlNet, ControlNetConfig};
use idembed_weights::{Compute, Parameters, TensorFile, Weights};
use tch::{Kind, Tensor};

use super::SteeredBatch;
use crate::checkpoint::SIZE_LIMIT;
use crate::unet::Networks;
use crate::{Losses, Result};

/// The layers before the U-Net, which begin as zeros. Those behind the features of the edges do not, unlike in the paper: what
/// is to be learned then depends on the edges from the first step on.
const ZEROS: [&str; 2] = ["controlnet_down_blocks.", "controlnet_mid_block."];

/// A ControlNet, and the text encoder and U-Net of a model.
#[derive(Debug)]
pub struct Steered {
    pub(super) net: ControlNet,
    frozen: Networks,
}

impl Steered {
    /// Builds the ControlNet on parameters, in this format, for the model in the folder `model`.
    ///
    /// # Errors
    /// Parameters that are there already and do not fit, or a model that cannot be read.
    pub fn new(config: ControlNetConfig, model: &Path, parameters: &Parameters, kind: Kind) -> Result<Self> {
        let net = ControlNet::from_weights(config, Weights::from_parameters(parameters, kind))?;
        Ok(Steered { net, frozen: Networks::load(model, Compute { device: parameters.device(), kind })? })
    }

    /// `mean(weight * error)`: how far the predicted noise is off.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn losses(&self, batch: &SteeredBatch) -> Result<Losses> {
        let total = self.errors(batch)?.f_mean(Kind::Float)?;
        Ok(Losses { parts: vec![("noise", total.shallow_clone())], total })
    }

    /// The weighed error of each picture, `[batch]`.
    pub(super) fn errors(&self, batch: &SteeredBatch) -> Result<Tensor> {
        let hint = self.net.hint(&batch.edges)?;
        self.frozen.errors(&batch.noisy, None, Some((&self.net, &hint)))
    }

    /// The same without the ControlNet.
    pub(super) fn errors_without(&self, batch: &SteeredBatch) -> Result<Tensor> {
        self.frozen.errors(&batch.noisy, None, None)
    }
}

/// Begins as the U-Net of this weight file, whose prediction it does not change at first (arXiv 2302.05543).
pub(super) fn begin(parameters: &Parameters, unet: &Path) -> Result<()> {
    let mut known = TensorFile::read(unet, "weights", SIZE_LIMIT)?.tensors;
    let begun = parameters.list().into_iter().map(|(name, own)| {
        let value = match known.remove(&name) {
            Some(value) => value,
            None if ZEROS.iter().any(|layer| name.starts_with(layer)) => own.f_zeros_like()?,
            None => own,
        };
        Ok((name, value))
    });
    Ok(parameters.set(&begun.collect::<Result<BTreeMap<_, _>>>()?)?)
}
