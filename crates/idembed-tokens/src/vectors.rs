//! Vectors that are trained directly.

use tch::{Kind, Tensor};

use crate::{Result, TokensError};

/// Vectors that are trained as offsets from where they start, in units of the start's size (its root mean square): one
/// learning rate serves text encoders of any scale.
#[derive(Debug)]
pub(crate) struct Vectors {
    start: Tensor,
    scale: f64,
    offset: Tensor,
}

impl Vectors {
    /// # Shapes
    /// - `start`: `[rows, hidden]`
    ///
    /// # Errors
    /// The start is zero or not finite.
    pub(crate) fn new(start: &Tensor) -> Result<Self> {
        let start = start.f_detach()?.f_to_kind(Kind::Float)?;
        let scale = size_of_start(&start)?;
        let offset = start.f_zeros_like()?.f_set_requires_grad(true)?;
        Ok(Vectors { start, scale, offset })
    }

    /// What is trained, `[rows, hidden]`.
    pub(crate) fn offset(&self) -> &Tensor {
        &self.offset
    }

    /// # Shapes
    /// - returns: `[rows, hidden]`, f32
    pub(crate) fn forward(&self) -> Result<Tensor> {
        Ok(self.start.f_add(&self.offset.f_mul_scalar(self.scale)?)?)
    }
}

/// The root mean square of the numbers that learning starts at.
///
/// # Errors
/// It is zero or not finite.
pub(crate) fn size_of_start(start: &Tensor) -> Result<f64> {
    let scale = start.f_square()?.f_mean(Kind::Float)?.f_sqrt()?.f_double_value(&[])?;
    if scale.is_finite() && scale > 0.0 {
        return Ok(scale);
    }
    let (got, expected) = (format!("one of size {scale}"), "a finite one that is not zero".to_owned());
    Err(TokensError::Setting { what: "start embedding", got, expected })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_in_units_of_the_start() {
        let start = Tensor::from_slice(&[3.0f32, -3.0, 3.0, 3.0]).view([2, 2]);
        let vectors = Vectors::new(&start).unwrap();
        assert!(vectors.forward().unwrap().equal(&start) && vectors.forward().unwrap().requires_grad());
        let _ = tch::no_grad(|| vectors.offset.shallow_clone().get(1).get(0).fill_(0.5));
        assert!(vectors.forward().unwrap().equal(&Tensor::from_slice(&[3.0f32, -3.0, 4.5, 3.0]).view([2, 2])));
        assert!(Vectors::new(&start.zeros_like()).is_err());
    }
}
