//! The residual network.

use std::path::Path;

use idembed_layers::{Conv2d, ConvShape, Linear};
use idembed_weights::{Compute, Error, Init, Scope, Weights};
use image::RgbImage;
use ndarray::Array2;
use tch::Tensor;

use super::chip::{CHIP_SIDE, face_chip};
use super::face_box::PixelBox;
use super::landmarks::LandmarkPredictor;
use crate::input::{PixelScale, batch};
use crate::recognise::embedding::in_batches;
use crate::recognise::{DistanceScale, Recogniser, outputs};
use crate::{Face, FaceResult};

/// Blocks in each stage; in all but the first stage the first block halves the side.
const STAGES: [usize; 5] = [3, 4, 3, 3, 1];
/// What pixels are divided by, after the mean colour was taken off.
const DEVIATION: f32 = 256.0;
/// What is read apart from the network's weights, since it must stay exact whatever the network computes in.
const EXACT: [&str; 8] = [
    "network.mean",
    "network.same_below",
    "landmarks.shape",
    "landmarks.pixels",
    "landmarks.thresholds",
    "landmarks.leaves",
    "landmarks.anchors",
    "landmarks.offsets",
];

/// ResNet of 29 convolutions: looks at an upright face, 150 x 150 pixels, and compares by distance.
///
/// The widths follow from the shapes in the file.
///
/// # Source
/// `dlib_face_recognition_resnet_model_v1` of dlib, from its example `dnn_face_recognition_ex`.
#[derive(Debug)]
pub struct DlibResNet {
    landmarks: LandmarkPredictor,
    pixels: PixelScale,
    same_below: f64,
    stem: Unit,
    blocks: Vec<Block>,
    embedding: Linear,
    dimension: usize,
    compute: Compute,
    /// Tensors may lie in its map.
    weights: Weights,
}

impl DlibResNet {
    /// Whether the names in a file are those of this network.
    pub(in crate::recognise) fn is_in(weights: &Weights) -> bool {
        weights.contains("network.stem.conv.weight")
    }

    /// Reads the network and the predictor of landmarks from a safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not exactly those of the two.
    pub fn load(path: &Path, compute: Compute) -> FaceResult<Self> {
        let exact = Weights::open_file(path, Compute::CPU_F32)?;
        let landmarks = LandmarkPredictor::take(&exact, path)?;
        let mean = exact.root().tensor("network.mean", &[3], Init::ZEROS)?;
        let same_below = exact.root().tensor("network.same_below", &[1], Init::ZEROS)?;

        let weights = Weights::open_file(path, compute)?;
        let root = weights.root() / "network";
        let (stem, mut width) = Unit::load(&(&root / "stem"), ["conv", "affine"], 3, ConvShape::square(7, 2, 0))?;
        let mut blocks = Vec::with_capacity(STAGES.iter().sum());
        for (stage, count) in STAGES.into_iter().enumerate() {
            for index in 0..count {
                let (block, outputs) = Block::load(&(&root / "blocks" / blocks.len()), width, stage > 0 && index == 0)?;
                blocks.push(block);
                width = outputs;
            }
        }
        let place = &root / "embedding";
        let dimension = outputs(&place);
        let network = DlibResNet {
            landmarks,
            pixels: PixelScale { mean: numbers(&mean)?, deviation: [DEVIATION; 3] },
            same_below: decimal(numbers::<1>(&same_below)?[0]),
            stem,
            blocks,
            embedding: Linear::load_without_bias(&place, width, dimension)?,
            dimension: dimension as usize,
            compute,
            weights,
        };
        network.weights.check_all_used(&EXACT)?;
        Ok(network)
    }

    /// # Shapes
    /// - `x`: `[batch, 3, CHIP_SIDE, CHIP_SIDE]`
    /// - returns: `[batch, dimension]`
    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let x = self.stem.forward(x)?.f_relu()?.f_max_pool2d(3, 2, 0, 1, false)?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x))?;
        Ok(self.embedding.forward(&x.f_mean_dim([2, 3].as_slice(), false, None)?)?)
    }
}

impl Recogniser for DlibResNet {
    fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage {
        face_chip(picture, &self.landmarks.predict(picture, PixelBox::of(face)))
    }

    fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>> {
        in_batches(crops, self.dimension, |some| self.forward(&batch(some, CHIP_SIDE, &self.pixels, self.compute)?))
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn distance_scale(&self) -> Option<DistanceScale> {
        Some(DistanceScale { same_below: self.same_below, source: "the threshold it was trained with".to_owned() })
    }
}

/// A convolution, then `x * weight + bias` for each channel: what is left of a batch normalisation after training.
#[derive(Debug)]
struct Unit {
    conv: Conv2d,
    /// `[channels, 1, 1]`
    weight: Tensor,
    /// `[channels, 1, 1]`
    bias: Tensor,
}

impl Unit {
    /// Tells the number of its channels, too.
    fn load(place: &Scope<'_>, [conv, affine]: [&str; 2], inputs: i64, shape: ConvShape) -> FaceResult<(Self, i64)> {
        let (conv, affine) = (place / conv, place / affine);
        let outputs = outputs(&conv);
        let column = |name, init| affine.tensor(name, &[outputs], init)?.f_view([-1, 1, 1]).map_err(Error::from);
        let unit = Unit {
            conv: Conv2d::load(&conv, inputs, outputs, shape)?,
            weight: column("weight", Init::ONES)?,
            bias: column("bias", Init::ZEROS)?,
        };
        Ok((unit, outputs))
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(self.bias.f_addcmul(&self.conv.forward(x)?, &self.weight)?)
    }
}

/// Two convolutions, and a way past them.
#[derive(Debug)]
struct Block {
    units: [Unit; 2],
    halves: bool,
}

impl Block {
    /// Tells the number of its channels, too.
    fn load(place: &Scope<'_>, inputs: i64, halves: bool) -> FaceResult<(Self, i64)> {
        // The first convolution of a block that halves the side sees nothing outside.
        let shape = if halves { ConvShape::square(3, 2, 0) } else { ConvShape::same(3) };
        let (first, width) = Unit::load(place, ["conv1", "affine1"], inputs, shape)?;
        let (second, outputs) = Unit::load(place, ["conv2", "affine2"], width, ConvShape::same(3))?;
        Ok((Block { units: [first, second], halves }, outputs))
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let [first, second] = &self.units;
        let residual = second.forward(&first.forward(x)?.f_relu()?)?;
        if !self.halves {
            return Ok(residual.f_add(x)?.f_relu()?);
        }
        let past = x.f_avg_pool2d(2, 2, 0, false, true, None::<i64>)?;
        let largest: Vec<i64> = residual.size().into_iter().zip(past.size()).map(|(a, b)| a.max(b)).collect();
        Ok(filled(&residual, &largest)?.f_add(&filled(&past, &largest)?)?.f_relu()?)
    }
}

/// A tensor of feature maps with zeros behind its channels, its rows and its columns, up to these sizes.
fn filled(x: &Tensor, sizes: &[i64]) -> FaceResult<Tensor> {
    let missing = x.size().into_iter().zip(sizes).rev().flat_map(|(got, wanted)| [0, wanted - got]);
    Ok(x.f_constant_pad_nd(missing.collect::<Vec<i64>>())?)
}

/// The number that somebody wrote with a few digits, before it became one of 32 bits.
fn decimal(number: f32) -> f64 {
    (f64::from(number) * 1e6).round() / 1e6
}

/// The numbers of a short tensor.
fn numbers<const COUNT: usize>(tensor: &Tensor) -> FaceResult<[f32; COUNT]> {
    let mut numbers = [0.0; COUNT];
    tensor.f_copy_data(&mut numbers, COUNT)?;
    Ok(numbers)
}
