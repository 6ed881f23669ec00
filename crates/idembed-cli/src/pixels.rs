//! Pictures between the crates: decoded photos, drawn pictures, tensors.

use std::path::Path;

use anyhow::{Context, bail};
use idembed_diffusion::Picture;
use idembed_face::{CropRect, Photo, crop_and_resize};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::size::Size;

/// A drawn picture, ready for files and sheets.
pub(crate) fn to_image(picture: Picture) -> anyhow::Result<RgbImage> {
    let Picture { width, height, rgb } = picture;
    RgbImage::from_raw(width, height, rgb).context("a drawn picture lacks pixels")
}

/// A picture as the networks want it: `[1, 3, height, width]` in -1..1, f32.
pub(crate) fn to_tensor(image: &RgbImage) -> anyhow::Result<Tensor> {
    let picture = Picture { width: image.width(), height: image.height(), rgb: image.as_raw().clone() };
    Ok(picture.to_tensor()?)
}

/// A picture as the heat maps want it: `[3, height, width]`, u8.
pub(crate) fn to_planes(image: &RgbImage) -> anyhow::Result<Tensor> {
    let shape = [i64::from(image.height()), i64::from(image.width()), 3];
    Ok(Tensor::f_from_data_size(image.as_raw(), &shape, Kind::Uint8)?.f_permute([2, 0, 1])?.f_contiguous()?)
}

/// The picture of a heat map, `[3, height, width]`, u8.
pub(crate) fn from_planes(planes: &Tensor) -> anyhow::Result<RgbImage> {
    let (_, height, width) = planes.size3()?;
    let pixels = planes.f_to_device(Device::Cpu)?.f_permute([1, 2, 0])?.f_contiguous()?;
    let mut rgb = vec![0; pixels.numel()];
    pixels.f_copy_data_u8(&mut rgb, pixels.numel())?;
    RgbImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, rgb).context("a heat map lacks pixels")
}

/// A mask from a picture that is white where the face is: `[1, 1, height, width]` in 0..1.
pub(crate) fn to_mask(image: &RgbImage) -> anyhow::Result<Tensor> {
    let values: Vec<f32> = image.pixels().map(|pixel| f32::from(pixel[0]) / 255.0).collect();
    let shape = [1, 1, i64::from(image.height()), i64::from(image.width())];
    Ok(Tensor::f_from_slice(&values)?.f_view(shape)?)
}

/// Reads a photo; what was changed on the way is said.
pub(crate) fn open_photo(path: &Path) -> anyhow::Result<RgbImage> {
    let photo = Photo::open(path)?;
    for note in &photo.notes {
        tracing::info!("`{}`: {note}", path.display());
    }
    Ok(photo.pixels)
}

/// Reads a mask that belongs to a picture of this size.
pub(crate) fn open_mask(path: &Path, width: u32, height: u32) -> anyhow::Result<RgbImage> {
    let mask = Photo::open(path).with_context(|| format!("cannot use `{}` as a mask", path.display()))?.pixels;
    if mask.dimensions() != (width, height) {
        let (got_width, got_height) = mask.dimensions();
        bail!("the mask `{}` is {got_width} x {got_height} pixels, expected {width} x {height}", path.display());
    }
    if mask.pixels().all(|pixel| pixel[0] == 0) {
        bail!("the mask `{}` is black everywhere; it must be white where the face is", path.display());
    }
    Ok(mask)
}

/// The part of a photo to learn from, at the size to learn at.
pub(crate) fn crop(photo: &RgbImage, rect: CropRect, size: Size) -> anyhow::Result<RgbImage> {
    Ok(crop_and_resize(photo, rect, size.width, size.height)?)
}
