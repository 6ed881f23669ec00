//! Pixels between the networks and pictures.

use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Rounds a decoded picture to 8 bits.
///
/// # Shapes
/// - `image`: `[3, height, width]` in -1..1; values outside are clamped
///
/// # Errors
/// Another shape, NaN or infinity, or a picture of one single colour (what an overflow looks like).
pub fn from_tensor(image: &Tensor) -> Result<RgbImage> {
    let got = image.size();
    let &[3, height, width] = got.as_slice() else {
        return Err(Error::Shape { what: "picture", got, expected: "[3, height, width]".to_owned() });
    };
    let image = image.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    if image.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(Error::NotFinite { what: "the decoded picture".to_owned() });
    }
    let bytes = image
        .f_mul_scalar(127.5)?
        .f_add_scalar(127.5)?
        .f_clamp(0.0, 255.0)?
        .f_round()?
        .f_to_kind(Kind::Uint8)?
        .f_permute([1, 2, 0])?
        .f_contiguous()?;
    let mut rgb = vec![0; bytes.numel()];
    bytes.f_copy_data_u8(&mut rgb, bytes.numel())?;
    if rgb.len() > 3 && rgb.chunks_exact(3).all(|pixel| pixel == &rgb[..3]) {
        return Err(Error::BlankPicture { rgb: [rgb[0], rgb[1], rgb[2]] });
    }
    let got = vec![3, height, width];
    RgbImage::from_raw(width as u32, height as u32, rgb).ok_or_else(|| Error::Shape {
        what: "picture",
        got,
        expected: "fewer pixels".to_owned(),
    })
}

/// A picture as the autoencoder wants it.
///
/// # Shapes
/// - returns: `[1, 3, height, width]` in -1..1, f32, on the CPU
pub fn to_tensor(picture: &RgbImage) -> Result<Tensor> {
    let size = [i64::from(picture.height()), i64::from(picture.width()), 3];
    let bytes = Tensor::f_from_data_size(picture.as_raw(), &size, Kind::Uint8)?;
    let image = bytes.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_to_kind(Kind::Float)?;
    Ok(image.f_div_scalar(127.5)?.f_sub_scalar(1.0)?.f_contiguous()?)
}
