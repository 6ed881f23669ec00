//! What the layers of the parsing network are put together from.

use idembed_layers::{BatchNorm, Conv2d, ConvShape};
use idembed_weights::Scope;
use tch::Tensor;

use crate::FaceResult;

/// The `eps` of every batch normalisation: PyTorch's default.
const EPS: f64 = 1e-5;

pub(super) const ONE_BY_ONE: ConvShape = ConvShape::square(1, 1, 0);
pub(super) const THREE_BY_THREE: ConvShape = ConvShape::square(3, 1, 1);

/// Reads the batch normalisation at `scope`.
pub(super) fn load_norm(scope: &Scope<'_>, channels: i64) -> FaceResult<BatchNorm> {
    Ok(BatchNorm::load(scope, channels, EPS)?)
}

/// A convolution and its normalisation.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    /// Reads the convolution at `conv` and the normalisation at `norm`.
    pub(super) fn load(
        conv: &Scope<'_>,
        norm: &Scope<'_>,
        inputs: i64,
        outputs: i64,
        shape: ConvShape,
    ) -> FaceResult<Self> {
        Ok(ConvNorm { conv: Conv2d::load_without_bias(conv, inputs, outputs, shape)?, norm: load_norm(norm, outputs)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(self.norm.forward(&self.conv.forward(x)?)?)
    }
}

/// A convolution, its normalisation and a ReLU, named `conv` and `bn`.
#[derive(Debug)]
pub(super) struct ConvNormRelu(ConvNorm);

impl ConvNormRelu {
    pub(super) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> FaceResult<Self> {
        Ok(ConvNormRelu(ConvNorm::load(&(scope / "conv"), &(scope / "bn"), inputs, outputs, shape)?))
    }

    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(self.0.forward(x)?.f_relu()?)
    }
}

/// The mean of each channel over the whole picture.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - returns: `[batch, channels, 1, 1]`
pub(super) fn global_mean(x: &Tensor) -> FaceResult<Tensor> {
    Ok(x.f_mean_dim([2, 3].as_slice(), true, None)?)
}
