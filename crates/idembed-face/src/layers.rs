//! The layers that the face networks are built from. Weights are frozen: none of them asks for a gradient.

use idembed_weights::{ConvWeight, Scope};
use tch::Tensor;

use crate::FaceResult;

/// A two-dimensional convolution.
#[derive(Debug)]
pub(crate) struct Conv2d {
    weight: ConvWeight,
    bias: Option<Tensor>,
    stride: i64,
    padding: [i64; 2],
}

/// What a convolution is besides its channels: kernel and padding as `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) kernel: [i64; 2],
    pub(crate) stride: i64,
    pub(crate) padding: [i64; 2],
}

impl ConvShape {
    /// A square kernel.
    pub(crate) const fn square(kernel: i64, stride: i64, padding: i64) -> ConvShape {
        ConvShape { kernel: [kernel; 2], stride, padding: [padding; 2] }
    }
}

impl Conv2d {
    /// Reads `weight` `[outputs, inputs, kernel height, kernel width]`, and `bias` `[outputs]` if there is one.
    pub(crate) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> FaceResult<Self> {
        let [height, width] = shape.kernel;
        let weight = scope.conv_weight("weight", &[outputs, inputs, height, width])?;
        let bias = scope.has("bias").then(|| scope.tensor("bias", &[outputs])).transpose()?;
        Ok(Conv2d { weight, bias, stride: shape.stride, padding: shape.padding })
    }

    /// # Shapes
    /// - `x`: `[batch, inputs, height, width]`
    /// - returns: `[batch, outputs, ..., ...]`
    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(x.f_conv2d(self.weight.get()?, self.bias.as_ref(), self.stride, self.padding, 1, 1)?)
    }
}

/// `y = x W^T + b` over the last dimension.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` `[outputs, inputs]`, and `bias` if there is one.
    pub(crate) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> FaceResult<Self> {
        let bias = scope.has("bias").then(|| scope.tensor("bias", &[outputs])).transpose()?;
        Ok(Linear { weight: scope.tensor("weight", &[outputs, inputs])?, bias })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// `max(0, x) + a min(0, x)` with one slope for each channel (arXiv 1502.01852).
#[derive(Debug)]
pub(crate) struct PRelu {
    weight: Tensor,
}

impl PRelu {
    pub(crate) fn load(scope: &Scope<'_>, channels: i64) -> FaceResult<Self> {
        Ok(PRelu { weight: scope.tensor("weight", &[channels])? })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(x.f_prelu(&self.weight)?)
    }
}

/// Batch normalisation with the statistics of training: `(x - mean) / sqrt(var + eps) * weight + bias`.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    eps: f64,
}

impl BatchNorm {
    /// Reads `weight`, `bias`, `running_mean` and `running_var`, each `[channels]`.
    pub(crate) fn load(scope: &Scope<'_>, channels: i64, eps: f64) -> FaceResult<Self> {
        let read = |name| scope.tensor(name, &[channels]);
        Ok(BatchNorm {
            weight: read("weight")?,
            bias: read("bias")?,
            running_mean: read("running_mean")?,
            running_var: read("running_var")?,
            eps,
        })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        // The momentum is for training only.
        Ok(x.f_batch_norm(Some(&self.weight), Some(&self.bias), mean, var, false, 0.0, self.eps, true)?)
    }
}
