//! Pictures as the input of a network.

use idembed_weights::Compute;
use image::RgbImage;
use tch::{Kind, Tensor};

use crate::{FaceError, FaceResult};

/// What becomes of a pixel's values: `(value - mean) / deviation`, for red, green and blue, of values from 0 to 255.
#[derive(Clone, Copy, Debug)]
pub struct PixelScale {
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What the rest is divided by.
    pub deviation: [f32; 3],
}

impl PixelScale {
    /// The same for all colours.
    pub const fn grey(mean: f32, deviation: f32) -> PixelScale {
        PixelScale { mean: [mean; 3], deviation: [deviation; 3] }
    }
}

/// Pictures of `side` x `side` pixels as one batch, where and in the format to compute with.
///
/// # Shapes
/// - returns: `[pictures, 3, side, side]`; red, green and blue of each pixel lie side by side in memory
///
/// # Errors
/// A picture has another size, or libtorch refused.
pub fn batch(pictures: &[RgbImage], side: u32, scale: &PixelScale, compute: Compute) -> FaceResult<Tensor> {
    if let Some((width, height)) = pictures.iter().map(RgbImage::dimensions).find(|size| *size != (side, side)) {
        return Err(FaceError::CropSize { width, height, side });
    }
    let bytes: Vec<u8> = pictures.iter().flat_map(|picture| picture.as_raw()).copied().collect();
    let shape = [pictures.len() as i64, i64::from(side), i64::from(side), 3];
    let pixels = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?.f_to_device(compute.device)?;
    let colours = |values: &[f32; 3]| Tensor::f_from_slice(values)?.f_to_device(compute.device);
    let scaled = pixels.f_to_kind(Kind::Float)?.f_sub(&colours(&scale.mean)?)?.f_div(&colours(&scale.deviation)?)?;
    Ok(scaled.f_permute([0, 3, 1, 2])?.f_to_kind(compute.kind)?)
}
