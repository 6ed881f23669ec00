//! What the autoencoder minimises.

use std::fmt;

use idembed_diffusion::vae::LatentMoments;
use tch::{Kind, TchError, Tensor};

use crate::{Losses, Result};

/// The terms beside the plain difference of the pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Of the difference between neighbouring pixels: keeps brows, lashes and lines from washing out.
    pub gradient: f64,
    /// Of the latents' divergence from a standard normal distribution, per number of the latents.
    pub divergence: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        LossWeights { gradient: 0.5, divergence: 1e-4 }
    }
}

impl fmt::Display for LossWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l1 + {} gradient + {} divergence", self.gradient, self.divergence)
    }
}

impl LossWeights {
    /// The whole loss: `L1 + gradient * (|dx| + |dy|) + divergence * KL`, all of them means.
    ///
    /// # Shapes
    /// - `images`, `decoded`: `[batch, 3, height, width]` in -1..1
    ///
    /// # Source
    /// KL of a diagonal normal distribution: arXiv 1312.6114, appendix B.
    pub fn losses(&self, images: &Tensor, decoded: &Tensor, moments: &LatentMoments) -> Result<Losses> {
        let difference = decoded.f_sub(images)?;
        let l1 = difference.f_abs()?.f_mean(Kind::Float)?;
        let gradient = steps(&difference, 2)?.f_add(&steps(&difference, 3)?)?;
        let LatentMoments { mean, log_variance } = moments;
        let divergence = mean.f_square()?.f_add(&log_variance.f_exp()?)?.f_sub(log_variance)?.f_sub_scalar(1.0)?;
        let divergence = divergence.f_mean(Kind::Float)?.f_mul_scalar(0.5)?;
        let total =
            l1.f_add(&gradient.f_mul_scalar(self.gradient)?)?.f_add(&divergence.f_mul_scalar(self.divergence)?)?;
        Ok(Losses { total, parts: vec![("l1", l1), ("gradient", gradient), ("divergence", divergence)] })
    }
}

/// The mean size of the steps from pixel to pixel along a dimension.
fn steps(image: &Tensor, dim: i64) -> std::result::Result<Tensor, TchError> {
    let count = image.size()[dim as usize] - 1;
    image.f_narrow(dim, 1, count)?.f_sub(&image.f_narrow(dim, 0, count)?)?.f_abs()?.f_mean(Kind::Float)
}
