//! InceptionResnetV1: the FaceNet of `facenet-pytorch`.

use idembed_layers::{BatchNorm, ConvShape, Linear};
use idembed_weights::{Compute, Weights};
use image::RgbImage;
use ndarray::Array2;
use tch::Tensor;

use super::Recogniser;
use super::embedding::embed_all;
use super::face_box::cut_out;
use super::inception::{Chain, EPS, HALVED, INNER, POINT, Reduction, Residual, SAME, Unit, max_pool, run};
use crate::input::{PixelScale, batch};
use crate::{Face, FaceResult};

/// Side of the input, in pixels.
const SIDE: u32 = 160;
/// Pixels of the input around the face. `extract_face` leaves them to its caller; these are those of the library's own
/// measurement on LFW (`examples/lfw_evaluate.ipynb`).
const MARGIN: f64 = 14.0;
/// `fixed_image_standardization`.
const PIXELS: PixelScale = PixelScale::grey(127.5, 128.0);
/// Numbers in an embedding.
const DIMENSION: usize = 512;
/// What may be in the file besides: the training's classifier, and counters of batches.
const IGNORED: [&str; 3] = ["logits.weight", "logits.bias", "num_batches_tracked"];

const BLOCK_35: &[&Chain] = &[&[(32, POINT)], &[(32, POINT), (32, SAME)], &[(32, POINT), (32, SAME), (32, SAME)]];
const BLOCK_17: &[&Chain] = &[&[(128, POINT)], &[(128, POINT), (128, row(7)), (128, column(7))]];
const BLOCK_8: &[&Chain] = &[&[(192, POINT)], &[(192, POINT), (192, row(3)), (192, column(3))]];
const MIXED_6A: &[&Chain] = &[&[(384, HALVED)], &[(192, POINT), (192, SAME), (256, HALVED)]];
const MIXED_7A: &[&Chain] =
    &[&[(256, POINT), (384, HALVED)], &[(256, POINT), (256, HALVED)], &[(256, POINT), (256, SAME), (256, HALVED)]];

/// One pixel high, keeps the size.
const fn row(length: i64) -> ConvShape {
    ConvShape { kernel: [1, length], stride: 1, padding: [0, length / 2] }
}

/// One pixel wide, keeps the size.
const fn column(length: i64) -> ConvShape {
    ConvShape { kernel: [length, 1], stride: 1, padding: [length / 2, 0] }
}

/// FaceNet: looks at the face's box, not turned upright, 160 x 160 pixels.
///
/// # Source
/// arXiv 1503.03832 and 1602.07261, as in `facenet_pytorch.InceptionResnetV1`, whose names the tensors bear.
#[derive(Debug)]
pub struct InceptionResnetV1 {
    stem_before_pool: [Unit; 3],
    stem_after_pool: [Unit; 3],
    repeat_1: Vec<Residual>,
    mixed_6a: Reduction,
    repeat_2: Vec<Residual>,
    mixed_7a: Reduction,
    repeat_3: Vec<Residual>,
    block8: Residual,
    last_linear: Linear,
    last_bn: BatchNorm,
    compute: Compute,
    /// Tensors may lie in its map.
    weights: Weights,
}

impl InceptionResnetV1 {
    /// Whether the names in a file are those of this network.
    pub(super) fn is_in(weights: &Weights) -> bool {
        weights.contains("conv2d_1a.conv.weight")
    }

    /// Takes the network out of its file.
    pub(super) fn new(weights: Weights, compute: Compute) -> FaceResult<Self> {
        let root = weights.root();
        let unit = |name, inputs, outputs, shape| Unit::load(&(&root / name), inputs, outputs, shape);
        let repeat = |name, count, channels, chains, scale| -> FaceResult<Vec<Residual>> {
            (0..count).map(|index| Residual::load(&(&root / name / index), channels, chains, scale)).collect()
        };
        let network = InceptionResnetV1 {
            stem_before_pool: [
                unit("conv2d_1a", 3, 32, HALVED)?,
                unit("conv2d_2a", 32, 32, INNER)?,
                unit("conv2d_2b", 32, 64, SAME)?,
            ],
            stem_after_pool: [
                unit("conv2d_3b", 64, 80, POINT)?,
                unit("conv2d_4a", 80, 192, INNER)?,
                unit("conv2d_4b", 192, 256, HALVED)?,
            ],
            repeat_1: repeat("repeat_1", 5, 256, BLOCK_35, 0.17)?,
            mixed_6a: Reduction::load(&(&root / "mixed_6a"), 256, MIXED_6A)?,
            repeat_2: repeat("repeat_2", 10, 896, BLOCK_17, 0.1)?,
            mixed_7a: Reduction::load(&(&root / "mixed_7a"), 896, MIXED_7A)?,
            repeat_3: repeat("repeat_3", 5, 1792, BLOCK_8, 0.2)?,
            block8: Residual::load(&(&root / "block8"), 1792, BLOCK_8, 1.0)?,
            last_linear: Linear::load_without_bias(&(&root / "last_linear"), 1792, DIMENSION as i64)?,
            last_bn: BatchNorm::load(&(&root / "last_bn"), DIMENSION as i64, EPS)?,
            compute,
            weights,
        };
        network.weights.check_all_used(&IGNORED)?;
        Ok(network)
    }

    /// # Shapes
    /// - `x`: `[batch, 3, SIDE, SIDE]`
    /// - returns: `[batch, DIMENSION]`
    fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let x = max_pool(&run(&self.stem_before_pool, x)?)?;
        let x = run(&self.stem_after_pool, &x)?;
        let x = self.mixed_6a.forward(&activated(&self.repeat_1, x)?)?;
        let x = self.mixed_7a.forward(&activated(&self.repeat_2, x)?)?;
        let x = self.block8.forward(&activated(&self.repeat_3, x)?)?;
        let pooled = x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?;
        Ok(self.last_bn.forward(&self.last_linear.forward(&pooled)?)?)
    }
}

/// Residual blocks one after the other, each with ReLU.
fn activated(blocks: &[Residual], x: Tensor) -> FaceResult<Tensor> {
    blocks.iter().try_fold(x, |x, block| Ok(block.forward(&x)?.f_relu()?))
}

impl Recogniser for InceptionResnetV1 {
    fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage {
        cut_out(picture, face.bounds, SIDE, MARGIN)
    }

    fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>> {
        embed_all(crops, DIMENSION, |some| self.forward(&batch(some, SIDE, &PIXELS, self.compute)?))
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }
}
