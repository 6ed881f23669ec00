//! Pictures to draw from, as users have them: of any size, with a mask of any size.

use std::path::Path;

use idembed_diffusion::FromPicture;
use idembed_face::{CropRect, Photo};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, Luma, RgbImage};

use crate::error::{Result, StudioError};
use crate::hashes::sha256_of;
use crate::picture_file::SourceRecord;
use crate::pixels;
use crate::size::{LONGEST, Size, UNIT};

/// The strength with which a whole picture is drawn anew, as in diffusers.
const STRENGTH: f64 = 0.8;
/// The strength with which a part of a picture is drawn anew, as in diffusers.
const STRENGTH_OF_A_PART: f64 = 1.0;

/// A picture to draw from, and what of it is drawn anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    picture: RgbImage,
    mask: Option<GrayImage>,
    record: SourceRecord,
}

impl Source {
    /// Reads a picture, upright and with what is transparent on white.
    ///
    /// `strength` is the share of the steps that is taken, 0 to 1; 0.8 if `None`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path, strength: Option<f64>) -> Result<Source> {
        let picture = Photo::open(path).map_err(|source| StudioError::Source { path: path.to_path_buf(), source })?;
        let record =
            SourceRecord { sha256: sha256_of(path)?, strength: strength.unwrap_or(STRENGTH), mask_sha256: None };
        Ok(Source { picture: picture.pixels, mask: None, record })
    }

    /// As [`Source::open`], with a picture that is white where it is to be drawn anew. It may have another size and is stretched
    /// to the picture then; grey counts as white from the middle on. `strength` is 1 if `None`.
    ///
    /// # Errors
    /// One of them cannot be read, or the mask is of one colour.
    pub fn open_masked(path: &Path, mask: &Path, strength: Option<f64>) -> Result<Source> {
        let source = Source::open(path, Some(strength.unwrap_or(STRENGTH_OF_A_PART)))?;
        let read = Photo::open(mask).map_err(|source| StudioError::Mask { path: mask.to_path_buf(), source })?;
        let grey = DynamicImage::ImageRgb8(read.pixels).into_luma8();
        let is_white = |pixel: &Luma<u8>| pixel[0] >= 128;
        let (any, all) = (grey.pixels().any(is_white), grey.pixels().all(is_white));
        if any == all {
            return Err(StudioError::NothingMasked { path: mask.to_path_buf(), white: all });
        }
        let record = SourceRecord { mask_sha256: Some(sha256_of(mask)?), ..source.record };
        Ok(Source { mask: Some(grey), record, ..source })
    }

    /// What a picture's file says about it.
    pub(crate) fn record(&self) -> &SourceRecord {
        &self.record
    }

    /// The size that is drawn if none is asked for: its own, each side rounded to what the model takes.
    pub(crate) fn own_size(&self) -> Size {
        let rounded = |side: u32| ((side + UNIT / 2) / UNIT * UNIT).clamp(UNIT, LONGEST);
        let (width, height) = self.picture.dimensions();
        Size { width: rounded(width), height: rounded(height) }
    }

    /// Picture and mask at the size that is drawn: the largest part of that shape around the centre, scaled.
    pub(crate) fn at(&self, size: Size) -> Result<FromPicture> {
        let (width, height) = self.picture.dimensions();
        let whole = CropRect { x: 0, y: 0, width, height };
        let mask = self.mask.as_ref().map(|mask| -> Result<GrayImage> {
            let stretched = if mask.dimensions() == (width, height) {
                mask.clone()
            } else {
                imageops::resize(mask, width, height, FilterType::Triangle)
            };
            let cut = pixels::crop(&DynamicImage::ImageLuma8(stretched).into_rgb8(), whole, size)?;
            Ok(DynamicImage::ImageRgb8(cut).into_luma8())
        });
        let picture = pixels::crop(&self.picture, whole, size)?;
        let from = FromPicture { picture, strength: self.record.strength, mask: mask.transpose()? };
        from.check(i64::from(size.width), i64::from(size.height), i64::from(UNIT))?;
        Ok(from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_own_size_is_rounded_to_what_the_model_takes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let own = |width, height| {
            RgbImage::new(width, height).save(&path).unwrap();
            Source::open(&path, None).unwrap().own_size()
        };
        assert_eq!(own(512, 768), Size { width: 512, height: 768 });
        assert_eq!(own(100, 107), Size { width: 104, height: 104 });
        assert_eq!(own(35, 36), Size { width: 32, height: 40 });
    }

    #[test]
    fn picture_and_mask_are_cut_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mask) = (folder.path().join("a.png"), folder.path().join("m.png"));
        // The right half is red, and white in a mask of half the size.
        RgbImage::from_fn(80, 40, |x, _| image::Rgb([if x < 40 { 0 } else { 255 }, 0, 0])).save(&path).unwrap();
        GrayImage::from_fn(40, 32, |x, _| Luma([if x < 20 { 0 } else { 255 }])).save(&mask).unwrap();
        let source = Source::open_masked(&path, &mask, None).unwrap();
        assert_eq!(source.record.strength, 1.0);
        for size in ["80x40", "64x64", "40x96"] {
            let fitted = source.at(size.parse().unwrap()).unwrap();
            let mask = fitted.mask.unwrap();
            assert_eq!(mask.dimensions(), fitted.picture.dimensions());
            let (width, _) = mask.dimensions();
            for (x, _, pixel) in mask.enumerate_pixels() {
                // Away from the edge, where both are blended.
                if x.abs_diff(width / 2) > 4 {
                    assert_eq!(pixel[0] >= 128, x >= width / 2, "{size} {x}");
                    assert_eq!(fitted.picture.get_pixel(x, 0)[0] >= 128, x >= width / 2, "{size} {x}");
                }
            }
        }
    }

    #[test]
    fn masks_of_one_colour_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mask) = (folder.path().join("a.png"), folder.path().join("m.png"));
        RgbImage::new(40, 40).save(&path).unwrap();
        for (grey, expected) in [(127, "black everywhere"), (128, "white everywhere")] {
            GrayImage::from_pixel(40, 40, Luma([grey])).save(&mask).unwrap();
            let message = Source::open_masked(&path, &mask, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = Source::open(&folder.path().join("none.png"), None).unwrap_err().to_string();
        assert!(message.contains("none.png"), "{message}");
    }
}
