//! The layers that all three networks are built from. Each asks for its weight first, then for its bias.

use idembed_weights::{ConvWeight, Scope, channels_last};
use tch::{Device, Tensor};

use crate::Result;

/// `y = x W^T + b` over the last dimension.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` `[outputs, inputs]` and `bias`.
    pub(crate) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let weight = scope.tensor("weight", &[outputs, inputs])?;
        Ok(Linear { weight, bias: Some(scope.tensor("bias", &[outputs])?) })
    }

    /// Reads `weight` alone.
    pub(crate) fn load_without_bias(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Linear { weight: scope.tensor("weight", &[outputs, inputs])?, bias: None })
    }

    /// Reads a layer that some exporters wrote as a 1 x 1 convolution.
    pub(crate) fn load_or_flatten(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let as_conv = scope.shape("weight").is_some_and(|shape| shape.len() == 4);
        if !as_conv {
            return Self::load(scope, inputs, outputs);
        }
        let weight = scope.tensor("weight", &[outputs, inputs, 1, 1])?.f_view([outputs, inputs])?;
        Ok(Linear { weight, bias: Some(scope.tensor("bias", &[outputs])?) })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// A two-dimensional convolution with square kernels.
#[derive(Debug)]
pub(crate) struct Conv2d {
    weight: ConvWeight,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv2d {
    /// A convolution that keeps the size: stride 1, padded by half of the kernel.
    pub(crate) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, kernel: i64) -> Result<Self> {
        Self::load_strided(scope, inputs, outputs, kernel, 1, kernel / 2)
    }

    pub(crate) fn load_strided(
        scope: &Scope<'_>,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        padding: i64,
    ) -> Result<Self> {
        let weight = scope.conv_weight("weight", &[outputs, inputs, kernel, kernel])?;
        Ok(Conv2d { weight, bias: scope.tensor("bias", &[outputs])?, stride, padding })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_conv2d(self.weight.get()?, Some(&self.bias), self.stride, self.padding, 1, 1)?)
    }
}

/// Group normalisation over `[batch, channels, ...]`.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    pub(crate) fn load(scope: &Scope<'_>, channels: i64, groups: i64, eps: f64) -> Result<Self> {
        let weight = scope.tensor("weight", &[channels])?;
        Ok(GroupNorm { weight, bias: scope.tensor("bias", &[channels])?, groups, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // On the CPU, libtorch's gradient takes ten times as long with the channels side by side; two copies cost less.
        if self.weight.requires_grad() && x.requires_grad() && x.device() == Device::Cpu && x.dim() == 4 {
            return Ok(channels_last(&self.normalise(&x.f_contiguous()?)?)?);
        }
        self.normalise(x)
    }

    fn normalise(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), self.eps, true)?)
    }
}

/// Layer normalisation over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn load(scope: &Scope<'_>, width: i64, eps: f64) -> Result<Self> {
        Ok(LayerNorm { weight: scope.tensor("weight", &[width])?, bias: scope.tensor("bias", &[width])?, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)?)
    }
}
