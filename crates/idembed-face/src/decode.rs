//! The bytes of a file to a picture, by the decoder of its format.
//!
//! Whatever a decoder would accept in silence or refuse without saying why is looked at before it starts; nothing large is
//! allocated before the size is known.

use std::fmt;
use std::io::{self, Cursor};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use heic_decoder::HeifError;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::error::{DecoderError, PhotoError};
use crate::format::{self, Codec};
use crate::jpeg::{self, JpegFacts};
use crate::photo::{Note, check_size};
use crate::{heic, iso};

/// The most memory that a decoder may take for one picture: [`MAX_PIXELS`](crate::MAX_PIXELS) at 16 bits in four channels.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// A decoded picture.
pub(crate) struct Decoded {
    /// As the decoder gives it.
    pub(crate) picture: DynamicImage,
    /// Width and height in the file.
    pub(crate) stored_size: (u32, u32),
    /// What is still to be done to see it upright.
    pub(crate) orientation: Orientation,
    /// Whether the decoder has turned it already.
    pub(crate) turned: bool,
    /// What its pixels do not tell.
    pub(crate) notes: Vec<Note>,
}

/// Decodes the file `path` with the content `bytes`.
pub(crate) fn decode(path: &Path, codec: Codec, bytes: Vec<u8>) -> Result<Decoded, PhotoError> {
    let decode = || match codec {
        Codec::Heic => decode_heic(path, &bytes),
        Codec::Image(format) => decode_image(path, format, &bytes),
    };
    // The decoders' authors mean them not to panic whatever the file; if one does, the file is refused, not the run ended.
    panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(damaged(path, Panicked)))
}

/// A decoder gave up in a way that it should not have.
#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the decoder failed on the file's content")
    }
}

impl std::error::Error for Panicked {}

fn decode_heic(path: &Path, bytes: &[u8]) -> Result<Decoded, PhotoError> {
    if iso::is_cut_short(bytes) {
        return Err(PhotoError::Truncated { path: path.to_owned() });
    }
    let failed = |error| heic_failed(path, error);
    let heic::Sizes { coded, shown } = heic::sizes(bytes).map_err(failed)?;
    check_size(path, coded)?;
    check_size(path, shown)?;
    let heic::Heic { picture, deep } = heic::decode(bytes).map_err(failed)?;
    let notes = if deep { vec![Note::Deep] } else { Vec::new() };
    let turning = iso::turning(bytes);
    // The coded size is no help here: it may have a rim that is not shown.
    let stored_size = if turning.on_its_side { (shown.1, shown.0) } else { shown };
    Ok(Decoded { picture, stored_size, orientation: Orientation::NoTransforms, turned: turning.any, notes })
}

fn decode_image(path: &Path, format: ImageFormat, bytes: &[u8]) -> Result<Decoded, PhotoError> {
    let facts = (format == ImageFormat::Jpeg).then(|| JpegFacts::of(bytes));
    let cut_short = match format {
        ImageFormat::Jpeg => facts.is_some_and(|facts| !facts.complete),
        ImageFormat::WebP => format::webp_is_cut_short(bytes),
        ImageFormat::Gif => format::gif_is_cut_short(bytes),
        _ => false,
    };
    if cut_short {
        return Err(PhotoError::Truncated { path: path.to_owned() });
    }
    if let (ImageFormat::Png, Some(size)) = (format, format::png_size(bytes)) {
        check_size(path, size)?;
    }
    let failed = |error| image_failed(path, error);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let stored_size = decoder.dimensions();
    check_size(path, stored_size)?;
    // A damaged orientation tag is no reason to refuse a photo.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let inks = matches!(decoder.original_color_type(), ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
    let cmyk = inks || facts.is_some_and(|facts| facts.is_cmyk());
    let picture = match facts {
        Some(facts) if cmyk && !facts.adobe => {
            DynamicImage::ImageRgb8(jpeg::decode_plain_cmyk(bytes).map_err(|error| damaged(path, error))?)
        }
        _ => DynamicImage::from_decoder(decoder).map_err(failed)?,
    };
    let notes = if cmyk { vec![Note::Cmyk] } else { Vec::new() };
    Ok(Decoded { picture, stored_size, orientation, turned: false, notes })
}

fn damaged(path: &Path, source: impl Into<DecoderError>) -> PhotoError {
    PhotoError::Damaged { path: path.to_owned(), source: source.into() }
}

fn heic_failed(path: &Path, error: HeifError) -> PhotoError {
    let path = path.to_owned();
    match error {
        HeifError::Truncated { .. } => PhotoError::Truncated { path },
        HeifError::Unsupported(_) => PhotoError::Unsupported { path, source: error.into() },
        error => PhotoError::Damaged { path, source: error.into() },
    }
}

fn image_failed(path: &Path, error: ImageError) -> PhotoError {
    if is_end_of_file(&error) {
        return PhotoError::Truncated { path: path.to_owned() };
    }
    match error {
        ImageError::Unsupported(error) => PhotoError::Unsupported { path: path.to_owned(), source: error.into() },
        error => damaged(path, error),
    }
}

/// Whether a decoder ran out of bytes: some say so at once, some as the cause of another error.
fn is_end_of_file(error: &ImageError) -> bool {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.any(|cause| {
        let io = match cause.downcast_ref::<ImageError>() {
            Some(ImageError::IoError(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        io.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    })
}
