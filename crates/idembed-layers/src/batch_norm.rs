//! Normalisation of each channel by what training saw.

use idembed_weights::{Init, Result, Scope};
use tch::{TchError, Tensor};

/// `(x - mean) / sqrt(variance + eps) * weight + bias` for each channel, with the mean and the variance that training
/// saw (arXiv 1502.03167). They are read, never learned here.
#[derive(Debug)]
pub struct BatchNorm {
    affine: Option<[Tensor; 2]>,
    mean: Tensor,
    variance: Tensor,
    eps: f64,
}

impl BatchNorm {
    /// Reads `weight`, `bias`, `running_mean` and `running_var`, each `[channels]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, channels: i64, eps: f64) -> Result<Self> {
        let weight = scope.tensor("weight", &[channels], Init::ONES)?;
        let affine = Some([weight, scope.tensor("bias", &[channels], Init::ZEROS)?]);
        Ok(BatchNorm { affine, ..Self::load_plain(scope, channels, eps)? })
    }

    /// Reads `running_mean` and `running_var` alone: weight 1, bias 0.
    ///
    /// # Errors
    /// As [`BatchNorm::load`].
    pub fn load_plain(scope: &Scope<'_>, channels: i64, eps: f64) -> Result<Self> {
        let mean = scope.tensor("running_mean", &[channels], Init::ZEROS)?;
        let variance = scope.tensor("running_var", &[channels], Init::ONES)?;
        Ok(BatchNorm { affine: None, mean, variance, eps })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        let [weight, bias] = match &self.affine {
            Some([weight, bias]) => [Some(weight), Some(bias)],
            None => [None, None],
        };
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        x.f_batch_norm(weight, bias, mean, variance, false, 0.0, self.eps, true)
    }
}
