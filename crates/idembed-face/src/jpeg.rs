//! The two facts about a JPEG file that its decoder keeps to itself.
//!
//! The decoder fills a truncated picture with grey and turns CMYK into wrong RGB, both without a word, so the file's
//! segments are looked at first.
//!
//! # Source
//! ITU-T T.81, annex B (markers and their segments).

/// What the segments of a JPEG file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JpegFacts {
    /// Number of colour components in the frame header: 1 is grey, 3 is colour, 4 is CMYK or YCCK.
    pub(crate) components: Option<u8>,
    /// Whether the end-of-image marker was found after the picture's data.
    pub(crate) complete: bool,
}

const END_OF_IMAGE: u8 = 0xd9;

impl JpegFacts {
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
            if is_frame_header(marker) && facts.components.is_none() {
                facts.components = bytes.get(after + 7).copied();
            }
            // After a scan header comes the picture's data; looking for the next marker skips it.
            position = after + length;
        }
        facts
    }
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
        assert_eq!(JpegFacts::of(&whole), JpegFacts { components: Some(4), complete: true });
        let without_end = [&START[..], &FRAME, &SCAN].concat();
        assert_eq!(JpegFacts::of(&without_end), JpegFacts { components: Some(4), complete: false });
    }

    #[test]
    fn an_end_marker_inside_a_segment_does_not_count() {
        let thumbnail = [0xff, 0xe1, 0x00, 0x06, 0xff, 0xd9, 0xff, 0xd9];
        let cut = [&START[..], &thumbnail, &FRAME].concat();
        assert_eq!(JpegFacts::of(&cut), JpegFacts { components: Some(4), complete: false });
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
