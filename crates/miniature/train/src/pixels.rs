//! Between the pixels of pictures and the tensors that networks see.

use tch::{Device, Kind, Tensor};

use crate::Result;

/// Rows of RGB pixels as a tensor; the channels of each pixel stay side by side in memory.
///
/// # Shapes
/// - returns: `[count, 3, side, side]`, bytes
pub(crate) fn to_planes(pixels: &[u8], count: i64, side: i64) -> Result<Tensor> {
    Ok(Tensor::f_from_data_size(pixels, &[count, side, side, 3], Kind::Uint8)?.f_permute([0, 3, 1, 2])?)
}

/// Bytes as the networks want them: -1..1.
pub(crate) fn to_images(pixels: &Tensor, device: Device) -> Result<Tensor> {
    Ok(pixels.f_to_device(device)?.f_to_kind(Kind::Float)?.f_div_scalar(127.5)?.f_sub_scalar(1.0)?)
}
