//! The three networks. Convolutions without padding, pooling that keeps a last odd row and column.
//!
//! # Source
//! `facenet_pytorch.models.mtcnn`, whose names the tensors bear.

use idembed_layers::{Conv2d, ConvShape, Linear, PRelu};
use idembed_weights::Scope;
use tch::{Kind, Tensor};

use crate::FaceResult;

/// A convolution, its activation and what may follow.
#[derive(Debug)]
struct Block {
    conv: Conv2d,
    prelu: PRelu,
    pool: Option<i64>,
}

/// Number of its outputs, side of its kernel, side of the pooling window.
type BlockShape = (i64, i64, Option<i64>);

/// The blocks `conv1`, `prelu1`, `conv2` ... from three colours on.
fn load_blocks(scope: &Scope<'_>, shapes: &[BlockShape]) -> FaceResult<Vec<Block>> {
    let mut inputs = 3;
    let mut blocks = Vec::with_capacity(shapes.len());
    for (number, &(outputs, kernel, pool)) in (1..).zip(shapes) {
        let conv = Conv2d::load(&(scope / format!("conv{number}")), inputs, outputs, ConvShape::square(kernel, 1, 0))?;
        let prelu = PRelu::load(&(scope / format!("prelu{number}")), outputs)?;
        blocks.push(Block { conv, prelu, pool });
        inputs = outputs;
    }
    Ok(blocks)
}

/// # Shapes
/// - `x`: `[batch, 3, height, width]`
/// - returns: `[batch, outputs of the last block, ..., ...]`
fn forward_blocks(blocks: &[Block], x: &Tensor) -> FaceResult<Tensor> {
    let mut x = x.shallow_clone();
    for block in blocks {
        x = block.prelu.forward(&block.conv.forward(&x)?)?;
        if let Some(window) = block.pool {
            x = x.f_max_pool2d(window, 2, 0, 1, true)?;
        }
    }
    Ok(x)
}

/// What a network says about boxes, one entry for each.
pub(super) struct Findings {
    /// The probability that a face is in it.
    pub(super) scores: Vec<f32>,
    /// How far left, top, right and bottom should move, as shares of the sides.
    pub(super) shifts: Vec<[f32; 4]>,
    /// Landmarks as shares of the sides, five `x`, five `y`; zeros if the network knows none.
    pub(super) landmarks: Vec<[f32; 10]>,
}

/// P-Net: fully convolutional, one result for each cell.
#[derive(Debug)]
pub(super) struct ProposalNet {
    blocks: Vec<Block>,
    score: Conv2d,
    shift: Conv2d,
}

impl ProposalNet {
    pub(super) fn load(scope: &Scope<'_>) -> FaceResult<Self> {
        let blocks = load_blocks(scope, &[(10, 3, Some(2)), (16, 3, None), (32, 3, None)])?;
        let head = |name, outputs| Conv2d::load(&(scope / name), 32, outputs, ConvShape::square(1, 1, 0));
        Ok(ProposalNet { blocks, score: head("conv4_1", 2)?, shift: head("conv4_2", 4)? })
    }

    /// The findings for the cells, row by row, and the number of cells in a row.
    ///
    /// # Shapes
    /// - `x`: `[1, 3, height, width]`, both at least 12
    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<(Findings, usize)> {
        let x = forward_blocks(&self.blocks, x)?;
        let probs = self.score.forward(&x)?.f_softmax(1, Kind::Float)?;
        let scores = values(&probs.f_select(1, 1)?)?;
        let shifts = rows(&self.shift.forward(&x)?.f_permute([0, 2, 3, 1])?)?;
        let columns = probs.size()[3] as usize;
        Ok((Findings { scores, shifts, landmarks: Vec::new() }, columns))
    }
}

/// R-Net or O-Net: looks at squares of one size.
#[derive(Debug)]
pub(super) struct CropNet {
    blocks: Vec<Block>,
    dense: Linear,
    prelu: PRelu,
    score: Linear,
    shift: Linear,
    landmarks: Option<Linear>,
}

impl CropNet {
    /// R-Net.
    pub(super) fn load_refine(scope: &Scope<'_>) -> FaceResult<Self> {
        Ok(CropNet {
            blocks: load_blocks(scope, &[(28, 3, Some(3)), (48, 3, Some(3)), (64, 2, None)])?,
            dense: Linear::load(&(scope / "dense4"), 576, 128)?,
            prelu: PRelu::load(&(scope / "prelu4"), 128)?,
            score: Linear::load(&(scope / "dense5_1"), 128, 2)?,
            shift: Linear::load(&(scope / "dense5_2"), 128, 4)?,
            landmarks: None,
        })
    }

    /// O-Net.
    pub(super) fn load_output(scope: &Scope<'_>) -> FaceResult<Self> {
        Ok(CropNet {
            blocks: load_blocks(scope, &[(32, 3, Some(3)), (64, 3, Some(3)), (64, 3, Some(2)), (128, 2, None)])?,
            dense: Linear::load(&(scope / "dense5"), 1152, 256)?,
            prelu: PRelu::load(&(scope / "prelu5"), 256)?,
            score: Linear::load(&(scope / "dense6_1"), 256, 2)?,
            shift: Linear::load(&(scope / "dense6_2"), 256, 4)?,
            landmarks: Some(Linear::load(&(scope / "dense6_3"), 256, 10)?),
        })
    }

    /// # Shapes
    /// - `x`: `[batch, 3, side, side]`: 24 pixels for R-Net, 48 for O-Net
    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Findings> {
        let x = forward_blocks(&self.blocks, x)?;
        // The weights come from a framework whose pictures have their columns first.
        let x = x.f_permute([0, 3, 2, 1])?.f_contiguous()?.f_flatten(1, -1)?;
        let x = self.prelu.forward(&self.dense.forward(&x)?)?;
        let scores = values(&self.score.forward(&x)?.f_softmax(1, Kind::Float)?.f_select(1, 1)?)?;
        let shifts = rows(&self.shift.forward(&x)?)?;
        let landmarks = match &self.landmarks {
            Some(landmarks) => rows(&landmarks.forward(&x)?)?,
            None => vec![[0.0; 10]; scores.len()],
        };
        Ok(Findings { scores, shifts, landmarks })
    }
}

/// The numbers of a tensor in f32, in the order of its dimensions.
fn values(tensor: &Tensor) -> FaceResult<Vec<f32>> {
    Ok(Vec::try_from(tensor.f_contiguous()?.f_view(-1)?)?)
}

/// The same, in groups of the length of the last dimension, which must be `N`.
fn rows<const N: usize>(tensor: &Tensor) -> FaceResult<Vec<[f32; N]>> {
    Ok(values(tensor)?.as_chunks().0.to_vec())
}
