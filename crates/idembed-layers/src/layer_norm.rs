//! Normalisation over the last dimension.

use idembed_weights::{Init, Result, Scope};
use tch::{TchError, Tensor};

/// `(x - mean) / sqrt(variance + eps) * weight + bias`, with mean and variance over the last dimension (arXiv 1607.06450).
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias`, each `[width]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, width: i64, eps: f64) -> Result<Self> {
        let weight = scope.tensor("weight", &[width], Init::ONES)?;
        Ok(LayerNorm { weight, bias: scope.tensor("bias", &[width], Init::ZEROS)?, eps })
    }

    /// # Shapes
    /// - `x`, returns: `[..., width]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}
