//! HEIC pictures, decoded by the crate `heic-decoder`.
//!
//! The file's own turning, mirroring and cropping are applied by the decoder. Its Exif orientation says the same once more
//! and is not looked at, as ISO/IEC 23008-12 wants it.

use heic_decoder::{DecodedImage, HeifError};
use image::{DynamicImage, RgbImage, RgbaImage};

/// A HEIC picture's sizes as its headers state them.
pub(crate) struct Sizes {
    /// As it is stored.
    pub(crate) coded: (u32, u32),
    /// As it is shown.
    pub(crate) shown: (u32, u32),
}

/// The sizes of the picture in a file; nothing is decoded.
///
/// # Errors
/// The file is damaged, or of a kind that the decoder does not know.
pub(crate) fn sizes(bytes: &[u8]) -> Result<Sizes, HeifError> {
    let info = heic_decoder::probe(bytes)?;
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    Ok(Sizes { coded: (side(info.coded_width), side(info.coded_height)), shown: (side(info.width), side(info.height)) })
}

/// A decoded picture, as it is shown, with 8 bits per channel.
pub(crate) struct Heic {
    /// Grey, RGB or RGBA.
    pub(crate) picture: DynamicImage,
    /// Whether the file has more than 8 bits per channel.
    pub(crate) deep: bool,
}

/// Decodes the picture.
///
/// # Errors
/// The file is damaged, or of a kind that the decoder does not know.
pub(crate) fn decode(bytes: &[u8]) -> Result<Heic, HeifError> {
    let image = heic_decoder::decode(bytes)?;
    let deep = image.bit_depth_luma > 8;
    let picture = if image.alpha.is_some() {
        DynamicImage::ImageRgba8(with_alpha(&image)?)
    } else {
        let rgb = image.to_rgb8()?;
        let picture = RgbImage::from_raw(rgb.width as u32, rgb.height as u32, rgb.data);
        let picture = DynamicImage::ImageRgb8(picture.ok_or(TOO_FEW)?);
        if image.chroma_format_idc == 0 { DynamicImage::ImageLuma8(picture.into_luma8()) } else { picture }
    };
    Ok(Heic { picture, deep })
}

const TOO_FEW: HeifError = HeifError::MalformedHevc("the picture has too few pixels");

fn with_alpha(image: &DecodedImage) -> Result<RgbaImage, HeifError> {
    let rgba = image.to_rgba8()?;
    let mut picture = RgbaImage::from_raw(rgba.width as u32, rgba.height as u32, rgba.data).ok_or(TOO_FEW)?;
    if rgba.premultiplied {
        for pixel in picture.pixels_mut().filter(|pixel| pixel[3] > 0) {
            let alpha = u32::from(pixel[3]);
            for channel in 0..3 {
                pixel[channel] = ((u32::from(pixel[channel]) * 255 + alpha / 2) / alpha).min(255) as u8;
            }
        }
    }
    Ok(picture)
}
