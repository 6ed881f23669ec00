//! What is known about a drawn picture.

use serde::{Deserialize, Serialize};

use crate::caption::Captions;
use crate::sample::Sample;

/// Everything known about a picture, as plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Every factor.
    pub sample: Sample,
    /// What may be written below it.
    pub captions: Captions,
    /// The faces of [`Sample::people`], in that order; none for animals and cars.
    pub faces: Vec<FaceTruth>,
}

/// Where a face is, in pixels; the left edge of the picture is 0, the right edge its side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceTruth {
    /// Left, top, right, bottom: from the hairline to the chin, without ears. Hair, headwear and held things may cover
    /// a part, and a part may lie outside the picture.
    pub bounds: [f32; 4],
    /// Left eye, right eye, tip of the nose, left and right corner of the mouth, as seen in the picture.
    pub landmarks: [[f32; 2]; 5],
}
