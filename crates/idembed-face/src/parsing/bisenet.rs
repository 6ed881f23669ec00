//! BiSeNet for faces (arXiv 1808.00897, in the form of zllrunning/face-parsing.PyTorch and facexlib): a context path
//! over ResNet-18, whose own features at an eighth of the size stand in for the paper's spatial path.

use std::path::Path;

use idembed_layers::Conv2d;
use idembed_weights::{Compute, Scope, Weights};
use image::RgbImage;
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::Part;
use super::blocks::{ConvNormRelu, ONE_BY_ONE, THREE_BY_THREE, global_mean};
use super::context::ContextPath;
use crate::FaceResult;

/// The side of the square that a picture is scaled to.
const INPUT_SIDE: i64 = 512;
/// Channels of the ResNet's first stage in the published weights.
const PUBLISHED_WIDTH: i64 = 64;
/// Mean and spread of ImageNet's pixels, from 0 to 1, which the network was trained with.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A network that tells the parts of a face apart.
#[derive(Debug)]
pub struct BiSeNet {
    cp: ContextPath,
    ffm: FeatureFusion,
    conv_out: OutputHead,
    compute: Compute,
    // Declared last: the tensors above may lie in its map.
    _weights: Weights,
}

impl BiSeNet {
    /// Reads a safetensors file with the names of facexlib's `parsing_bisenet.pth`.
    ///
    /// The number of channels follows from the file's first convolution; the published weights have 64 there.
    ///
    /// # Errors
    /// The file cannot be read, or a tensor is missing, extra or misshapen.
    pub fn load(path: &Path, compute: Compute) -> FaceResult<Self> {
        let weights = Weights::open_file(path, compute)?;
        let root = weights.root();
        let width = match root.shape("cp.resnet.conv1.weight").as_deref() {
            Some(&[width, 3, 7, 7]) if width > 0 => width,
            // Loading will say what is wrong with this tensor.
            _ => PUBLISHED_WIDTH,
        };
        let cp = ContextPath::load(&(&root / "cp"), width)?;
        let ffm = FeatureFusion::load(&(&root / "ffm"), 4 * width, 4 * width)?;
        let conv_out = OutputHead::load(&(&root / "conv_out"), 4 * width, 4 * width)?;
        // Only training uses the heads at coarser scales: checked with the rest of the file, but not kept.
        for coarse in ["conv_out16", "conv_out32"] {
            OutputHead::load(&(&root / coarse), 2 * width, width)?;
        }
        weights.check_all_used(&["num_batches_tracked"])?;
        Ok(BiSeNet { cp, ffm, conv_out, compute, _weights: weights })
    }

    /// The class of each pixel: the number of a [`Part`].
    ///
    /// The picture is scaled to 512 x 512 whatever its shape, so it should show one face, about square; the classes are
    /// scaled back by the nearest pixel.
    ///
    /// # Shapes
    /// - returns: `[height, width]` of the picture
    ///
    /// # Errors
    /// libtorch refuses an operation, as when memory runs out.
    pub fn parse(&self, picture: &RgbImage) -> FaceResult<Array2<u8>> {
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Ok(Array2::zeros((height as usize, width as usize)));
        }
        let logits = self.logits(&network_input(picture)?)?;
        let side = INPUT_SIDE as usize;
        let mut classes = vec![0u8; side * side];
        let best = logits.f_argmax(1, false)?.f_to_kind(Kind::Uint8)?.f_contiguous()?;
        best.f_copy_data_u8(&mut classes, side * side)?;
        Ok(Array2::from_shape_fn((height as usize, width as usize), |(y, x)| {
            classes[nearest(y, height) * side + nearest(x, width)]
        }))
    }

    /// How much each pixel looks like each [`Part`], in the order of the classes; the largest wins.
    ///
    /// # Shapes
    /// - `x`: `[batch, 3, height, width]`, RGB from 0 to 1, less the mean and divided by the spread of ImageNet's pixels
    /// - returns: `[batch, 19, height, width]`, f32
    ///
    /// # Errors
    /// `x` has another shape.
    pub fn logits(&self, x: &Tensor) -> FaceResult<Tensor> {
        let (_, _, height, width) = x.size4()?;
        let x = x.f_to_device(self.compute.device)?.f_to_kind(self.compute.kind)?;
        let (features, context) = self.cp.forward(&x)?;
        let logits = self.conv_out.forward(&self.ffm.forward(&features, &context)?)?;
        Ok(logits.f_to_kind(Kind::Float)?.f_upsample_bilinear2d([height, width], true, None, None)?)
    }
}

/// The pixel of the network's square below the middle of pixel `position` of `length`.
fn nearest(position: usize, length: u32) -> usize {
    let scaled = (2 * position as u64 + 1) * INPUT_SIDE as u64 / (2 * u64::from(length));
    scaled as usize
}

/// The picture as the network takes it, `[1, 3, 512, 512]`.
///
/// Scaling is linear, with the filter widened when scaling down, and rounds to 8 bits as Pillow's does.
fn network_input(picture: &RgbImage) -> FaceResult<Tensor> {
    let (width, height) = picture.dimensions();
    let size = [1, i64::from(height), i64::from(width), 3];
    let pixels = Tensor::f_from_data_size(picture.as_raw(), &size, Kind::Uint8)?.f_permute([0, 3, 1, 2])?;
    let scaled = pixels.f_internal_upsample_bilinear2d_aa([INPUT_SIDE, INPUT_SIDE], false, None, None)?;
    let unit = scaled.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
    let per_channel = |values: &[f32; 3]| Tensor::f_from_slice(values)?.f_view([3, 1, 1]);
    Ok(unit.f_sub(&per_channel(&IMAGENET_MEAN)?)?.f_div(&per_channel(&IMAGENET_STD)?)?)
}

/// Joins features and context: `f + f * gate(f)`, where the gate sees the whole picture.
#[derive(Debug)]
struct FeatureFusion {
    convblk: ConvNormRelu,
    conv1: Conv2d,
    conv2: Conv2d,
}

impl FeatureFusion {
    fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> FaceResult<Self> {
        let narrow = outputs / 4;
        Ok(FeatureFusion {
            convblk: ConvNormRelu::load(&(scope / "convblk"), inputs, outputs, ONE_BY_ONE)?,
            conv1: Conv2d::load_without_bias(&(scope / "conv1"), outputs, narrow, ONE_BY_ONE)?,
            conv2: Conv2d::load_without_bias(&(scope / "conv2"), narrow, outputs, ONE_BY_ONE)?,
        })
    }

    fn forward(&self, features: &Tensor, context: &Tensor) -> FaceResult<Tensor> {
        let fused = self.convblk.forward(&Tensor::f_cat(&[features, context], 1)?)?;
        let gate = self.conv1.forward(&global_mean(&fused)?)?.f_relu()?;
        let gate = self.conv2.forward(&gate)?.f_sigmoid()?;
        Ok(fused.f_mul(&gate)?.f_add(&fused)?)
    }
}

/// From features to one value for each part.
#[derive(Debug)]
struct OutputHead {
    conv: ConvNormRelu,
    conv_out: Conv2d,
}

impl OutputHead {
    fn load(scope: &Scope<'_>, inputs: i64, middle: i64) -> FaceResult<Self> {
        Ok(OutputHead {
            conv: ConvNormRelu::load(&(scope / "conv"), inputs, middle, THREE_BY_THREE)?,
            conv_out: Conv2d::load_without_bias(&(scope / "conv_out"), middle, Part::ALL.len() as i64, ONE_BY_ONE)?,
        })
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(self.conv_out.forward(&self.conv.forward(x)?)?)
    }
}
