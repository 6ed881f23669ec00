//! Opening a photo: from any JPEG, PNG, WebP, HEIC, TIFF, BMP or GIF file to upright RGB pixels.
//!
//! Colours are taken as sRGB; an embedded colour profile is not applied. Of an animation or of several pages, the first
//! picture counts.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

use crate::decode::{self, Decoded};
use crate::error::PhotoError;
use crate::format::{Codec, Format, SNIFFED_BYTES};

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most pixels that are decoded: phones take photos of 108 million.
pub const MAX_PIXELS: u64 = 120_000_000;
/// The shortest side that is accepted, in pixels; below it no face can be told from another.
pub const MIN_SIDE: u32 = 32;
/// The largest file that is read.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// A photo, upright and in RGB.
#[derive(Clone, Debug)]
pub struct Photo {
    /// The picture as it should be seen, transparent parts on white.
    pub pixels: RgbImage,
    /// What is transparent in it, if anything is.
    pub transparency: Option<Transparency>,
    /// Width and height in the file, before it was turned upright.
    pub original_size: (u32, u32),
    /// What was changed on the way, to tell the user.
    pub notes: Vec<Note>,
}

/// A picture that comes from no file.
impl From<RgbImage> for Photo {
    fn from(pixels: RgbImage) -> Self {
        Photo { original_size: pixels.dimensions(), pixels, transparency: None, notes: Vec::new() }
    }
}

/// A photo's transparent parts, upright.
#[derive(Clone, Debug)]
pub struct Transparency {
    /// The colours as the file has them, also where nothing of them is seen.
    pub stored: RgbImage,
    /// How opaque each pixel is, from 0 to 255; not 255 everywhere.
    pub opacity: GrayImage,
}

/// A change that [`Photo::open`] made to the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The camera's orientation tag was applied: turned, mirrored or both.
    TurnedUpright,
    /// Transparent parts were laid on white.
    FlattenedOnWhite,
    /// A grey picture was copied into three channels.
    Grey,
    /// More than 8 bits per channel were rounded to 8.
    Deep,
    /// Inks were converted to colours without their profile.
    Cmyk,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Note::TurnedUpright => "turned upright as its orientation tag says",
            Note::FlattenedOnWhite => "transparent parts were laid on white",
            Note::Grey => "the photo is grey; the identity will have no colour",
            Note::Deep => "more than 8 bits per channel were rounded to 8",
            Note::Cmyk => {
                "CMYK, made for print, was converted to RGB without its ink profile; colours may be a little off"
            }
        })
    }
}

impl Photo {
    /// Reads the photo at `path`.
    ///
    /// The format is told by the content, not by the name. Memory is bounded: size and format are checked before
    /// anything is decoded.
    ///
    /// # Errors
    /// A [`PhotoError`] for whatever is not a whole picture of a sensible size in one of the formats.
    pub fn open(path: &Path) -> Result<Photo, PhotoError> {
        let (codec, bytes) = read(path)?;
        let Decoded { picture, stored_size, orientation, turned, mut notes } = decode::decode(path, codec, bytes)?;
        let upright = |mut picture: DynamicImage| {
            picture.apply_orientation(orientation);
            picture
        };
        let (pixels, transparency) = to_rgb(picture, &mut notes);
        let pixels = upright(pixels.into()).into_rgb8();
        let transparency = transparency.map(|Transparency { stored, opacity }| Transparency {
            stored: upright(stored.into()).into_rgb8(),
            opacity: upright(opacity.into()).into_luma8(),
        });
        if turned || orientation != Orientation::NoTransforms {
            notes.push(Note::TurnedUpright);
        }
        Ok(Photo { pixels, transparency, original_size: stored_size, notes })
    }
}

/// Reads the file, once its first bytes have shown that it is a picture.
fn read(path: &Path) -> Result<(Codec, Vec<u8>), PhotoError> {
    let failed = |source| PhotoError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(PhotoError::Folder { path: path.to_owned() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(PhotoError::FileTooLarge { path: path.to_owned(), bytes: metadata.len() });
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref().take(SNIFFED_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.is_empty() {
        return Err(PhotoError::Empty { path: path.to_owned() });
    }
    let codec = match Format::of(&bytes) {
        Format::Photo(codec) => codec,
        Format::Other(format) => return Err(PhotoError::OtherFormat { path: path.to_owned(), format }),
        Format::Unknown => return Err(PhotoError::NotAPicture { path: path.to_owned() }),
    };
    // A pipe has no size to check beforehand, so the limit holds while reading, too.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let bytes_read = bytes.len() as u64;
    if bytes_read > MAX_FILE_BYTES {
        return Err(PhotoError::FileTooLarge { path: path.to_owned(), bytes: bytes_read });
    }
    Ok((codec, bytes))
}

/// Refuses a picture that is too large to be decoded or too small to show a face.
pub(crate) fn check_size(path: &Path, (width, height): (u32, u32)) -> Result<(), PhotoError> {
    let path = || path.to_owned();
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PhotoError::TooLarge { path: path(), width, height });
    }
    if width.min(height) < MIN_SIDE {
        return Err(PhotoError::TooSmall { path: path(), width, height });
    }
    Ok(())
}

/// Any decoded picture as RGB with 8 bits, and what is transparent in it; what that changes is noted.
fn to_rgb(decoded: DynamicImage, notes: &mut Vec<Note>) -> (RgbImage, Option<Transparency>) {
    let color = decoded.color();
    if !color.has_color() {
        notes.push(Note::Grey);
    }
    if color.bytes_per_pixel() > color.channel_count() {
        notes.push(Note::Deep);
    }
    if !color.has_alpha() {
        return (decoded.into_rgb8(), None);
    }
    let rgba = decoded.into_rgba8();
    if rgba.pixels().all(|pixel| pixel[3] == 255) {
        return (on_white(&rgba), None);
    }
    notes.push(Note::FlattenedOnWhite);
    let mut opacity = GrayImage::new(rgba.width(), rgba.height());
    for (to, from) in opacity.pixels_mut().zip(rgba.pixels()) {
        to.0 = [from[3]];
    }
    let pixels = on_white(&rgba);
    (pixels, Some(Transparency { stored: DynamicImage::ImageRgba8(rgba).into_rgb8(), opacity }))
}

/// The picture as it looks on white paper.
fn on_white(rgba: &RgbaImage) -> RgbImage {
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let alpha = u32::from(from[3]);
        to.0 = [0, 1, 2].map(|channel| ((u32::from(from[channel]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}
