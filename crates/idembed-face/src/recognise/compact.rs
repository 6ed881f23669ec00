//! The small network that this project trains itself, on the drawn world.

use idembed_layers::Linear;
use idembed_weights::{Compute, Init, Weights};
use image::RgbImage;
use ndarray::Array2;
use tch::Tensor;

use super::Recogniser;
use super::embedding::embed_all;
use super::face_box::cut_out;
use crate::align::aligned_face;
use crate::input::{PixelScale, batch};
use crate::residual::{ResidualTrunk, TrunkShape};
use crate::{Face, FaceResult};

/// `(x / 255 - 0.5) / 0.5`.
const PIXELS: PixelScale = PixelScale::grey(127.5, 127.5);
const TRUNK: TrunkShape =
    TrunkShape { stem: 16, stem_stride: 1, stages: [(32, 1), (64, 2), (128, 2), (128, 1)], group: 8 };

/// A residual network for faces of 64 x 64 pixels, upright as ArcFace's, with embeddings of 128 numbers.
#[derive(Debug)]
pub struct CompactResNet {
    trunk: ResidualTrunk,
    embedding: Linear,
    compute: Compute,
    /// Tensors may lie in its map.
    _weights: Weights,
}

impl CompactResNet {
    /// Width and height of the face it looks at.
    pub const SIDE: u32 = 64;
    /// Numbers in an embedding.
    pub const DIMENSION: i64 = 128;

    /// Whether the weights are this network's.
    pub(super) fn is_in(weights: &Weights) -> bool {
        weights.contains("embedding.weight") && weights.contains("trunk.stem.weight")
    }

    /// Builds the network on its weights: from a file, or parameters that are trained.
    ///
    /// # Errors
    /// A tensor is missing, extra or misshapen.
    pub fn from_weights(weights: Weights) -> FaceResult<Self> {
        let root = weights.root();
        let features = TRUNK.outputs() * (i64::from(Self::SIDE) / TRUNK.downscale()).pow(2);
        let trunk = ResidualTrunk::load(&(&root / "trunk"), &TRUNK)?;
        let embedding = Linear::load_with_bias(&(&root / "embedding"), features, Self::DIMENSION, Init::ZEROS)?;
        weights.check_all_used(&[])?;
        Ok(CompactResNet { trunk, embedding, compute: weights.compute(), _weights: weights })
    }

    /// The part of a picture that the network looks at; see [`Recogniser::crop`].
    pub fn cut(picture: &RgbImage, face: &Face) -> RgbImage {
        match aligned_face(picture, &face.landmarks, Self::SIDE) {
            Some(aligned) => aligned.picture,
            None => cut_out(picture, face.bounds, Self::SIDE, 0.0),
        }
    }

    /// Where it computes, and in which number format.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The embeddings before they are brought to length 1.
    ///
    /// # Shapes
    /// - `faces`: `[batch, 3, SIDE, SIDE]` in -1..1
    /// - returns: `[batch, DIMENSION]`
    pub fn forward(&self, faces: &Tensor) -> FaceResult<Tensor> {
        Ok(self.embedding.forward(&self.trunk.forward(faces)?.f_flatten(1, -1)?)?)
    }
}

impl Recogniser for CompactResNet {
    fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage {
        Self::cut(picture, face)
    }

    fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>> {
        embed_all(crops, Self::DIMENSION as usize, |some| {
            self.forward(&batch(some, Self::SIDE, &PIXELS, self.compute)?)
        })
    }

    fn dimension(&self) -> usize {
        Self::DIMENSION as usize
    }
}
