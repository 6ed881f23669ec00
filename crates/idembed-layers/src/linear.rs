//! `y = x W^T + b`.

use idembed_weights::{Init, Result, Scope};
use tch::{TchError, Tensor};

/// `y = x W^T + b` over the last dimension.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        Self::load_with_bias(scope, inputs, outputs, Init::fan_in(inputs))
    }

    /// As [`Linear::load`], with another start for the bias.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_with_bias(scope: &Scope<'_>, inputs: i64, outputs: i64, bias: Init) -> Result<Self> {
        let weight = scope.tensor("weight", &[outputs, inputs], Init::fan_in(inputs))?;
        Ok(Linear { weight, bias: Some(scope.tensor("bias", &[outputs], bias)?) })
    }

    /// Reads `weight` alone.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_without_bias(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Linear { weight: scope.tensor("weight", &[outputs, inputs], Init::fan_in(inputs))?, bias: None })
    }

    /// Reads a layer that some exporters wrote as a 1 x 1 convolution.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_or_flatten(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let as_conv = scope.shape("weight").is_some_and(|shape| shape.len() == 4);
        if !as_conv {
            return Self::load(scope, inputs, outputs);
        }
        let init = Init::fan_in(inputs);
        let weight = scope.tensor("weight", &[outputs, inputs, 1, 1], init)?.f_view([outputs, inputs])?;
        Ok(Linear { weight, bias: Some(scope.tensor("bias", &[outputs], init)?) })
    }

    /// # Shapes
    /// - `x`: `[..., inputs]`
    /// - returns: `[..., outputs]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        x.f_linear(&self.weight, self.bias.as_ref())
    }
}
