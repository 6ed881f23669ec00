//! Pictures as heat maps take and give them.

use anyhow::Context;
use image::RgbImage;
use tch::{Device, Kind, Tensor};

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
