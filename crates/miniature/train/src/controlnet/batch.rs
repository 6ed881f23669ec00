//! What one worker learns from in one step.

use idembed_world::Sample;
use tch::{Device, Tensor};

use crate::Result;
use crate::unet::NoisyBatch;
use crate::unet::batch::Source;

/// The weight that makes the noise's error that of the velocity, `1 / alpha`: where pictures are laid out there is hardly
/// anything but noise, whose own error would count next to nothing.
///
/// # Source
/// arXiv 2202.00512, section 4: `1 + 1 / snr`.
pub fn velocity_weight(alpha: f64) -> f64 {
    1.0 / alpha.max(1e-12)
}

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
