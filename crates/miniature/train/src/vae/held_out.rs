//! Whole pictures of people that are never trained on.

use idembed_diffusion::vae::Vae;
use idembed_world::{Drawn, FaceTruth, SIDE, Sample, Who};
use image::{RgbImage, imageops};
use tch::{Device, Kind, Tensor};

use crate::pixels::{to_images, to_planes};
use crate::{Check, Result, seeds};

/// How many pictures are measured.
const COUNT: u64 = 64;
/// How many of them are looked at for the log.
const GLANCE: usize = 8;
/// Pictures encoded at once.
const BATCH: usize = 8;
/// Pairs on the sheet, side by side and one below the other.
const SHEET: (usize, usize) = (4, 6);

/// The pictures, each with its face.
#[derive(Debug)]
pub(crate) struct HeldOut(Vec<(RgbImage, FaceTruth)>);

impl HeldOut {
    pub(crate) fn draw() -> Result<Self> {
        let samples: Vec<Sample> =
            (0..COUNT).map(|index| Sample::portrait(Who::HeldOut(index), seeds::held_out(index))).collect();
        let drawn = idembed_world::draw_all(&samples, SIDE)?;
        let with_face = |drawn: Drawn| Some((drawn.picture, *drawn.truth.faces.first()?));
        Ok(HeldOut(drawn.into_iter().filter_map(with_face).collect()))
    }

    /// How well a few pictures come back.
    pub(super) fn glance(&self, vae: &Vae) -> Result<Vec<Check>> {
        let (whole, _) = self.psnr(vae, GLANCE)?;
        Ok(vec![Check { name: "held out", value: whole, unit: "dB" }])
    }

    /// How well all pictures come back, and the faces in them.
    pub(crate) fn check(&self, vae: &Vae) -> Result<Vec<Check>> {
        let (whole, faces) = self.psnr(vae, self.0.len())?;
        Ok(vec![
            Check { name: "held-out pictures, PSNR", value: whole, unit: "dB" },
            Check { name: "their faces, PSNR", value: faces, unit: "dB" },
        ])
    }

    /// The pictures before and behind the autoencoder, with their faces.
    pub(crate) fn pairs(&self, vae: &Vae) -> Result<Vec<(RgbImage, RgbImage, FaceTruth)>> {
        pairs(vae, &self.0)
    }

    /// The standard deviation of all numbers of the latents.
    pub(super) fn latents_std(&self, vae: &Vae) -> Result<f64> {
        let mut drawn = Vec::new();
        for pictures in self.0.chunks(BATCH) {
            let moments = vae.moments(&images(pictures)?)?;
            // The variance of a draw is that of the means and that of each distribution together.
            drawn.push((moments.mean, moments.log_variance.f_exp()?));
        }
        let (means, variances): (Vec<Tensor>, Vec<Tensor>) = drawn.into_iter().unzip();
        let spread = Tensor::f_cat(&means, 0)?.f_var(false)?.f_double_value(&[])?;
        let own = Tensor::f_cat(&variances, 0)?.f_mean(Kind::Float)?.f_double_value(&[])?;
        Ok((spread + own).sqrt())
    }

    /// Originals and what came back, side by side.
    pub(crate) fn sheet(&self, vae: &Vae) -> Result<RgbImage> {
        let (columns, rows) = SHEET;
        let mut sheet = RgbImage::new(2 * columns as u32 * SIDE, rows as u32 * SIDE);
        for (place, (original, back, _)) in pairs(vae, &self.0[..columns * rows])?.iter().enumerate() {
            let (column, row) = ((place % columns) as i64, (place / columns) as i64);
            let (x, y) = (2 * column * i64::from(SIDE), row * i64::from(SIDE));
            imageops::replace(&mut sheet, original, x, y);
            imageops::replace(&mut sheet, back, x + i64::from(SIDE), y);
        }
        Ok(sheet)
    }

    /// The peak signal-to-noise ratio of the first pictures and of the faces in them, each a mean over pictures, in dB.
    fn psnr(&self, vae: &Vae, count: usize) -> Result<(f64, f64)> {
        let (mut whole, mut faces) = (0.0, 0.0);
        for pictures in self.0[..count].chunks(BATCH) {
            let originals = images(pictures)?;
            let errors = reconstruct(vae, &originals)?.f_sub(&originals)?.f_square()?;
            for (index, (_, face)) in pictures.iter().enumerate() {
                let [left, top, right, bottom] = face_box(face);
                let error = errors.f_get(index as i64)?;
                let face = error.f_narrow(1, top, bottom - top)?.f_narrow(2, left, right - left)?;
                whole += decibel(&error)?;
                faces += decibel(&face)?;
            }
        }
        Ok((whole / count as f64, faces / count as f64))
    }
}

/// The ratio for these squared errors of values that reach from -1 to 1.
fn decibel(errors: &Tensor) -> Result<f64> {
    Ok(10.0 * (4.0 / errors.f_mean(Kind::Float)?.f_double_value(&[])?).log10())
}

fn images(pictures: &[(RgbImage, FaceTruth)]) -> Result<Tensor> {
    let bytes: Vec<u8> = pictures.iter().flat_map(|(picture, _)| picture.as_raw()).copied().collect();
    to_images(&to_planes(&bytes, pictures.len() as i64, SIDE.into())?, Device::Cpu)
}

fn pairs(vae: &Vae, pictures: &[(RgbImage, FaceTruth)]) -> Result<Vec<(RgbImage, RgbImage, FaceTruth)>> {
    let mut pairs = Vec::with_capacity(pictures.len());
    for pictures in pictures.chunks(BATCH) {
        let decoded = reconstruct(vae, &images(pictures)?)?;
        for (row, (original, face)) in pictures.iter().enumerate() {
            pairs.push((original.clone(), to_picture(&decoded.f_get(row as i64)?)?, *face));
        }
    }
    Ok(pairs)
}

/// What the decoder makes of the middle of each picture's distribution, cut to -1..1, on the CPU.
fn reconstruct(vae: &Vae, images: &Tensor) -> Result<Tensor> {
    let mean = vae.encode(images)?.mean;
    Ok(vae.decode(&mean)?.f_clamp(-1.0, 1.0)?.f_to_device(Device::Cpu)?)
}

/// `[3, SIDE, SIDE]` in -1..1 as a picture. One of a single colour is as good as any here: the network begins with that.
fn to_picture(image: &Tensor) -> Result<RgbImage> {
    let levels = image.f_mul_scalar(127.5)?.f_add_scalar(127.5)?.f_round()?.f_to_kind(Kind::Uint8)?;
    let levels = levels.f_permute([1, 2, 0])?.f_contiguous()?;
    let mut picture = RgbImage::new(SIDE, SIDE);
    levels.f_copy_data_u8(&mut picture, levels.numel())?;
    Ok(picture)
}

/// The box of a face within the picture, in whole pixels; of at least one.
fn face_box(face: &FaceTruth) -> [i64; 4] {
    let side = i64::from(SIDE);
    let [left, top, right, bottom] = face.bounds.map(|edge| edge.round() as i64);
    let (left, top) = (left.clamp(0, side - 1), top.clamp(0, side - 1));
    [left, top, right.clamp(left + 1, side), bottom.clamp(top + 1, side)]
}
