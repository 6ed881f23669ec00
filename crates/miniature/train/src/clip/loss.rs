//! What CLIP minimises.

use std::fmt;

use idembed_clip::ClipModel;
use tch::{Kind, Reduction, Tensor};

use crate::{Losses, Result};

/// The greatest factor between cosines and logits (arXiv 2103.00020, section 2.5).
const LARGEST_SCALE: f64 = 100.0;

/// The terms of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipLoss {
    /// The factor of the same loss on the mean of the states of a text's words: with the end token's alone, only that
    /// state has to know anything.
    pub words: f64,
}

impl Default for ClipLoss {
    fn default() -> Self {
        ClipLoss { words: 0.5 }
    }
}

impl fmt::Display for ClipLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end + {} words", self.words)
    }
}

impl ClipLoss {
    /// The whole loss of pictures and their texts.
    ///
    /// # Shapes
    /// - `pixel_values`: `[batch, 3, image_size, image_size]`, normalised
    /// - `ids`: `[batch, tokens]`, i64, each row with an end token
    /// - `words`: `[batch, tokens]`, 1 for the tokens between start and end, of which each row has one, and 0
    pub fn losses(&self, model: &ClipModel, pixel_values: &Tensor, ids: &Tensor, words: &Tensor) -> Result<Losses> {
        let words = words.f_to_device(pixel_values.device())?.f_unsqueeze(-1)?;
        let states = model.text_states(ids)?;
        let sum = states.f_to_kind(Kind::Float)?.f_mul(&words)?.f_sum_dim_intlist(1, false, Kind::Float)?;
        let mean = sum.f_div(&words.f_sum_dim_intlist(1, false, Kind::Float)?)?;
        let pictures = model.image_embeds(pixel_values)?;
        let loss = |states: &Tensor| contrastive(&pictures, &model.project_text(states)?, model.logit_scale());
        let (end, words) = (loss(&model.end_states(&states, ids)?)?, loss(&mean)?);
        let total = end.f_add(&words.f_mul_scalar(self.words)?)?;
        Ok(Losses { total, parts: vec![("end", end), ("words", words)] })
    }
}

/// Each picture has to find its text among all texts, and each text its picture among all pictures.
///
/// # Shapes
/// - `pictures`, `texts`: `[batch, width]`, f32, of length 1
/// - `logit_scale`: scalar, the logarithm of the factor
/// - returns: scalar
///
/// # Source
/// arXiv 2103.00020, figure 3.
fn contrastive(pictures: &Tensor, texts: &Tensor, logit_scale: &Tensor) -> Result<Tensor> {
    let scale = logit_scale.f_to_kind(Kind::Float)?.f_clamp_max(LARGEST_SCALE.ln())?.f_exp()?;
    let logits = pictures.f_matmul(&texts.f_transpose(0, 1)?)?.f_mul(&scale)?;
    let own = Tensor::f_arange(logits.size()[0], (Kind::Int64, logits.device()))?;
    let cross_entropy = |logits: &Tensor| logits.f_cross_entropy_loss(&own, None::<Tensor>, Reduction::Mean, -100, 0.0);
    let (rows, columns) = (cross_entropy(&logits)?, cross_entropy(&logits.f_transpose(0, 1)?)?);
    Ok(rows.f_add(&columns)?.f_mul_scalar(0.5)?)
}
