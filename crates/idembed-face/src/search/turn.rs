//! Quarter turns of a picture.

use std::fmt;

use image::RgbImage;
use image::imageops;

/// By how much a picture is turned, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Not at all.
    #[default]
    None,
    /// A quarter to the right: what was on the left is on top.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter to the left.
    ThreeQuarters,
}

impl Turn {
    /// The turns that change a picture.
    pub const OTHERS: [Turn; 3] = [Turn::Quarter, Turn::Half, Turn::ThreeQuarters];

    /// Clockwise, in degrees: 0, 90, 180 or 270.
    pub const fn degrees(self) -> u32 {
        match self {
            Turn::None => 0,
            Turn::Quarter => 90,
            Turn::Half => 180,
            Turn::ThreeQuarters => 270,
        }
    }

    /// The picture, turned.
    pub fn of(self, picture: &RgbImage) -> RgbImage {
        match self {
            Turn::None => picture.clone(),
            Turn::Quarter => imageops::rotate90(picture),
            Turn::Half => imageops::rotate180(picture),
            Turn::ThreeQuarters => imageops::rotate270(picture),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "turned by {} degrees clockwise", self.degrees())
    }
}
