//! IResNet: the network of ArcFace and AdaFace.

use idembed_layers::{BatchNorm, Conv2d, ConvShape, Linear, PRelu};
use idembed_weights::{Compute, Scope, Weights};
use image::RgbImage;
use ndarray::Array2;
use tch::Tensor;

use super::colour::{ColourOrder, stated_beside};
use super::embedding::embed_all;
use super::face_box::cut_out;
use super::iresnet_names::{Layout, Place};
use super::{Recogniser, outputs};
use crate::align::{ALIGNED_SIDE, aligned_face};
use crate::input::{PixelScale, batch};
use crate::{Face, FaceResult};

/// Of every batch normalisation.
const EPS: f64 = 1e-5;
/// `(x / 255 - 0.5) / 0.5`.
const PIXELS: PixelScale = PixelScale::grey(127.5, 127.5);
/// Pixels that the four stages leave of a side of [`ALIGNED_SIDE`], squared.
const LAST_PIXELS: i64 = (ALIGNED_SIDE as i64 / 16) * (ALIGNED_SIDE as i64 / 16);
/// Blocks in each stage of the networks of 100 (also called 101), 50, 34 and 18 layers.
const DEPTHS: [[usize; 4]; 4] = [[3, 13, 30, 3], [3, 4, 14, 3], [3, 4, 6, 3], [2, 2, 2, 2]];
/// What may be in the file besides: AdaFace's classifier with its running statistics, and counters of batches.
const IGNORED: [&str; 5] = ["head.kernel", "head.t", "head.batch_mean", "head.batch_std", "num_batches_tracked"];

/// ResNet for faces: looks at an upright face, 112 x 112 pixels.
///
/// The depth follows from the blocks in the file, the widths from its shapes.
///
/// # Source
/// arXiv 1801.07698 (ArcFace) and 2204.00964 (AdaFace): `backbones/iresnet.py` of insightface's `arcface_torch`, `net.py`
/// of `mk-minchul/AdaFace`, and `models/iresnet/model.py` of `mk-minchul/CVLface`, whose names the tensors bear.
#[derive(Debug)]
pub struct IResNet {
    stem: (Conv2d, BatchNorm, PRelu),
    blocks: Vec<Block>,
    norm: BatchNorm,
    fc: Linear,
    features: BatchNorm,
    dimension: usize,
    blue_first: bool,
    compute: Compute,
    /// Tensors may lie in its map.
    weights: Weights,
}

impl IResNet {
    /// Takes the network out of its file.
    pub(super) fn new(weights: Weights, place: Place, compute: Compute) -> FaceResult<Self> {
        let (root, layout) = (weights.root() / place.prefix, place.layout);
        let stated = weights.path().map(stated_beside).transpose()?.flatten();
        let colours = stated.unwrap_or(place.colours);
        let depth = depth(&root, layout);

        let [conv, norm, prelu] = layout.stem().map(|name| &root / name);
        let mut width = outputs(&conv);
        let stem = (
            Conv2d::load_without_bias(&conv, 3, width, ConvShape::square(3, 1, 1))?,
            BatchNorm::load(&norm, width, EPS)?,
            PRelu::load(&prelu, width)?,
        );
        let mut blocks = Vec::with_capacity(depth.iter().sum());
        for (stage, &count) in depth.iter().enumerate() {
            for index in 0..count {
                let stride = if index == 0 { 2 } else { 1 };
                let scope = &root / layout.block(&depth, stage, index);
                let (block, outputs) = Block::load(&scope, layout, width, stride)?;
                blocks.push(block);
                width = outputs;
            }
        }
        let [norm, fc, features] = layout.head().map(|name| &root / name);
        let dimension = outputs(&fc);
        let network = IResNet {
            stem,
            blocks,
            norm: BatchNorm::load(&norm, width, EPS)?,
            fc: Linear::load(&fc, width * LAST_PIXELS, dimension)?,
            features: match layout {
                Layout::Insightface => BatchNorm::load(&features, dimension, EPS)?,
                Layout::AdaFace => BatchNorm::load_plain(&features, dimension, EPS)?,
            },
            dimension: dimension as usize,
            blue_first: colours == ColourOrder::Bgr,
            compute,
            weights,
        };
        network.weights.check_all_used(&IGNORED)?;
        Ok(network)
    }

    /// # Shapes
    /// - `x`: `[batch, 3, ALIGNED_SIDE, ALIGNED_SIDE]`
    /// - returns: `[batch, dimension]`
    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let (conv, norm, prelu) = &self.stem;
        let x = prelu.forward(&norm.forward(&conv.forward(x)?)?)?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x))?;
        let flat = self.norm.forward(&x)?.f_flatten(1, -1)?;
        Ok(self.features.forward(&self.fc.forward(&flat)?)?)
    }
}

/// The deepest network whose third stage is all there; the rest is checked as it is read.
fn depth(root: &Scope<'_>, layout: Layout) -> [usize; 4] {
    let [.., shallowest] = DEPTHS;
    let is_there = |depth: &[usize; 4]| {
        let last_block = root / layout.block(depth, 2, depth[2] - 1);
        (&last_block / layout.residual()[1]).has("weight")
    };
    DEPTHS.into_iter().find(is_there).unwrap_or(shallowest)
}

/// Normalise, convolve, normalise, PReLU, convolve, normalise; and a way past all that.
#[derive(Debug)]
struct Block {
    bn1: BatchNorm,
    conv1: Conv2d,
    bn2: BatchNorm,
    prelu: PRelu,
    conv2: Conv2d,
    bn3: BatchNorm,
    shortcut: Option<(Conv2d, BatchNorm)>,
    stride: i64,
}

impl Block {
    /// The block, and its number of outputs.
    fn load(scope: &Scope<'_>, layout: Layout, inputs: i64, stride: i64) -> FaceResult<(Self, i64)> {
        let [bn1, conv1, bn2, prelu, conv2, bn3] = layout.residual().map(|name| scope / name);
        let outputs = outputs(&conv1);
        let is_projected = match layout {
            Layout::Insightface => stride != 1 || inputs != outputs,
            Layout::AdaFace => inputs != outputs,
        };
        let shortcut = is_projected.then(|| -> FaceResult<_> {
            let [conv, norm] = layout.shortcut().map(|name| scope / name);
            let conv = Conv2d::load_without_bias(&conv, inputs, outputs, ConvShape::square(1, stride, 0))?;
            Ok((conv, BatchNorm::load(&norm, outputs, EPS)?))
        });
        let block = Block {
            bn1: BatchNorm::load(&bn1, inputs, EPS)?,
            conv1: Conv2d::load_without_bias(&conv1, inputs, outputs, ConvShape::square(3, 1, 1))?,
            bn2: BatchNorm::load(&bn2, outputs, EPS)?,
            prelu: PRelu::load(&prelu, outputs)?,
            conv2: Conv2d::load_without_bias(&conv2, outputs, outputs, ConvShape::square(3, stride, 1))?,
            bn3: BatchNorm::load(&bn3, outputs, EPS)?,
            shortcut: shortcut.transpose()?,
            stride,
        };
        Ok((block, outputs))
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let inner = self.bn2.forward(&self.conv1.forward(&self.bn1.forward(x)?)?)?;
        let residual = self.bn3.forward(&self.conv2.forward(&self.prelu.forward(&inner)?)?)?;
        let past = match &self.shortcut {
            Some((conv, norm)) => norm.forward(&conv.forward(x)?)?,
            // Every second pixel, or all of them.
            None => x.f_max_pool2d(1, self.stride, 0, 1, false)?,
        };
        Ok(residual.f_add(&past)?)
    }
}

impl Recogniser for IResNet {
    fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage {
        match aligned_face(picture, &face.landmarks, ALIGNED_SIDE) {
            Some(aligned) => aligned.picture,
            None => cut_out(picture, face.bounds, ALIGNED_SIDE, 0.0),
        }
    }

    fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>> {
        embed_all(crops, self.dimension, |some| {
            let colours = batch(some, ALIGNED_SIDE, &PIXELS, self.compute)?;
            self.forward(&if self.blue_first { colours.f_flip([1])? } else { colours })
        })
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}
