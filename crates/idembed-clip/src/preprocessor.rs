//! From pictures of any size to what CLIP's image encoder sees. As in `transformers.CLIPImageProcessor`.

use std::path::Path;

use idembed_weights::json;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// What OpenAI's CLIP subtracts from each channel, and divides it by, once it is in 0..1.
const OPENAI_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const OPENAI_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];
/// Pillow's number of bicubic interpolation.
const BICUBIC: i64 = 3;

/// The file's fields that matter, as they stand in it.
#[derive(Debug, Deserialize, Serialize)]
struct PreprocessorJson {
    #[serde(default = "openai_mean")]
    image_mean: [f64; 3],
    #[serde(default = "openai_std")]
    image_std: [f64; 3],
    size: Option<SizeJson>,
    crop_size: Option<SizeJson>,
    #[serde(default = "bicubic")]
    resample: i64,
    #[serde(default = "image_processor_type")]
    image_processor_type: String,
}

/// One number, or one with a name.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum SizeJson {
    Side(i64),
    ShortestEdge { shortest_edge: i64 },
    Square { height: i64, width: i64 },
}

fn openai_mean() -> [f64; 3] {
    OPENAI_MEAN
}

fn openai_std() -> [f64; 3] {
    OPENAI_STD
}

fn bicubic() -> i64 {
    BICUBIC
}

fn image_processor_type() -> String {
    "CLIPImageProcessor".to_owned()
}

/// How pictures become what the image encoder sees.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipPreprocessor {
    /// The shortest side after resizing, in pixels.
    pub shortest_side: i64,
    /// Side of the square that is cut from the middle: what the image encoder sees.
    pub image_size: i64,
    /// Subtracted from each channel in 0..1.
    pub mean: [f64; 3],
    /// What each channel is divided by then.
    pub std: [f64; 3],
}

impl ClipPreprocessor {
    /// OpenAI's, for an image encoder of this size.
    pub fn openai(image_size: i64) -> Self {
        ClipPreprocessor { shortest_side: image_size, image_size, mean: OPENAI_MEAN, std: OPENAI_STD }
    }

    /// Reads `preprocessor_config.json` of a CLIP whose image encoder is of this size; what is not there is OpenAI's.
    ///
    /// # Errors
    /// Not JSON, or pictures of another size or resized in another way than bicubic.
    pub fn read(path: &Path, image_size: i64) -> Result<Self> {
        if !path.is_file() {
            return Ok(Self::openai(image_size));
        }
        let json: PreprocessorJson = json::read(path)?;
        let side = |size: Option<SizeJson>| match size {
            None => Some(image_size),
            Some(SizeJson::Side(side) | SizeJson::ShortestEdge { shortest_edge: side }) => Some(side),
            Some(SizeJson::Square { height, width }) => (height == width).then_some(height),
        };
        let (resized, cropped) = (side(json.size), side(json.crop_size));
        let divisible = json.image_std.iter().all(|std| std.is_finite() && *std > 0.0);
        match (resized, cropped) {
            (Some(shortest_side), Some(cropped))
                if cropped == image_size && shortest_side >= image_size && json.resample == BICUBIC && divisible =>
            {
                Ok(ClipPreprocessor { shortest_side, image_size, mean: json.image_mean, std: json.image_std })
            }
            _ => {
                let what = format!(
                    "`{}`: size {resized:?}, crop_size {cropped:?}, resample {}, image_std {:?}; expected pictures \
                     resized by bicubic interpolation (3) and cut to {image_size} pixels, and positive image_std",
                    path.display(),
                    json.resample,
                    json.image_std
                );
                Err(Error::Unsupported(what))
            }
        }
    }

    /// Writes `preprocessor_config.json` as `transformers` reads it.
    ///
    /// # Errors
    /// What the system said; then there is no file, or the older one.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = PreprocessorJson {
            image_mean: self.mean,
            image_std: self.std,
            size: Some(SizeJson::ShortestEdge { shortest_edge: self.shortest_side }),
            crop_size: Some(SizeJson::Square { height: self.image_size, width: self.image_size }),
            resample: BICUBIC,
            image_processor_type: image_processor_type(),
        };
        Ok(json::write(path, &json)?)
    }

    /// Resizes a picture, cuts out its middle, and normalises it.
    ///
    /// # Shapes
    /// - returns: `[3, image_size, image_size]`, f32, on the CPU
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn prepare(&self, picture: &RgbImage) -> Result<Tensor> {
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let (width, height) = (i64::from(width), i64::from(height));
        let pixels = Tensor::f_from_data_size(picture.as_raw(), &[1, height, width, 3], Kind::Uint8)?;
        let pixels = pixels.f_permute([0, 3, 1, 2])?;
        let scaled = |side: i64| (self.shortest_side * side / height.min(width)).max(self.image_size);
        let (height, width) = (scaled(height), scaled(width));
        // Bytes in, bytes out: rounded as Pillow rounds them.
        let pixels = pixels.f_internal_upsample_bicubic2d_aa([height, width], false, None, None)?;
        let side = self.image_size;
        let middle = pixels.f_narrow(2, (height - side) / 2, side)?.f_narrow(3, (width - side) / 2, side)?;
        Ok(self.normalise(&middle)?.f_squeeze_dim(0)?)
    }

    /// Normalises pictures that have their size already.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`, bytes
    /// - returns: the same, f32
    pub fn normalise(&self, pixels: &Tensor) -> Result<Tensor> {
        let channels = |values: [f64; 3]| -> Result<Tensor> {
            let values = values.map(|value| (255.0 * value) as f32);
            Ok(Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?.f_to_device(pixels.device())?)
        };
        Ok(pixels.f_to_kind(Kind::Float)?.f_sub(&channels(self.mean)?)?.f_div(&channels(self.std)?)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_ages_are_read_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preprocessor_config.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ClipPreprocessor::read(&path, 224)
        };
        let openai = ClipPreprocessor::openai(224);
        assert_eq!(read("{}").unwrap(), openai);
        assert_eq!(read(r#"{"size": 224, "crop_size": 224, "do_resize": true}"#).unwrap(), openai);
        let named = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}"#;
        assert_eq!(read(named).unwrap(), ClipPreprocessor { shortest_side: 256, ..openai.clone() });
        for wrong in [
            r#"{"crop_size": 336}"#,
            r#"{"size": 200}"#,
            r#"{"crop_size": {"height": 224, "width": 225}}"#,
            r#"{"resample": 2}"#,
            r#"{"image_std": [1, 0, 1]}"#,
        ] {
            assert!(matches!(read(wrong), Err(Error::Unsupported(_))), "{wrong}");
        }
        openai.write(&path).unwrap();
        assert_eq!(ClipPreprocessor::read(&path, 224).unwrap(), openai);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ClipPreprocessor::read(&path, 224).unwrap(), openai);
    }

    #[test]
    fn one_pixel_is_enough_and_none_is_refused() {
        let preprocessor = ClipPreprocessor::openai(8);
        assert!(matches!(preprocessor.prepare(&RgbImage::new(0, 5)), Err(Error::NoPixels { width: 0, height: 5 })));
        assert_eq!(preprocessor.prepare(&RgbImage::new(1, 1)).unwrap().size(), [3, 8, 8]);
    }
}
