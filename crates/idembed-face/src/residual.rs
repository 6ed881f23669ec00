//! A small residual network: from a picture to feature maps.
//!
//! Each block normalises before it convolves, over groups of channels of one picture, so that the network is the same in
//! training and in use whatever is beside a picture in its batch.

use idembed_layers::{Conv2d, ConvShape, GroupNorm};
use idembed_weights::Scope;
use tch::Tensor;

use crate::FaceResult;

/// Channels of a picture.
const COLOURS: i64 = 3;

/// Added to the variance in every normalisation.
const NORM_EPS: f64 = 1e-5;

/// The sizes of a [`ResidualTrunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkShape {
    /// Channels of the first convolution.
    pub stem: i64,
    /// How many pixels of a side become one in the first convolution.
    pub stem_stride: i64,
    /// Of each stage, its channels and its number of blocks; each stage halves the side.
    pub stages: [(i64, usize); 4],
    /// Channels that are normalised together; divides all of the above.
    pub group: i64,
}

impl TrunkShape {
    /// Channels of the features.
    pub fn outputs(&self) -> i64 {
        let [.., (last, _)] = self.stages;
        last
    }

    /// How many pixels of the picture's side become one of the features'.
    pub fn downscale(&self) -> i64 {
        self.stem_stride << self.stages.len()
    }
}

/// A convolution, then blocks in four stages, then a normalisation.
///
/// # Source
/// arXiv 1603.05027 (normalisation and ReLU before each convolution), 1812.01187 (a mean of four pixels before the
/// projection beside a block that halves the side).
#[derive(Debug)]
pub struct ResidualTrunk {
    stem: Conv2d,
    blocks: Vec<Block>,
    norm: GroupNorm,
}

impl ResidualTrunk {
    /// Takes the weights below this place.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, shape: &TrunkShape) -> FaceResult<Self> {
        let groups = |channels: i64| channels / shape.group;
        let stem = Conv2d::load_without_bias(
            &(scope / "stem"),
            COLOURS,
            shape.stem,
            ConvShape::square(3, shape.stem_stride, 1),
        )?;
        let mut blocks = Vec::new();
        let mut width = shape.stem;
        for (outputs, count) in shape.stages {
            for index in 0..count {
                let place = scope / "blocks" / blocks.len();
                blocks.push(Block::load(&place, width, outputs, index == 0, groups)?);
                width = outputs;
            }
        }
        Ok(ResidualTrunk { stem, blocks, norm: GroupNorm::load(&(scope / "norm"), width, groups(width), NORM_EPS)? })
    }

    /// # Shapes
    /// - `x`: `[batch, 3, height, width]`
    /// - returns: `[batch, outputs, height / downscale, width / downscale]`, not negative
    pub fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let x = self.blocks.iter().try_fold(self.stem.forward(x)?, |x, block| block.forward(&x))?;
        Ok(self.norm.forward(&x)?.f_relu()?)
    }
}

/// Normalise, ReLU, convolve, all twice; and a way past it.
#[derive(Debug)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// Where the block halves the side.
    shortcut: Option<Conv2d>,
}

impl Block {
    fn load(
        scope: &Scope<'_>,
        inputs: i64,
        outputs: i64,
        halves: bool,
        groups: impl Fn(i64) -> i64,
    ) -> FaceResult<Self> {
        let stride = if halves { 2 } else { 1 };
        let project = || Conv2d::load_without_bias(&(scope / "shortcut"), inputs, outputs, ConvShape::square(1, 1, 0));
        Ok(Block {
            norm1: GroupNorm::load(&(scope / "norm1"), inputs, groups(inputs), NORM_EPS)?,
            conv1: Conv2d::load_without_bias(&(scope / "conv1"), inputs, outputs, ConvShape::square(3, stride, 1))?,
            norm2: GroupNorm::load(&(scope / "norm2"), outputs, groups(outputs), NORM_EPS)?,
            conv2: Conv2d::load_without_bias(&(scope / "conv2"), outputs, outputs, ConvShape::square(3, 1, 1))?,
            shortcut: halves.then(project).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let inner = self.conv1.forward(&self.norm1.forward(x)?.f_relu()?)?;
        let residual = self.conv2.forward(&self.norm2.forward(&inner)?.f_relu()?)?;
        Ok(match &self.shortcut {
            Some(project) => {
                let halved = x.f_avg_pool2d(2, 2, 0, false, true, None::<i64>)?;
                residual.f_add(&project.forward(&halved)?)?
            }
            None => residual.f_add(x)?,
        })
    }
}
