//! The loss that draws one person's pictures together and keeps people apart.

use std::fmt;

use tch::{Kind, TchError, Tensor};

use crate::Result;

/// Softmax over cosines, with an angle added to that of the right class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AngularMargin {
    /// Of the cosines, before the softmax.
    pub scale: f64,
    /// The angle in radians, 0 to pi / 2.
    pub angle: f64,
}

impl fmt::Display for AngularMargin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scale, self.angle)
    }
}

impl AngularMargin {
    /// `-log softmax(scale * cos(theta + angle at the right class))`, a mean over the batch; `theta` are the angles
    /// between an embedding and the centres of the classes.
    ///
    /// Where `theta + angle` would pass pi, the cosine goes on falling along a line.
    ///
    /// # Shapes
    /// - `embeddings`: `[batch, dimension]`, of any length
    /// - `centres`: `[classes, dimension]`, of any length
    /// - `classes`: `[batch]`, int64
    ///
    /// # Source
    /// arXiv 1801.07698, eq. 3; the line is that of insightface's `arcface_torch/losses.py`.
    pub fn loss(&self, embeddings: &Tensor, centres: &Tensor, classes: &Tensor) -> Result<Tensor> {
        let cosines = to_unit(embeddings)?.f_matmul(&to_unit(centres)?.f_transpose(0, 1)?)?;
        let column = classes.f_unsqueeze(1)?;
        let right = cosines.f_gather(1, &column, false)?;
        // The root has no slope at 0.
        let sine = right.f_square()?.f_neg()?.f_add_scalar(1.0)?.f_clamp_min(1e-6)?.f_sqrt()?;
        let (sin, cos) = self.angle.sin_cos();
        let moved = right.f_mul_scalar(cos)?.f_sub(&sine.f_mul_scalar(sin)?)?;
        let line = right.f_sub_scalar(self.angle * sin)?;
        let moved = moved.f_where_self(&right.f_gt(-cos)?, &line)?;
        let logits = cosines.f_scatter(1, &column, &moved)?.f_mul_scalar(self.scale)?;
        Ok(logits.f_cross_entropy_loss(classes, None::<&Tensor>, tch::Reduction::Mean, -100, 0.0)?)
    }
}

/// Rows of length 1.
pub(super) fn to_unit(rows: &Tensor) -> std::result::Result<Tensor, TchError> {
    let lengths = rows.f_square()?.f_sum_dim_intlist([-1].as_slice(), true, Kind::Float)?.f_sqrt()?;
    rows.f_div(&lengths.f_clamp_min(1e-6)?)
}
