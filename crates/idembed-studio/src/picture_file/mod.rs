//! PNG files that say how they were made.
//!
//! A picture carries two text chunks: `parameters`, in the form that other Stable Diffusion tools write and read, and
//! `idembed`, the whole [`PictureRecord`] as JSON.

mod parameters;
mod record;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use idembed_files::IoError;
use image::RgbImage;
use png::text_metadata::{ITXtChunk, TEXtChunk};

use crate::error::{Result, StudioError};

pub(crate) use self::record::LORA;
pub use self::record::{ControlRecord, IdentityRecord, PartRecord, PictureRecord, SourceRecord};

/// What a PNG library or a parser said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

const PARAMETERS: &str = "parameters";
const RECORD: &str = "idembed";

/// The bytes of a PNG file.
///
/// Compressed fast: squeezing out the last tenth takes longer than finding the faces of a large photo.
///
/// # Errors
/// A picture without pixels, or a text with a zero character.
pub fn encode(picture: &RgbImage, record: Option<&PictureRecord>) -> Result<Vec<u8>> {
    encoded(picture, record).map_err(|source| StudioError::Encode { source })
}

fn encoded(picture: &RgbImage, record: Option<&PictureRecord>) -> std::result::Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    if let Some(record) = record {
        write_text(&mut writer, PARAMETERS, record.parameters())?;
        write_text(&mut writer, RECORD, serde_json::to_string(record)?)?;
    }
    writer.write_image_data(picture)?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes a `tEXt` chunk, which every tool reads, or `iTXt` where the text has letters beyond Latin-1.
fn write_text<W: std::io::Write>(
    writer: &mut png::Writer<W>,
    keyword: &str,
    text: String,
) -> std::result::Result<(), Cause> {
    if text.contains('\0') {
        return Err(format!("the `{keyword}` text has a zero character, which a PNG cannot hold").into());
    }
    if text.chars().all(|letter| u32::from(letter) < 256) {
        writer.write_text_chunk(&TEXtChunk::new(keyword, text))?;
    } else {
        writer.write_text_chunk(&ITXtChunk::new(keyword, text))?;
    }
    Ok(())
}

/// Writes a PNG file, whole or not at all.
///
/// # Errors
/// What the system said, with the path; then no file is left, and an older one stays.
pub fn write(path: &Path, picture: &RgbImage, record: Option<&PictureRecord>) -> Result<()> {
    let bytes = encode(picture, record)?;
    Ok(idembed_files::write(path, &bytes).map_err(IoError::writing(path))?)
}

/// What a PNG file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureText {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The record, if the picture was made here.
    pub record: Option<PictureRecord>,
    /// The `parameters` text, which other tools write, too.
    pub parameters: Option<String>,
}

/// Reads the texts of a PNG file, not its pixels.
///
/// # Errors
/// A file that cannot be read, is no PNG, or has an `idembed` text that is not a record.
pub fn read(path: &Path) -> Result<PictureText> {
    read_text(path).map_err(|source| StudioError::Picture { path: path.to_path_buf(), source })
}

fn read_text(path: &Path) -> std::result::Result<PictureText, Cause> {
    let reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let info = reader.info();
    let record = match find_text(info, RECORD)? {
        Some(text) => {
            let parsed = serde_json::from_str(&text);
            Some(parsed.map_err(|error| format!("its `{RECORD}` text is not a picture record: {error}"))?)
        }
        None => None,
    };
    Ok(PictureText { size: info.size(), record, parameters: find_text(info, PARAMETERS)? })
}

/// The text under `keyword`, whichever of the three kinds of text chunks holds it.
fn find_text(info: &png::Info<'_>, keyword: &str) -> std::result::Result<Option<String>, Cause> {
    if let Some(chunk) = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword) {
        return Ok(Some(chunk.text.clone()));
    }
    if let Some(chunk) = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword) {
        return Ok(Some(chunk.get_text()?));
    }
    match info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword) {
        Some(chunk) => Ok(Some(chunk.get_text()?)),
        None => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;

    use image::Rgb;

    use super::*;

    fn gradient() -> RgbImage {
        RgbImage::from_fn(37, 23, |x, y| Rgb([x as u8 * 6, y as u8 * 11, 128]))
    }

    #[test]
    fn a_picture_and_its_record_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.png");
        for prompt in ["plain", "caf\u{e9} \u{fc}ber", "\u{732b}\u{1f600} \"quoted\"\nnext line", ""] {
            let record = PictureRecord { prompt: prompt.to_owned(), seed: u64::MAX, ..PictureRecord::sample() };
            write(&path, &gradient(), Some(&record)).unwrap();
            let text = read(&path).unwrap();
            assert_eq!(text.size, (37, 23));
            assert_eq!(text.parameters, Some(record.parameters()));
            assert_eq!(text.record, Some(record));
            assert_eq!(image::open(&path).unwrap().into_rgb8(), gradient());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn letters_beyond_latin_1_take_an_international_chunk() {
        let kinds = |prompt: &str| {
            let record = PictureRecord { prompt: prompt.to_owned(), ..PictureRecord::sample() };
            let bytes = encode(&gradient(), Some(&record)).unwrap();
            let count = |kind: &[u8]| bytes.windows(4).filter(|window| *window == kind).count();
            (count(b"tEXt"), count(b"iTXt"))
        };
        assert_eq!(kinds("caf\u{e9}"), (2, 0));
        assert_eq!(kinds("\u{732b}"), (0, 2));
    }

    #[test]
    fn a_picture_without_a_record_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        write(&path, &gradient(), None).unwrap();
        assert_eq!(read(&path).unwrap(), PictureText { size: (37, 23), record: None, parameters: None });
    }

    #[test]
    fn what_cannot_be_written_or_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.png");
        let zero = PictureRecord { prompt: "a\0b".to_owned(), ..PictureRecord::sample() };
        assert!(write(&path, &gradient(), Some(&zero)).is_err());
        assert!(!path.exists());

        for content in
            [b"".as_slice(), b"not a picture", &encode(&gradient(), Some(&PictureRecord::sample())).unwrap()[..60]]
        {
            fs::write(&path, content).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("cannot read the picture"), "{error}");
        }

        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.add_text_chunk(RECORD.to_owned(), "{}".to_owned()).unwrap();
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        fs::write(&path, bytes).unwrap();
        let StudioError::Picture { source, .. } = read(&path).unwrap_err() else { panic!("another error") };
        assert!(source.to_string().contains("not a picture record: missing field `prompt`"), "{source}");
    }
}
