//! What the decoder of JPEG files keeps to itself, and the one kind of file that it gets wrong.
//!
//! It fills a truncated picture with grey and turns CMYK into RGB, both without a word, so the file's segments are looked at
//! first. Of CMYK it takes every file for one of Adobe's, which store the inks inverted; one without Adobe's segment does not.
//!
//! # Source
//! ITU-T T.81, annex B (markers and their segments); ITU-T T.872, 6.5.3 (Adobe's segment).

use image::RgbImage;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::photo::MAX_SIDE;

/// What the segments of a JPEG file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JpegFacts {
    /// Number of colour components in the frame header: 1 is grey, 3 is colour, 4 is CMYK or YCCK.
    pub(crate) components: Option<u8>,
    /// Whether there is a segment of Adobe's before the picture's data.
    pub(crate) adobe: bool,
    /// Whether the end-of-image marker was found after the picture's data.
    pub(crate) complete: bool,
}

const END_OF_IMAGE: u8 = 0xd9;
const ADOBE: u8 = 0xee;

impl JpegFacts {
    /// Whether the colours are inks.
    pub(crate) fn is_cmyk(&self) -> bool {
        self.components == Some(4)
    }

    /// Reads the segments of the first picture in `bytes`, which start with the start-of-image marker.
    pub(crate) fn of(bytes: &[u8]) -> JpegFacts {
        let mut facts = JpegFacts::default();
        let mut position = 2;
        while let Some((marker, after)) = next_marker(bytes, position) {
            position = after;
            match marker {
                END_OF_IMAGE => {
                    facts.complete = true;
                    return facts;
                }
                // Markers that stand alone: TEM, RST0 to RST7, a second SOI.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let Some(length) = segment_length(bytes, after) else { return facts };
            if marker == ADOBE && bytes.get(after + 2..after + 7) == Some(b"Adobe") {
                facts.adobe = true;
            }
            if is_frame_header(marker) && facts.components.is_none() {
                facts.components = bytes.get(after + 7).copied();
            }
            // After a scan header comes the picture's data; looking for the next marker skips it.
            position = after + length;
        }
        facts
    }
}

/// Decodes a CMYK file without Adobe's segment: 0 is no ink.
///
/// Each ink takes away its complement, and black takes away of all three: `(255 - ink) (255 - black) / 255`. No ink profile
/// is applied.
///
/// # Errors
/// The file is damaged.
pub(crate) fn decode_plain_cmyk(bytes: &[u8]) -> Result<RgbImage, DecodeErrors> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::CMYK);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let inks = decoder.decode()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let light = |ink: u8, black: u8| ((255 - u32::from(ink)) * (255 - u32::from(black)) + 127) / 255;
    let rgb =
        inks.chunks_exact(4).flat_map(|inks| [0, 1, 2].map(|channel| light(inks[channel], inks[3]) as u8)).collect();
    RgbImage::from_raw(width as u32, height as u32, rgb)
        .ok_or(DecodeErrors::FormatStatic("the picture has too few pixels"))
}

/// The next marker at or after `position` and the position after it.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(u8, usize)> {
    loop {
        let found = bytes.get(position..)?.iter().position(|&byte| byte == 0xff)?;
        position += found + 1;
        match *bytes.get(position)? {
            // A stuffed byte inside the picture's data, or a fill byte before a marker.
            0x00 | 0xff => {}
            marker => return Some((marker, position + 1)),
        }
    }
}

/// The length that a segment states in its first two bytes, which it includes.
fn segment_length(bytes: &[u8], position: usize) -> Option<usize> {
    let length = u16::from_be_bytes([*bytes.get(position)?, *bytes.get(position + 1)?]);
    (length >= 2).then_some(usize::from(length))
}

/// Frame headers are SOF0 to SOF15; three codes between them mean something else (DHT, JPG, DAC).
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: [u8; 2] = [0xff, 0xd8];
    const FRAME: [u8; 10] = [0xff, 0xc0, 0x00, 0x08, 8, 0, 16, 0, 16, 4];
    const SCAN: [u8; 8] = [0xff, 0xda, 0x00, 0x02, 0x12, 0xff, 0x00, 0x34];
    const END: [u8; 2] = [0xff, 0xd9];

    #[test]
    fn components_and_end_are_found() {
        let whole = [&START[..], &FRAME, &SCAN, &END].concat();
        assert_eq!(JpegFacts::of(&whole), JpegFacts { components: Some(4), adobe: false, complete: true });
        let without_end = [&START[..], &FRAME, &SCAN].concat();
        assert_eq!(JpegFacts::of(&without_end), JpegFacts { components: Some(4), adobe: false, complete: false });
    }

    #[test]
    fn an_end_marker_inside_a_segment_does_not_count() {
        let thumbnail = [0xff, 0xe1, 0x00, 0x06, 0xff, 0xd9, 0xff, 0xd9];
        let cut = [&START[..], &thumbnail, &FRAME].concat();
        assert_eq!(JpegFacts::of(&cut), JpegFacts { components: Some(4), adobe: false, complete: false });
    }

    #[test]
    fn adobe_is_told_by_its_name() {
        let segment = |name: &[u8]| {
            [&START[..], &[0xff, 0xee, 0x00, 0x0e], name, &[0, 100, 0, 0, 0, 0, 0], &FRAME, &END].concat()
        };
        assert!(JpegFacts::of(&segment(b"Adobe")).adobe);
        assert!(!JpegFacts::of(&segment(b"Other")).adobe);
    }

    #[test]
    fn restarts_and_fill_bytes_are_passed_over() {
        let restart = [0xff, 0xd0, 0x56, 0xff, 0xff];
        let whole = [&START[..], &FRAME, &SCAN, &restart, &END].concat();
        assert!(JpegFacts::of(&whole).complete);
    }

    #[test]
    fn any_prefix_is_read_without_panic() {
        let whole = [&START[..], &FRAME, &SCAN, &END].concat();
        for end in 0..whole.len() {
            assert!(!JpegFacts::of(&whole[..end]).complete);
        }
    }
}
