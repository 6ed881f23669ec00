//! Masks and parts of photos, as learning wants them.

use std::path::Path;

use idembed_face::{CropRect, Photo, crop_and_resize};
use image::RgbImage;
use tch::Tensor;

use crate::error::{Result, StudioError};
use crate::size::Size;

/// A mask from a picture that is white where the face is: `[1, 1, height, width]` in 0..1.
pub(crate) fn to_mask(image: &RgbImage) -> Result<Tensor> {
    let values: Vec<f32> = image.pixels().map(|pixel| f32::from(pixel[0]) / 255.0).collect();
    let shape = [1, 1, i64::from(image.height()), i64::from(image.width())];
    Ok(Tensor::f_from_slice(&values)?.f_view(shape)?)
}

/// Reads a mask of a picture that has this size: `[1, 1, height, width]` in 0..1.
///
/// # Errors
/// It cannot be read, has another size, or is black everywhere.
pub fn open_mask(path: &Path, size: Size) -> Result<Tensor> {
    to_mask(&read_mask(path, size.width, size.height)?)
}

/// Reads a mask that belongs to a picture of this size.
pub(crate) fn read_mask(path: &Path, width: u32, height: u32) -> Result<RgbImage> {
    let mask = Photo::open(path).map_err(|source| StudioError::Mask { path: path.to_path_buf(), source })?.pixels;
    if mask.dimensions() != (width, height) {
        let (got, expected) = (mask.dimensions(), (width, height));
        return Err(StudioError::MaskSize { path: path.to_path_buf(), got, expected });
    }
    if mask.pixels().all(|pixel| pixel[0] == 0) {
        return Err(StudioError::EmptyMask { path: path.to_path_buf() });
    }
    Ok(mask)
}

/// The part of a photo to learn from, at the size to learn at.
pub(crate) fn crop(photo: &RgbImage, rect: CropRect, size: Size) -> Result<RgbImage> {
    Ok(crop_and_resize(photo, rect, size.width, size.height)?)
}
