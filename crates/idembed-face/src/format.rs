//! What a file is, by its first bytes; names of files lie too often.

use image::ImageFormat;

use crate::iso::{self, Family};

/// Number of bytes at the start of a file that [`Format::of`] looks at.
pub(crate) const SNIFFED_BYTES: usize = 256;

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A format that is decoded here.
    Photo(Codec),
    /// A format that people have photos in, but that is not decoded here.
    Other(&'static str),
    /// Nothing that is known to be a picture.
    Unknown,
}

/// What decodes a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// The crate `image`.
    Image(ImageFormat),
    /// The crate `heic-decoder`.
    Heic,
}

/// The formats that are decoded here, for messages.
pub(crate) const READ: &str = "JPEG, PNG, WebP, HEIC, TIFF, BMP and GIF are read";

impl Format {
    /// The format of a file that starts with `head`.
    pub(crate) fn of(head: &[u8]) -> Format {
        if head.starts_with(b"RIFF") {
            let webp = head.get(8..12) == Some(b"WEBP");
            return if webp { Format::Photo(Codec::Image(ImageFormat::WebP)) } else { Format::Unknown };
        }
        if let Some(family) = iso::family(head) {
            return match family {
                Family::Heic => Format::Photo(Codec::Heic),
                Family::Avif => Format::Other("AVIF"),
                Family::Heif => Format::Other("HEIF"),
                Family::Video => Format::Other("video"),
            };
        }
        let read: [(&[u8], ImageFormat); 6] = [
            (&[0xff, 0xd8, 0xff], ImageFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
            (b"GIF8", ImageFormat::Gif),
            (b"BM", ImageFormat::Bmp),
            (b"II*\0", ImageFormat::Tiff),
            (b"MM\0*", ImageFormat::Tiff),
        ];
        if let Some((_, format)) = read.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Format::Photo(Codec::Image(*format));
        }
        let known: [(&[u8], &'static str); 5] = [
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

/// Whether a GIF file ends before its first picture does.
///
/// # Source
/// GIF89a specification, 15 to 26: colour tables, and data in blocks that begin with their length and end with an empty one.
pub(crate) fn gif_is_cut_short(bytes: &[u8]) -> bool {
    end_of_first_gif_picture(bytes).is_none()
}

fn end_of_first_gif_picture(bytes: &[u8]) -> Option<usize> {
    let colour_table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut position = 13 + colour_table(*bytes.get(10)?);
    loop {
        let picture = match bytes.get(position)? {
            0x21 => false,
            0x2c => true,
            // The end of the file, or something that the decoder complains about.
            _ => return Some(position),
        };
        // What comes before the blocks: an extension's label, or a picture's place, colours and code size.
        position += if picture { 11 + colour_table(*bytes.get(position + 9)?) } else { 2 };
        loop {
            let length = usize::from(*bytes.get(position)?);
            position += 1 + length;
            if length == 0 {
                break;
            }
        }
        if picture {
            return Some(position);
        }
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
        let read = |format| Format::Photo(Codec::Image(format));
        assert_eq!(Format::of(&[0xff, 0xd8, 0xff, 0xe0]), read(ImageFormat::Jpeg));
        assert_eq!(Format::of(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), read(ImageFormat::Png));
        assert_eq!(Format::of(b"RIFF\x10\0\0\0WEBPVP8 "), read(ImageFormat::WebP));
        assert_eq!(Format::of(b"GIF89a"), read(ImageFormat::Gif));
        assert_eq!(Format::of(b"BM\x36\0\0\0"), read(ImageFormat::Bmp));
        assert_eq!(Format::of(b"II*\0\x08\0\0\0"), read(ImageFormat::Tiff));
        assert_eq!(Format::of(b"MM\0*\0\0\0\x08"), read(ImageFormat::Tiff));
        assert_eq!(Format::of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Format::Photo(Codec::Heic));
        assert_eq!(Format::of(b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf"), Format::Other("AVIF"));
        assert_eq!(Format::of(b"\0\0\0\x18ftypisom\0\0\0\0isommp41"), Format::Other("video"));
        assert_eq!(Format::of(b"\0\0\0\x0cjP  \r\n\x87\n"), Format::Other("JPEG 2000"));
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

    #[test]
    fn a_gif_must_hold_its_first_picture() {
        let screen = b"GIF89a\x20\0\x20\0\x80\0\0aaabbb";
        let comment = b"\x21\xfe\x02hi\0";
        let picture = b"\x2c\0\0\0\0\x20\0\x20\0\x80cccddd\x02\x03abc\x01d\0";
        let whole = [&screen[..], comment, picture].concat();
        assert!(!gif_is_cut_short(&whole) && !gif_is_cut_short(&[&whole[..], b"\x2c\0"].concat()));
        for end in 0..whole.len() {
            assert!(gif_is_cut_short(&whole[..end]), "cut at {end}");
        }
    }
}
