//! The context path of BiSeNet (arXiv 1808.00897): coarse features, refined and brought back to a finer size.

use idembed_layers::{BatchNorm, Conv2d};
use idembed_weights::Scope;
use tch::Tensor;

use super::blocks::{ConvNormRelu, ONE_BY_ONE, THREE_BY_THREE, global_mean, load_norm};
use super::resnet::ResNet18;
use crate::FaceResult;

/// The context path over a ResNet-18.
#[derive(Debug)]
pub(super) struct ContextPath {
    resnet: ResNet18,
    arm16: AttentionRefinement,
    arm32: AttentionRefinement,
    conv_head16: ConvNormRelu,
    conv_head32: ConvNormRelu,
    conv_avg: ConvNormRelu,
}

impl ContextPath {
    /// `width` is the number of channels of the ResNet's first stage.
    pub(super) fn load(scope: &Scope<'_>, width: i64) -> FaceResult<Self> {
        let refined = 2 * width;
        Ok(ContextPath {
            resnet: ResNet18::load(&(scope / "resnet"), width)?,
            arm16: AttentionRefinement::load(&(scope / "arm16"), 4 * width, refined)?,
            arm32: AttentionRefinement::load(&(scope / "arm32"), 8 * width, refined)?,
            conv_head16: ConvNormRelu::load(&(scope / "conv_head16"), refined, refined, THREE_BY_THREE)?,
            conv_head32: ConvNormRelu::load(&(scope / "conv_head32"), refined, refined, THREE_BY_THREE)?,
            conv_avg: ConvNormRelu::load(&(scope / "conv_avg"), 8 * width, refined, ONE_BY_ONE)?,
        })
    }

    /// The ResNet's own features at an eighth of the size, and the context at the same size.
    ///
    /// # Shapes
    /// - `x`: `[batch, 3, height, width]`
    /// - returns: two of `[batch, 2 * first stage's channels, height / 8, width / 8]`, rounded up
    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<(Tensor, Tensor)> {
        let features = self.resnet.forward(x)?;
        let average = self.conv_avg.forward(&global_mean(&features.thirty_second)?)?;
        let context = self.arm32.forward(&features.thirty_second)?.f_add(&average)?;
        let context = self.conv_head32.forward(&scaled_like(&context, &features.sixteenth)?)?;
        let context = self.arm16.forward(&features.sixteenth)?.f_add(&context)?;
        let context = self.conv_head16.forward(&scaled_like(&context, &features.eighth)?)?;
        Ok((features.eighth, context))
    }
}

/// `x` at the size of `finer`, by the nearest pixel.
fn scaled_like(x: &Tensor, finer: &Tensor) -> FaceResult<Tensor> {
    let (_, _, height, width) = finer.size4()?;
    Ok(x.f_upsample_nearest2d([height, width], None, None)?)
}

/// Features, each channel weighed by a gate that sees the whole picture.
#[derive(Debug)]
struct AttentionRefinement {
    conv: ConvNormRelu,
    conv_atten: Conv2d,
    bn_atten: BatchNorm,
}

impl AttentionRefinement {
    fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> FaceResult<Self> {
        Ok(AttentionRefinement {
            conv: ConvNormRelu::load(&(scope / "conv"), inputs, outputs, THREE_BY_THREE)?,
            conv_atten: Conv2d::load_without_bias(&(scope / "conv_atten"), outputs, outputs, ONE_BY_ONE)?,
            bn_atten: load_norm(&(scope / "bn_atten"), outputs)?,
        })
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let features = self.conv.forward(x)?;
        let gate = self.conv_atten.forward(&global_mean(&features)?)?;
        Ok(features.f_mul(&self.bn_atten.forward(&gate)?.f_sigmoid()?)?)
    }
}
