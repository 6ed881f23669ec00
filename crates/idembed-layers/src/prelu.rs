//! The activation with a learned slope.

use idembed_weights::{Init, Result, Scope};
use tch::{TchError, Tensor};

/// Of every channel before training, as in the paper.
const FIRST_SLOPE: Init = Init::Constant(0.25);

/// `max(0, x) + a min(0, x)` with one slope for each channel (arXiv 1502.01852).
#[derive(Debug)]
pub struct PRelu {
    weight: Tensor,
}

impl PRelu {
    /// Reads `weight` `[channels]`.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn load(scope: &Scope<'_>, channels: i64) -> Result<Self> {
        Ok(PRelu { weight: scope.tensor("weight", &[channels], FIRST_SLOPE)? })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        x.f_prelu(&self.weight)
    }
}
