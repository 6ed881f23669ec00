//! PNG files that say how they were made.
//!
//! A picture carries two text chunks: `parameters`, in the form that other Stable Diffusion tools write and read, and
//! `idembed`, the whole [`PictureRecord`] as JSON.

use idembed_files::IoError;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use idembed_diffusion::Area;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_tokens::Strength;
use image::RgbImage;
use png::text_metadata::{ITXtChunk, TEXtChunk};
use serde::{Deserialize, Serialize};

use crate::error::{Result, StudioError};
use crate::face_detail::FaceDetail;
use crate::hashes::short;
use crate::second_pass::Enlargement;

/// What a PNG library or a parser said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

const PARAMETERS: &str = "parameters";
const RECORD: &str = "idembed";

/// What a [`PartRecord`] of LoRA is called.
pub(crate) const LORA: &str = "LoRA";

/// Everything needed to make a picture again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// The prompt as typed, with `<NAME>` for identities.
    pub prompt: String,
    /// The negative prompt; empty if there was none.
    pub negative: String,
    /// Whether brackets that weigh, `BREAK` or further chunks were read in the prompts; earlier versions could not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub weighted: bool,
    /// One more than the layers of the text encoders that were left out; earlier versions took all.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub clip_skip: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f64,
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// How much noise DDIM added at each step; absent if none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub eta: f64,
    /// The picture that it was drawn from; absent if it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SourceRecord>,
    /// This picture's own seed.
    pub seed: u64,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// The model's name (not its path: pictures are passed on).
    pub model: String,
    /// What the U-Net was taken to predict: `epsilon` or `v_prediction`; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// SHA-256 of the model's U-Net weights, as hexadecimal digits; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<String>,
    /// Networks that were taken instead of the model's own, and LoRA; earlier versions could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRecord>,
    /// ControlNets that steered it; earlier versions could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlRecord>,
    /// How it was enlarged and drawn once more; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enlarged: Option<Enlargement>,
    /// How the faces of its people were drawn once more; absent if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_detail: Option<FaceDetail>,
    /// What they were drawn with, `{}` standing for the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_prompt: Option<String>,
    /// Whether it was decoded part by part, where it is large enough for that; earlier versions could not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tiled: bool,
    /// The number format that the networks ran in, such as `f32`.
    #[serde(default)]
    pub dtype: String,
    /// The identities in the prompt.
    #[serde(default)]
    pub identities: Vec<IdentityRecord>,
    /// Version of the software.
    pub version: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// A picture that another one was drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Hash of its file.
    pub sha256: String,
    /// The share of the steps that was taken.
    pub strength: f64,
    /// Hash of the mask's file, if only a part was drawn anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_sha256: Option<String>,
}

/// A file that a picture was made with beside the model's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    /// What it is: `autoencoder`, `text encoder` or `LoRA`.
    pub part: String,
    /// The name of its file or folder.
    pub name: String,
    /// Hash of its weight files.
    pub sha256: String,
    /// How strongly a LoRA acted; 1 is as it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
}

/// A ControlNet that steered a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// The name of its file or folder.
    pub name: String,
    /// Hash of its weight files.
    pub sha256: String,
    /// Hash of the file of the picture that it saw.
    pub picture_sha256: String,
    /// Whether it saw that picture's edges.
    #[serde(default, skip_serializing_if = "is_false")]
    pub edges: bool,
    /// How strongly it acted; 1 is as it was trained.
    pub scale: f64,
    /// The share of the steps after which it began to act.
    pub start: f64,
    /// The share of the steps after which it ended.
    pub end: f64,
}

/// An identity that a picture was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Its name in the prompt.
    pub name: String,
    /// Hash of the identity file.
    pub sha256: String,
    /// The method that learned it.
    pub method: String,
    /// Its class word; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// How strongly it acted; not written where it did as it was learned.
    #[serde(default, skip_serializing_if = "Strength::is_full")]
    pub strength: Strength,
    /// The part of the picture that it was kept to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Area>,
}

impl PictureRecord {
    /// The record in the form of the widespread web interfaces: the prompt, the negative prompt, one line of settings.
    ///
    /// A setting with a comma, colon or line break in it is quoted as a JSON string, which is how those tools do it; an
    /// identity stands where they list textual inversions. Brackets that were text here are escaped, as they would weigh words there.
    pub fn parameters(&self) -> String {
        let prompt = |text: &str| if self.weighted { text.to_owned() } else { escaped(text) };
        let mut text = prompt(&self.prompt);
        if !self.negative.is_empty() {
            let _ = write!(text, "\nNegative prompt: {}", prompt(&self.negative));
        }
        let (sampler, schedule) = sampler(self.scheduler);
        let [width, height] = self.size;
        let _ = write!(text, "\nSteps: {}, Sampler: {sampler}", self.steps);
        if let Some(schedule) = schedule {
            let _ = write!(text, ", Schedule type: {schedule}");
        }
        if self.eta != 0.0 {
            let _ = write!(text, ", Eta DDIM: {}", self.eta);
        }
        let _ = write!(text, ", CFG scale: {}, Seed: {}", self.guidance, self.seed);
        let _ = write!(text, ", Size: {width}x{height}");
        if let Some(hash) = &self.model_sha256 {
            let _ = write!(text, ", Model hash: {}", short(hash));
        }
        let _ = write!(text, ", Model: {}", quoted(&self.model));
        if let Some(from) = &self.from {
            let _ = write!(text, ", Denoising strength: {}", from.strength);
        }
        if self.clip_skip != 1 {
            let _ = write!(text, ", Clip skip: {}", self.clip_skip);
        }
        let loras: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.part == LORA)
            .map(|part| format!("{}: {}", part.name, short(&part.sha256)))
            .collect();
        if !loras.is_empty() {
            let _ = write!(text, ", Lora hashes: {}", quoted(&loras.join(", ")));
        }
        if let Some(vae) = self.parts.iter().find(|part| part.part == "autoencoder") {
            let _ = write!(text, ", VAE hash: {}, VAE: {}", short(&vae.sha256), quoted(&vae.name));
        }
        if !self.identities.is_empty() {
            let hashes = self.identities.iter().map(|it| format!("{}: {}", it.name, short(&it.sha256)));
            let _ = write!(text, ", TI hashes: {}", quoted(&hashes.collect::<Vec<_>>().join(", ")));
        }
        let _ = write!(text, ", Version: idembed {}", self.version);
        text
    }

    /// The part of the picture that an identity was kept to, if it was.
    pub fn region_of(&self, name: &str) -> Option<Area> {
        self.identities.iter().find(|identity| identity.name == name)?.region
    }

    /// Whether both describe the same picture: what only one of them knows does not count.
    pub fn is_same_picture(&self, other: &PictureRecord) -> bool {
        let agree = |own: &Option<String>, theirs: &Option<String>| own.is_none() || theirs.is_none() || own == theirs;
        let apart = |record: &PictureRecord| PictureRecord { prediction: None, model_sha256: None, ..record.clone() };
        agree(&self.prediction, &other.prediction)
            && agree(&self.model_sha256, &other.model_sha256)
            && apart(self) == apart(other)
    }
}

/// The name that other tools know a scheduler by, and the noise schedule that they list apart.
fn sampler(scheduler: SchedulerKind) -> (&'static str, Option<&'static str>) {
    match scheduler {
        SchedulerKind::Ddim => ("DDIM", None),
        SchedulerKind::DpmPp2m => ("DPM++ 2M", None),
        SchedulerKind::DpmPp2mKarras => ("DPM++ 2M", Some("Karras")),
        SchedulerKind::DpmPp2mSde => ("DPM++ 2M SDE", None),
        SchedulerKind::DpmPpSde => ("DPM++ SDE", None),
        SchedulerKind::UniPc => ("UniPC", None),
        SchedulerKind::Euler => ("Euler", None),
        SchedulerKind::EulerAncestral => ("Euler a", None),
        SchedulerKind::Heun => ("Heun", None),
        SchedulerKind::Pndm => ("PLMS", None),
        SchedulerKind::Lcm => ("LCM", None),
    }
}

/// A prompt as web interfaces read it when all of it is text.
fn escaped(prompt: &str) -> String {
    let escape =
        |letter: char| matches!(letter, '(' | ')' | '[' | ']' | '\\').then_some('\\').into_iter().chain([letter]);
    prompt.chars().flat_map(escape).collect()
}

fn quoted(value: &str) -> Cow<'_, str> {
    if value.contains([',', ':', '\n', '"']) { serde_json::Value::from(value).to_string().into() } else { value.into() }
}

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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use image::Rgb;

    use super::*;

    fn record() -> PictureRecord {
        PictureRecord {
            prompt: "a photo of <me> in a forest".to_owned(),
            negative: "blurry, dark".to_owned(),
            weighted: false,
            clip_skip: 1,
            steps: 25,
            guidance: 4.0,
            scheduler: SchedulerKind::Ddim,
            eta: 0.0,
            from: None,
            seed: 1,
            size: [128, 128],
            model: "mini".to_owned(),
            prediction: Some("epsilon".to_owned()),
            model_sha256: Some("fedcba9876543210".repeat(4)),
            parts: Vec::new(),
            controls: Vec::new(),
            enlarged: None,
            face_detail: None,
            face_prompt: None,
            tiled: false,
            dtype: "f32".to_owned(),
            identities: vec![IdentityRecord {
                name: "me".to_owned(),
                sha256: "0123456789abcdef".repeat(4),
                method: "sefi".to_owned(),
                class: "person".to_owned(),
                strength: Strength::default(),
                region: None,
            }],
            version: "0.1.0".to_owned(),
        }
    }

    fn gradient() -> RgbImage {
        RgbImage::from_fn(37, 23, |x, y| Rgb([x as u8 * 6, y as u8 * 11, 128]))
    }

    #[test]
    fn brackets_that_were_text_stay_text_elsewhere() {
        let of =
            |weighted| PictureRecord { prompt: r"a [red] \ (hat:1.2)".to_owned(), weighted, ..record() }.parameters();
        assert!(of(false).starts_with(r"a \[red\] \\ \(hat:1.2\)"), "{}", of(false));
        assert!(of(true).starts_with(r"a [red] \ (hat:1.2)"), "{}", of(true));
    }

    #[test]
    fn other_tools_find_their_settings() {
        assert_eq!(
            record().parameters(),
            "a photo of <me> in a forest\nNegative prompt: blurry, dark\nSteps: 25, Sampler: DDIM, CFG scale: 4, Seed: 1, \
             Size: 128x128, Model hash: fedcba9876, Model: mini, TI hashes: \"me: 0123456789\", Version: idembed 0.1.0"
        );
        let from = |mask: Option<&str>| SourceRecord {
            sha256: "1f".repeat(32),
            strength: 0.6,
            mask_sha256: mask.map(str::to_owned),
        };
        let drawn_from = |mask: Option<&str>| PictureRecord { from: Some(from(mask)), ..record() };
        assert!(drawn_from(None).parameters().contains("Model: mini, Denoising strength: 0.6, "));
        assert!(!drawn_from(None).is_same_picture(&drawn_from(Some("2e"))));
        let noisy = PictureRecord { eta: 0.5, ..record() };
        assert!(noisy.parameters().contains("Sampler: DDIM, Eta DDIM: 0.5, CFG scale"));
        assert!(!noisy.is_same_picture(&record()));
        let plain = PictureRecord {
            negative: String::new(),
            guidance: 7.5,
            scheduler: SchedulerKind::DpmPp2mKarras,
            model: "a, b".to_owned(),
            model_sha256: None,
            identities: Vec::new(),
            parts: vec![PartRecord {
                part: "autoencoder".to_owned(),
                name: "fine.safetensors".to_owned(),
                sha256: "a1".repeat(32),
                strength: None,
            }],
            ..record()
        };
        assert!(!plain.is_same_picture(&PictureRecord { parts: Vec::new(), ..plain.clone() }));
        assert_eq!(
            plain.parameters(),
            "a photo of <me> in a forest\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 1, \
             Size: 128x128, Model: \"a, b\", VAE hash: a1a1a1a1a1, VAE: fine.safetensors, Version: idembed 0.1.0"
        );
    }

    #[test]
    fn a_picture_and_its_record_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.png");
        for prompt in ["plain", "caf\u{e9} \u{fc}ber", "\u{732b}\u{1f600} \"quoted\"\nnext line", ""] {
            let record = PictureRecord { prompt: prompt.to_owned(), seed: u64::MAX, ..record() };
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
    fn records_of_earlier_versions_are_read() {
        let earlier = r#"{"prompt": "a photo of <me> in a forest", "negative": "blurry, dark", "steps": 25, "guidance": 4.0,
            "scheduler": "ddim", "seed": 1, "size": [128, 128], "model": "mini", "version": "0.1.0"}"#;
        let read: PictureRecord = serde_json::from_str(earlier).unwrap();
        let now = PictureRecord { dtype: String::new(), identities: Vec::new(), ..record() };
        assert_eq!(read, PictureRecord { prediction: None, model_sha256: None, ..now.clone() });
        assert!(read.is_same_picture(&now) && now.is_same_picture(&read));
        let other = PictureRecord { model_sha256: Some("0".repeat(64)), ..now.clone() };
        assert!(!other.is_same_picture(&now) && other.is_same_picture(&other));
    }

    #[test]
    fn another_strength_is_another_picture() {
        let with = |text: &str| {
            let mut record = record();
            record.identities[0].strength = text.parse().unwrap();
            record
        };
        let strengths = |text: &str| serde_json::to_value(with(text)).unwrap()["identities"][0]["strength"].clone();
        assert_eq!(strengths("0.7"), 0.7);
        assert_eq!(strengths("0.25/1"), serde_json::json!([0.25, 1.0]));
        assert_eq!((strengths("1"), with("1")), (serde_json::Value::Null, record()));
        assert!(!with("0.7").is_same_picture(&record()));
        let read: PictureRecord = serde_json::from_str(&serde_json::to_string(&with("0.25/1")).unwrap()).unwrap();
        assert_eq!(read, with("0.25/1"));
    }

    #[test]
    fn letters_beyond_latin_1_take_an_international_chunk() {
        let kinds = |prompt: &str| {
            let record = PictureRecord { prompt: prompt.to_owned(), ..record() };
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
        let zero = PictureRecord { prompt: "a\0b".to_owned(), ..record() };
        assert!(write(&path, &gradient(), Some(&zero)).is_err());
        assert!(!path.exists());

        for content in [b"".as_slice(), b"not a picture", &encode(&gradient(), Some(&record())).unwrap()[..60]] {
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
