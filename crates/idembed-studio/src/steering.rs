//! ControlNets in a drawing: what was wished, checked before anything is loaded, and what the networks see.

use std::path::{Path, PathBuf};

use idembed_diffusion::Compute;
use idembed_diffusion::controlnet::{Control, ControlNet};
use idembed_face::{CropRect, Photo};
use image::{DynamicImage, GrayImage, RgbImage};
use imageproc::edges::canny;
use tch::{Kind, Tensor};

use crate::error::{Result, StudioError};
use crate::hashes;
use crate::model::Model;
use crate::models;
use crate::picture_file::ControlRecord;
use crate::pixels;
use crate::size::Size;

/// Strengths of an edge, of 0 to 1140: from the second on it is one, from the first on where it touches one.
const EDGES: [f32; 2] = [50.0, 100.0];

/// A ControlNet to draw with.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlWish {
    /// The network: a folder, or one file; or its name in the model's folder or among the models.
    pub net: PathBuf,
    /// The picture that it sees.
    pub picture: PathBuf,
    /// What is made of the picture before.
    pub preparation: Preparation,
    /// How strongly it acts; 1 is as it was trained.
    pub scale: f64,
    /// The share of the steps, 0 to 1, after which it begins to act.
    pub start: f64,
    /// The share of the steps after which it ends.
    pub end: f64,
}

/// What is made of a picture before a ControlNet sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// Nothing: it shows edges, depth or poses already.
    None,
    /// Its edges, white on black (Canny).
    Canny,
}

/// A ControlNet whose files were looked at, with the picture that it will see.
#[derive(Debug, Clone)]
pub(crate) struct PlannedControl {
    wish: ControlWish,
    picture: RgbImage,
    record: ControlRecord,
    /// Bytes of its weights' files.
    pub(crate) weight_bytes: u64,
}

impl PlannedControl {
    /// Looks at the network and the picture.
    ///
    /// # Errors
    /// One of them is not there, or the network was made for another family of models.
    pub(crate) fn new(wish: &ControlWish, model: &Model) -> Result<Self> {
        let (unet, _) = model.files.unet()?;
        let missing = || StudioError::NoControlNet { wanted: wish.net.clone() };
        let net = models::control_net(&wish.net, &model.folder).ok_or_else(missing)?;
        let config = ControlNet::look_at(&net)?;
        let (got, expected) = (config.unet.cross_attention_dim, unet.cross_attention_dim);
        if got != expected {
            return Err(StudioError::OtherControlNet { path: net, got, expected });
        }
        let photo = Photo::open(&wish.picture)?;
        let (files, weight_bytes) = weight_files(&net)?;
        let record = ControlRecord {
            name: net.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            sha256: hashes::of_weights(&net, &files)?,
            picture_sha256: hashes::sha256_of(&wish.picture)?,
            edges: wish.preparation == Preparation::Canny,
            scale: wish.scale,
            start: wish.start,
            end: wish.end,
        };
        let wish = ControlWish { net, ..wish.clone() };
        Ok(PlannedControl { wish, picture: photo.pixels, record, weight_bytes })
    }

    /// What a picture's file says of it.
    pub(crate) fn record(&self) -> &ControlRecord {
        &self.record
    }

    /// Loads the network.
    pub(crate) fn load(&self, compute: Compute) -> Result<ControlNet> {
        Ok(ControlNet::load(&self.wish.net, compute)?)
    }

    /// What the network sees for pictures of a size.
    pub(crate) fn seen(&self, size: Size) -> Result<Tensor> {
        seen(&self.picture, self.wish.preparation, size)
    }

    /// The network that was loaded, and what it sees, as a drawing takes them.
    pub(crate) fn control<'a>(&self, net: &'a ControlNet, picture: &'a Tensor) -> Control<'a> {
        let ControlWish { scale, start, end, .. } = self.wish;
        Control { net, picture, scale, start, end }
    }
}

/// The files of a network's weights, and their size together.
fn weight_files(net: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let files = ControlNet::weight_files(net)?;
    let mut bytes = 0;
    for file in &files {
        bytes += std::fs::metadata(file).map_err(idembed_files::IoError::reading(file))?.len();
    }
    Ok((files, bytes))
}

/// A picture as a network sees it: `[1, 3, height, width]`, 0..1. Of another shape, its middle is taken.
fn seen(picture: &RgbImage, preparation: Preparation, size: Size) -> Result<Tensor> {
    let Size { width, height } = size;
    let whole = CropRect { x: 0, y: 0, width: picture.width(), height: picture.height() };
    let cut = pixels::crop(picture, whole, size)?;
    let picture = match preparation {
        Preparation::None => cut,
        Preparation::Canny => DynamicImage::from(edges(&cut)).into_rgb8(),
    };
    let bytes = Tensor::f_from_slice(picture.as_raw())?.f_view([1, i64::from(height), i64::from(width), 3])?;
    Ok(bytes.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
}

/// The edges of a picture, white on black, as [`Preparation::Canny`] shows them to a ControlNet.
pub fn edges(picture: &RgbImage) -> GrayImage {
    let [low, high] = EDGES;
    canny(&DynamicImage::from(picture.clone()).into_luma8(), low, high)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn the_middle_of_another_shape_is_seen() {
        let picture = RgbImage::from_fn(60, 20, |x, _| Rgb([if (20..40).contains(&x) { 255 } else { 0 }, 0, 51]));
        let seen = seen(&picture, Preparation::None, Size { width: 16, height: 16 }).unwrap();
        assert_eq!(seen.size(), [1, 3, 16, 16]);
        let channel = |index| Vec::<f32>::try_from(seen.get(0).get(index).flatten(0, -1)).unwrap();
        assert!(channel(0).iter().all(|&red| red == 1.0) && channel(1).iter().all(|&green| green == 0.0));
        assert!(channel(2).iter().all(|&blue| (blue - 0.2).abs() < 1e-6));
    }

    #[test]
    fn edges_are_white_on_black() {
        let picture = RgbImage::from_fn(64, 48, |x, _| Rgb([if x < 32 { 10 } else { 240 }; 3]));
        let seen = seen(&picture, Preparation::Canny, Size { width: 64, height: 48 }).unwrap();
        let columns =
            Vec::<f32>::try_from(seen.get(0).get(0).sum_dim_intlist([0i64].as_slice(), false, Kind::Float)).unwrap();
        let white: Vec<usize> = (0..64).filter(|&x| columns[x] > 40.0).collect();
        assert!(!white.is_empty() && white.iter().all(|x| (30..34).contains(x)), "{columns:?}");
        assert_eq!(columns.iter().filter(|&&sum| sum > 0.0).count(), white.len());
    }
}
