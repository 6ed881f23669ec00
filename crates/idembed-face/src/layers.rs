//! The layers that the face networks are built from. Only those of [`crate::residual`] are ever trained.

use idembed_weights::{ConvWeight, Scope, channels_last};
use tch::{Device, Tensor};

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

    /// The same, but a missing `bias` is an error.
    pub(crate) fn load_biased(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> FaceResult<Self> {
        let bias = Some(scope.tensor("bias", &[outputs])?);
        Ok(Conv2d { bias, ..Self::load(scope, inputs, outputs, shape)? })
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

    /// The same, but a missing `bias` is an error.
    pub(crate) fn load_biased(scope: &Scope<'_>, inputs: i64, outputs: i64) -> FaceResult<Self> {
        let bias = Some(scope.tensor("bias", &[outputs])?);
        Ok(Linear { bias, ..Self::load(scope, inputs, outputs)? })
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

/// `(x - mean) / sqrt(variance + eps) * weight + bias` for each channel, with the mean and the variance that training
/// saw (arXiv 1502.03167).
#[derive(Debug)]
pub(crate) struct BatchNorm {
    affine: Option<[Tensor; 2]>,
    mean: Tensor,
    variance: Tensor,
    eps: f64,
}

impl BatchNorm {
    /// Reads `weight`, `bias`, `running_mean` and `running_var`, each `[channels]`.
    pub(crate) fn load(scope: &Scope<'_>, channels: i64, eps: f64) -> FaceResult<Self> {
        let affine = Some([scope.tensor("weight", &[channels])?, scope.tensor("bias", &[channels])?]);
        Ok(BatchNorm { affine, ..Self::load_plain(scope, channels, eps)? })
    }

    /// Reads `running_mean` and `running_var` alone: weight 1, bias 0.
    pub(crate) fn load_plain(scope: &Scope<'_>, channels: i64, eps: f64) -> FaceResult<Self> {
        let (mean, variance) = (scope.tensor("running_mean", &[channels])?, scope.tensor("running_var", &[channels])?);
        Ok(BatchNorm { affine: None, mean, variance, eps })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let [weight, bias] = match &self.affine {
            Some([weight, bias]) => [Some(weight), Some(bias)],
            None => [None, None],
        };
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        Ok(x.f_batch_norm(weight, bias, mean, variance, false, 0.0, self.eps, true)?)
    }
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias`, with mean and variance over the pixels of a group of channels of
/// one picture (arXiv 1803.08494).
#[derive(Debug)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    const EPS: f64 = 1e-5;

    /// Reads `weight` and `bias`, each `[channels]`.
    pub(crate) fn load(scope: &Scope<'_>, channels: i64, groups: i64) -> FaceResult<Self> {
        let weight = scope.tensor("weight", &[channels])?;
        Ok(GroupNorm { weight, bias: scope.tensor("bias", &[channels])?, groups })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, height, width]`
    pub(crate) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        // On the CPU, libtorch's gradient takes ten times as long with the channels side by side; two copies cost less.
        if self.weight.requires_grad() && x.requires_grad() && x.device() == Device::Cpu {
            return Ok(channels_last(&self.normalise(&x.f_contiguous()?)?)?);
        }
        self.normalise(x)
    }

    fn normalise(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), Self::EPS, true)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use idembed_weights::{Parameters, Weights};
    use tch::Kind;

    use super::*;

    #[test]
    fn group_norm_in_training_is_the_plain_one_with_its_gradients() {
        let parameters = Parameters::new(0, Device::Cpu);
        let weights = Weights::from_parameters(&parameters, Kind::Float);
        let norm = GroupNorm::load(&(&weights.root() / "norm"), 6, 3).unwrap();
        let x = channels_last(&Tensor::randn([1, 6, 5, 3], (Kind::Float, Device::Cpu))).unwrap();
        let results = [GroupNorm::forward, GroupNorm::normalise].map(|forward| {
            let x = x.copy().set_requires_grad(true);
            let y = forward(&norm, &x).unwrap();
            // Each number counts differently.
            let weighted = (&y * Tensor::arange(90, (Kind::Float, Device::Cpu)).view([1, 6, 5, 3])).sum(Kind::Float);
            let leaves = [&x, &norm.weight, &norm.bias];
            let gradients = Tensor::run_backward(&[weighted], &leaves, false, false);
            [y.detach()].into_iter().chain(gradients).collect::<Vec<Tensor>>()
        });
        let [ours, plain] = results;
        for (ours, plain) in ours.iter().zip(&plain) {
            assert!((ours - plain).abs().max().double_value(&[]) <= 1e-5 * plain.abs().max().double_value(&[]));
        }
        assert_eq!(norm.forward(&x.set_requires_grad(true)).unwrap().stride(), [90, 1, 18, 6]);
    }
}
