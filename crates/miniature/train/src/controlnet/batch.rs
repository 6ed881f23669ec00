//! What one worker learns from in one step.

use idembed_world::Sample;
use tch::{Device, Tensor};

use crate::Result;
use crate::unet::NoisyBatch;
use crate::unet::batch::Source;

/// Noisy latents with captions, and the edges of their pictures.
#[derive(Debug)]
pub struct SteeredBatch {
    /// What the U-Net is given, and what it is to predict.
    pub noisy: NoisyBatch,
    /// `[batch, 3, height, width]` in pixels, 0 or 1.
    pub edges: Tensor,
}

impl SteeredBatch {
    /// As [`Source::batch`].
    pub(super) fn of(
        source: &Source<'_>,
        pictures: &[usize],
        sample: impl Fn(usize) -> Sample,
        timesteps: Option<&[i64]>,
        seed: u64,
    ) -> Result<Self> {
        let noisy = source.batch(pictures, sample, timesteps, seed)?;
        Ok(SteeredBatch { noisy, edges: source.album.edges(pictures)? })
    }

    pub(super) fn to_device(&self, device: Device) -> Result<Self> {
        Ok(SteeredBatch { noisy: self.noisy.to_device(device)?, edges: self.edges.f_to_device(device)? })
    }
}
