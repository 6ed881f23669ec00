//! The mask of the face, as a tensor.

use tch::{Device, Kind, Tensor};

use crate::check;
use crate::error::{AttentionError, Result};

/// Where the face is: one soft mask for all samples, or one for each.
#[derive(Debug)]
pub struct Mask {
    values: Tensor,
}

impl Mask {
    /// Checks a mask once, so that it can serve many passes; 1 is face, 0 is background.
    ///
    /// # Shapes
    /// - `values`: `[1 or batch, 1, H, W]`, any dtype, any size
    ///
    /// # Errors
    /// Another shape, a size of 0, values outside 0..=1 or NaN, and a mask that is 0 everywhere.
    pub fn new(values: &Tensor) -> Result<Self> {
        match values.size()[..] {
            [batch, 1, height, width] if batch > 0 && height > 0 && width > 0 => {}
            _ => return Err(check::shape_error("the mask", values, "[1 or batch, 1, H, W], none of them 0")),
        }
        let values = values.f_detach()?.f_to_kind(Kind::Float)?;
        // NaN fails both comparisons.
        let inside = values.f_ge(0.0)?.f_logical_and(&values.f_le(1.0)?)?;
        if inside.f_all()?.f_double_value(&[])? != 1.0 {
            return Err(AttentionError::Values { what: "the mask", expected: "between 0 and 1" });
        }
        let areas = Vec::<f64>::try_from(values.f_flatten(1, -1)?.f_sum_dim_intlist(1, false, Kind::Double)?)?;
        match areas.iter().position(|&area| area <= 0.0) {
            Some(index) => Err(AttentionError::EmptyMask { index }),
            None => Ok(Mask { values }),
        }
    }

    /// Number of masks: 1 for all samples, or one for each.
    pub fn batch(&self) -> i64 {
        self.values.size()[0]
    }

    /// The mask at another resolution: the area average, so that a pixel at the edge counts in part.
    ///
    /// # Shapes
    /// - returns: `[1 or batch, height, width]`, f32 on `device`
    ///
    /// # Source
    /// `torch.nn.functional.interpolate(mode="area")`.
    pub(crate) fn resized(&self, height: i64, width: i64, device: Device) -> Result<Tensor> {
        if height < 1 || width < 1 {
            return Err(AttentionError::Setting(format!("a mask cannot be resized to {height} x {width}")));
        }
        Ok(self.values.f_to_device(device)?.f_adaptive_avg_pool2d([height, width])?.f_squeeze_dim(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[f32], shape: &[i64]) -> Result<Mask> {
        Mask::new(&Tensor::from_slice(values).reshape(shape))
    }

    #[test]
    fn refuses_bad_masks() {
        for shape in [&[1, 1, 0, 3][..], &[0, 1, 2, 2], &[2, 2], &[1, 3, 2, 2]] {
            let error = Mask::new(&Tensor::ones(shape, (Kind::Float, Device::Cpu))).unwrap_err();
            assert!(matches!(error, AttentionError::Shape { .. }), "{shape:?}: {error}");
        }
        for bad in [f32::NAN, f32::INFINITY, -0.1, 1.5] {
            let error = mask(&[0.5, bad], &[1, 1, 1, 2]).unwrap_err();
            assert!(matches!(error, AttentionError::Values { .. }), "{bad}: {error}");
        }
        let error = mask(&[1.0, 0.0, 0.0, 0.0], &[2, 1, 1, 2]).unwrap_err();
        assert!(matches!(error, AttentionError::EmptyMask { index: 1 }), "{error}");
    }

    #[test]
    fn resizes_by_area() {
        let mask = mask(&[1.0, 1.0, 0.0, 0.0, 1.0, 0.0], &[1, 1, 1, 6]).unwrap();
        let small = mask.resized(1, 3, Device::Cpu).unwrap();
        assert_eq!(small.size(), [1, 1, 3]);
        assert_eq!(Vec::<f32>::try_from(small.flatten(0, -1)).unwrap(), [1.0, 0.0, 0.5]);
        assert!(mask.resized(0, 3, Device::Cpu).is_err());
    }

    #[test]
    fn takes_a_boolean_mask() {
        let mask = Mask::new(&Tensor::ones([1, 1, 2, 2], (Kind::Bool, Device::Cpu))).unwrap();
        assert_eq!(mask.batch(), 1);
    }
}
