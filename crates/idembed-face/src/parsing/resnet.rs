//! ResNet-18 (arXiv 1512.03385) without its classifier, as the source of features at three scales.

use idembed_layers::ConvShape;
use idembed_weights::Scope;
use tch::Tensor;

use super::blocks::{ConvNorm, ONE_BY_ONE, THREE_BY_THREE};
use crate::FaceResult;

/// The colour channels that come in.
const COLOURS: i64 = 3;

/// A stem and four stages of two blocks; each stage but the first halves the size and doubles the channels.
#[derive(Debug)]
pub(super) struct ResNet18 {
    stem: ConvNorm,
    stages: [[BasicBlock; 2]; 4],
}

/// Features at an eighth, a sixteenth and a thirty-second of the picture's size, rounded up.
pub(super) struct Features {
    pub(super) eighth: Tensor,
    pub(super) sixteenth: Tensor,
    pub(super) thirty_second: Tensor,
}

impl ResNet18 {
    /// `width` is the number of channels of the first stage.
    pub(super) fn load(scope: &Scope<'_>, width: i64) -> FaceResult<Self> {
        let stem = ConvNorm::load(&(scope / "conv1"), &(scope / "bn1"), COLOURS, width, ConvShape::square(7, 2, 3))?;
        let stage = |number: i64, inputs: i64, outputs: i64| -> FaceResult<[BasicBlock; 2]> {
            let scope = scope / format!("layer{number}");
            let stride = if inputs == outputs { 1 } else { 2 };
            Ok([
                BasicBlock::load(&(&scope / 0), inputs, outputs, stride)?,
                BasicBlock::load(&(&scope / 1), outputs, outputs, 1)?,
            ])
        };
        let stages = [
            stage(1, width, width)?,
            stage(2, width, 2 * width)?,
            stage(3, 2 * width, 4 * width)?,
            stage(4, 4 * width, 8 * width)?,
        ];
        Ok(ResNet18 { stem, stages })
    }

    /// # Shapes
    /// - `x`: `[batch, 3, height, width]`
    /// - returns: 2, 4 and 8 times the first stage's channels
    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Features> {
        let [first, second, third, fourth] = &self.stages;
        let run = |[one, two]: &[BasicBlock; 2], x: &Tensor| two.forward(&one.forward(x)?);
        let x = self.stem.forward(x)?.f_relu()?.f_max_pool2d(3, 2, 1, 1, false)?;
        let eighth = run(second, &run(first, &x)?)?;
        let sixteenth = run(third, &eighth)?;
        let thirty_second = run(fourth, &sixteenth)?;
        Ok(Features { eighth, sixteenth, thirty_second })
    }
}

/// `relu(x + f(x))`, where `f` is two convolutions; `x` is projected where its shape changes.
#[derive(Debug)]
struct BasicBlock {
    first: ConvNorm,
    second: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl BasicBlock {
    fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, stride: i64) -> FaceResult<Self> {
        let strided = |shape: ConvShape| ConvShape { stride, ..shape };
        let downsample = (stride != 1).then(|| {
            let scope = scope / "downsample";
            ConvNorm::load(&(&scope / 0), &(&scope / 1), inputs, outputs, strided(ONE_BY_ONE))
        });
        Ok(BasicBlock {
            first: ConvNorm::load(&(scope / "conv1"), &(scope / "bn1"), inputs, outputs, strided(THREE_BY_THREE))?,
            second: ConvNorm::load(&(scope / "conv2"), &(scope / "bn2"), outputs, outputs, THREE_BY_THREE)?,
            downsample: downsample.transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let residual = self.second.forward(&self.first.forward(x)?.f_relu()?)?;
        let sum = match &self.downsample {
            Some(downsample) => downsample.forward(x)?.f_add(&residual)?,
            None => x.f_add(&residual)?,
        };
        Ok(sum.f_relu()?)
    }
}
