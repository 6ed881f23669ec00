//! Opening a photo: from any JPEG, PNG or WebP file to upright RGB pixels.
//!
//! Colours are taken as sRGB; an embedded colour profile is not applied. Of an animation, the first picture counts.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage};

use crate::error::PhotoError;
use crate::format::{self, Format, SNIFFED_BYTES};
use crate::jpeg::JpegFacts;

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most pixels that are decoded: phones take photos of 108 million.
pub const MAX_PIXELS: u64 = 120_000_000;
/// The shortest side that is accepted, in pixels; below it no face can be told from another.
pub const MIN_SIDE: u32 = 32;
/// The largest file that is read.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// The most memory that a decoder may take for one picture: [`MAX_PIXELS`] at 16 bits in four channels.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// A photo, upright and in RGB.
#[derive(Clone, Debug)]
pub struct Photo {
    /// The picture as it should be seen.
    pub pixels: RgbImage,
    /// Width and height in the file, before it was turned upright.
    pub original_size: (u32, u32),
    /// What was changed on the way, to tell the user.
    pub notes: Vec<Note>,
}

/// A change that [`Photo::open`] made to the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The camera's orientation tag was applied: turned, mirrored or both.
    TurnedUpright,
    /// Transparent parts were laid on white.
    FlattenedOnWhite,
    /// A grey picture was copied into three channels.
    Grey,
    /// 16 bits per channel were rounded to 8.
    SixteenBit,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Note::TurnedUpright => "turned upright as its orientation tag says",
            Note::FlattenedOnWhite => "transparent parts were laid on white",
            Note::Grey => "the photo is grey; the identity will have no colour",
            Note::SixteenBit => "16 bits per channel were rounded to 8",
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
    /// A [`PhotoError`] for whatever is not a whole JPEG, PNG or WebP picture of a sensible size.
    pub fn open(path: &Path) -> Result<Photo, PhotoError> {
        let (format, bytes) = read(path)?;
        check_whole(path, format, &bytes)?;
        let failed = |source| decoding_failed(path, source);

        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes.as_slice()), format);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(failed)?;
        let original_size = decoder.dimensions();
        check_size(path, original_size)?;
        // A damaged orientation tag is no reason to refuse a photo.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
        drop(bytes);

        let (pixels, mut notes) = to_rgb(decoded);
        let mut upright = DynamicImage::ImageRgb8(pixels);
        if orientation != Orientation::NoTransforms {
            notes.push(Note::TurnedUpright);
            upright.apply_orientation(orientation);
        }
        Ok(Photo { pixels: upright.into_rgb8(), original_size, notes })
    }
}

/// Reads the file, once its first bytes have shown that it is a picture.
fn read(path: &Path) -> Result<(ImageFormat, Vec<u8>), PhotoError> {
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
    let format = match Format::of(&bytes) {
        Format::Photo(format) => format,
        Format::Other(format) => return Err(PhotoError::OtherFormat { path: path.to_owned(), format }),
        Format::Unknown => return Err(PhotoError::NotAPicture { path: path.to_owned() }),
    };
    // A pipe has no size to check beforehand, so the limit holds while reading, too.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let bytes_read = bytes.len() as u64;
    if bytes_read > MAX_FILE_BYTES {
        return Err(PhotoError::FileTooLarge { path: path.to_owned(), bytes: bytes_read });
    }
    Ok((format, bytes))
}

/// Refuses what the decoders would accept in silence or refuse without saying why.
fn check_whole(path: &Path, format: ImageFormat, bytes: &[u8]) -> Result<(), PhotoError> {
    let cut_short = match format {
        ImageFormat::Jpeg => {
            let facts = JpegFacts::of(bytes);
            if facts.components == Some(4) {
                return Err(PhotoError::Cmyk { path: path.to_owned() });
            }
            !facts.complete
        }
        ImageFormat::WebP => format::webp_is_cut_short(bytes),
        _ => {
            if let Some(size) = format::png_size(bytes) {
                check_size(path, size)?;
            }
            false
        }
    };
    if cut_short { Err(PhotoError::Truncated { path: path.to_owned() }) } else { Ok(()) }
}

fn check_size(path: &Path, (width, height): (u32, u32)) -> Result<(), PhotoError> {
    let path = || path.to_owned();
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PhotoError::TooLarge { path: path(), width, height });
    }
    if width.min(height) < MIN_SIDE {
        return Err(PhotoError::TooSmall { path: path(), width, height });
    }
    Ok(())
}

fn decoding_failed(path: &Path, source: ImageError) -> PhotoError {
    let path = path.to_owned();
    match source {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            PhotoError::Truncated { path }
        }
        source => PhotoError::Damaged { path, source },
    }
}

/// Any decoded picture as RGB with 8 bits, and what that changed.
fn to_rgb(decoded: DynamicImage) -> (RgbImage, Vec<Note>) {
    let color = decoded.color();
    let mut notes = Vec::new();
    if !color.has_color() {
        notes.push(Note::Grey);
    }
    if color.bytes_per_pixel() > color.channel_count() {
        notes.push(Note::SixteenBit);
    }
    if !color.has_alpha() {
        return (decoded.into_rgb8(), notes);
    }
    let rgba = decoded.into_rgba8();
    if rgba.pixels().any(|pixel| pixel[3] < 255) {
        notes.push(Note::FlattenedOnWhite);
    }
    (on_white(&rgba), notes)
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
