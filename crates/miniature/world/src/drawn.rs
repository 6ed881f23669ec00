//! Finished pictures.

use image::{GrayImage, RgbImage};
use rayon::prelude::*;

use crate::caption::Captions;
use crate::draw as pencil;
use crate::raster::Region;
use crate::sample::Sample;
use crate::truth::Truth;

/// The side of a picture unless another is asked for, in pixels.
pub const SIDE: u32 = 128;

/// A picture and what is known about it.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// `side` by `side` pixels.
    pub picture: RgbImage,
    /// Which pixels show what.
    pub masks: Masks,
    /// Everything else.
    pub truth: Truth,
}

/// How much of each pixel shows a thing, from 0 to 255; all as large as the picture.
#[derive(Clone, Debug)]
pub struct Masks {
    /// What is visible of each face, with its beard, in the order of the people: no hair, headwear, glasses, nor what is
    /// held before it.
    pub faces: Vec<GrayImage>,
    /// The whole of each person with their face, without what they hold; or of the animal or car.
    pub subjects: Vec<GrayImage>,
    /// What is held; empty where nothing is.
    pub object: GrayImage,
    /// Whatever is none of the above.
    pub background: GrayImage,
}

/// A side outside the range that can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {side} x {side} pixels cannot be drawn; the side is from {MIN_SIDE} to {MAX_SIDE}")]
pub struct SideError {
    /// What was asked for.
    pub side: u32,
}

/// The least side of a picture.
pub const MIN_SIDE: u32 = 16;
/// The greatest side of a picture.
pub const MAX_SIDE: u32 = 2048;

/// Draws a picture.
///
/// # Errors
/// When `side` is not from [`MIN_SIDE`] to [`MAX_SIDE`].
pub fn draw(sample: &Sample, side: u32) -> Result<Drawn, SideError> {
    if !(MIN_SIDE..=MAX_SIDE).contains(&side) {
        return Err(SideError { side });
    }
    let (canvas, faces) = pencil::sample(sample, side);
    let people = faces.len();
    let masks = Masks {
        faces: (0..people).map(|index| canvas.mask(&[Region::Face(index)])).collect(),
        subjects: (0..people.max(1)).map(|index| canvas.mask(&[Region::Face(index), Region::Body(index)])).collect(),
        object: canvas.mask(&[Region::Object]),
        background: canvas.mask(&[Region::Backdrop]),
    };
    let truth = Truth { sample: sample.clone(), captions: Captions::of(sample), faces };
    Ok(Drawn { picture: canvas.picture(), masks, truth })
}

/// Draws many pictures on all cores, in the order of the samples.
///
/// # Errors
/// As [`draw`].
pub fn draw_all(samples: &[Sample], side: u32) -> Result<Vec<Drawn>, SideError> {
    samples.par_iter().map(|sample| draw(sample, side)).collect()
}
