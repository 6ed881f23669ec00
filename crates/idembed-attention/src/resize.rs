//! Maps at another resolution.

use tch::Tensor;

use crate::check;
use crate::error::{AttentionError, Result};

/// A map at the size of a picture: bicubic, and never below 0.
///
/// Bicubic interpolation overshoots at sharp edges; attention is a share and cannot be negative.
///
/// # Shapes
/// - `map`: `[h, w]`
/// - returns: `[height, width]`, f32 on the CPU
///
/// # Errors
/// Another shape, NaN or infinity, a size of 0.
///
/// # Source
/// `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`.
pub fn to_picture_size(map: &Tensor, width: i64, height: i64) -> Result<Tensor> {
    resize_bicubic(&check::map(map)?, height, width)
}

/// [`to_picture_size`] for a map that is checked already.
pub(crate) fn resize_bicubic(map: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    if height < 1 || width < 1 {
        return Err(AttentionError::Setting(format!("an attention map cannot be resized to {width} x {height}")));
    }
    if map.size() == [height, width] {
        return Ok(map.f_clamp_min(0.0)?);
    }
    let batched = map.f_unsqueeze(0)?.f_unsqueeze(0)?;
    let resized = batched.f_upsample_bicubic2d([height, width], false, None, None)?;
    Ok(resized.f_squeeze_dim(0)?.f_squeeze_dim(0)?.f_clamp_min(0.0)?)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_flat_map_stays_flat_and_no_size_is_square() {
        let map = Tensor::ones([3, 2], (Kind::Float, Device::Cpu)) * 0.25;
        let large = to_picture_size(&map, 40, 24).unwrap();
        assert_eq!(large.size(), [24, 40]);
        assert!((large - 0.25f64).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn overshoot_is_cut() {
        let map = Tensor::from_slice(&[0.0f32, 0.0, 1.0, 1.0]).reshape([1, 4]);
        assert_eq!(to_picture_size(&map, 64, 4).unwrap().min().double_value(&[]), 0.0);
    }

    #[test]
    fn bad_input_is_refused() {
        let map = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
        assert!(to_picture_size(&map, 0, 4).is_err());
        assert!(to_picture_size(&map, 4, -4).is_err());
        assert!(to_picture_size(&map.unsqueeze(0), 4, 4).is_err());
        assert!(to_picture_size(&map.narrow(0, 0, 0), 4, 4).is_err());
        assert!(to_picture_size(&(map * f64::NAN), 4, 4).is_err());
    }
}
