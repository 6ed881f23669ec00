//! What an identity changes in a U-Net's weights.

use std::collections::BTreeMap;

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::unet::UNet;
use idembed_weights::{Delta, FileError};
use tch::{Kind, Tensor};

use crate::Result;

/// What is added to some of a U-Net's weights.
#[derive(Debug)]
pub struct UNetChanges {
    /// Fingerprint of the U-Net that they were learned for.
    pub sha256: String,
    /// By the names of the checkpoint, of the tensors' shapes; on the CPU, in f16: half the size, and far finer than training
    /// moves a weight.
    pub deltas: BTreeMap<String, Tensor>,
}

impl Clone for UNetChanges {
    fn clone(&self) -> Self {
        let deltas = self.deltas.iter().map(|(name, delta)| (name.clone(), delta.shallow_clone()));
        UNetChanges { sha256: self.sha256.clone(), deltas: deltas.collect() }
    }
}

impl UNetChanges {
    /// The model's U-Net with these changes; what is not changed is shared with the files of the model.
    ///
    /// # Errors
    /// The model has not these tensors, or its files cannot be read any more.
    pub fn apply(&self, model: &StableDiffusion) -> Result<UNet> {
        let deltas = self.deltas.iter().map(|(name, delta)| (name.clone(), Delta::Full(delta.shallow_clone())));
        Ok(model.changed_unet(deltas.collect())?)
    }

    /// How many numbers are changed.
    pub fn count(&self) -> usize {
        self.deltas.values().map(Tensor::numel).sum()
    }

    /// Fails if a tensor is of another format, or not finite.
    pub(crate) fn check(&self) -> std::result::Result<(), FileError> {
        for (name, delta) in &self.deltas {
            if delta.kind() != Kind::Half {
                let got = format!("{:?}", delta.kind());
                return Err(FileError::Dtype { name: name.clone(), got, expected: "F16" });
            }
            if delta.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(FileError::NotFinite(name.clone()));
            }
        }
        Ok(())
    }
}
