//! What a file is, by its first bytes; names of files lie too often.

use image::ImageFormat;

/// Number of bytes at the start of a file that [`Format::of`] looks at.
pub(crate) const SNIFFED_BYTES: usize = 32;

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A format that is decoded here.
    Photo(ImageFormat),
    /// A format that people have photos in, but that is not decoded here.
    Other(&'static str),
    /// Nothing that is known to be a picture.
    Unknown,
}

impl Format {
    /// The format of a file that starts with `head`.
    pub(crate) fn of(head: &[u8]) -> Format {
        if head.starts_with(&[0xff, 0xd8, 0xff]) {
            return Format::Photo(ImageFormat::Jpeg);
        }
        if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Format::Photo(ImageFormat::Png);
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            return Format::Photo(ImageFormat::WebP);
        }
        if head.get(4..8) == Some(b"ftyp") {
            // ISO base media files tell their kind by a brand: phones write heic, browsers avif.
            return Format::Other(match head.get(8..12) {
                Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => "HEIC",
                Some(b"avif" | b"avis") => "AVIF",
                _ => "video",
            });
        }
        let known: [(&[u8], &'static str); 9] = [
            (b"GIF8", "GIF"),
            (b"BM", "BMP"),
            (b"II*\0", "TIFF"),
            (b"MM\0*", "TIFF"),
            (b"%PDF", "PDF"),
            (b"8BPS", "Photoshop"),
            (b"\xff\x0a", "JPEG XL"),
            (b"\0\0\0\x0cJXL ", "JPEG XL"),
            (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        ];
        known.iter().find(|(magic, _)| head.starts_with(magic)).map_or(Format::Unknown, |(_, name)| Format::Other(name))
    }
}

/// Whether a WebP file is shorter than its header announces.
///
/// # Source
/// The size of the RIFF container: a little-endian `u32` at byte 4 that counts what follows it.
pub(crate) fn webp_is_cut_short(bytes: &[u8]) -> bool {
    match bytes.get(4..8) {
        Some(&[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])) + 8 > bytes.len() as u64,
        _ => true,
    }
}

/// Width and height from the first bytes of a PNG file.
///
/// The decoder itself would refuse a huge picture as "limits exceeded", without its size.
pub(crate) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.get(12..16) != Some(b"IHDR") {
        return None;
    }
    let width = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?);
    let height = u32::from_be_bytes(bytes.get(20..24)?.try_into().ok()?);
    Some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        assert_eq!(Format::of(&[0xff, 0xd8, 0xff, 0xe0]), Format::Photo(ImageFormat::Jpeg));
        assert_eq!(Format::of(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), Format::Photo(ImageFormat::Png));
        assert_eq!(Format::of(b"RIFF\x10\0\0\0WEBPVP8 "), Format::Photo(ImageFormat::WebP));
        assert_eq!(Format::of(b"\0\0\0\x18ftypheic\0\0\0\0"), Format::Other("HEIC"));
        assert_eq!(Format::of(b"\0\0\0\x18ftypavif\0\0\0\0"), Format::Other("AVIF"));
        assert_eq!(Format::of(b"\0\0\0\x18ftypisom\0\0\0\0"), Format::Other("video"));
        assert_eq!(Format::of(b"GIF89a"), Format::Other("GIF"));
        assert_eq!(Format::of(b"RIFF\x10\0\0\0WAVEfmt "), Format::Unknown);
        assert_eq!(Format::of(b"hello"), Format::Unknown);
        assert_eq!(Format::of(b""), Format::Unknown);
    }

    #[test]
    fn a_webp_must_be_as_long_as_it_says() {
        assert!(!webp_is_cut_short(b"RIFF\x04\0\0\0WEBP"));
        assert!(webp_is_cut_short(b"RIFF\x05\0\0\0WEBP"));
        assert!(webp_is_cut_short(b"RIFF\xff\xff\xff\xffWEBP"));
        assert!(webp_is_cut_short(b"RIFF"));
    }
}
