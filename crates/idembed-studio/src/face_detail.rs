//! Faces drawn again: each face that is an identity's is cut out, drawn anew at the size that the model likes, and put back with
//! soft edges, so that one far away is the right one, too.

use idembed_diffusion::FromPicture;
use idembed_face::{CropRect, Face, FaceBox};
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pixels;
use crate::size::Size;

/// How many times wider the part to draw again is than the face: hair and neck belong to it.
const MARGIN: f64 = 1.6;
/// The share of the part's radius within which it replaces the picture; from there to its edge it fades.
const SOLID: f64 = 0.65;
/// Enough for a face of a few pixels, and little enough to keep its expression; a choice.
const USUAL_STRENGTH: f64 = 0.5;
/// The smallest part that is worth drawing again, in pixels.
const SMALLEST: u32 = 8;

/// How faces are drawn again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceDetail {
    /// The share of the steps that is taken, 0 to 1: at 1 little is left of the face that was drawn first.
    pub strength: f64,
}

impl Default for FaceDetail {
    fn default() -> Self {
        FaceDetail { strength: USUAL_STRENGTH }
    }
}

/// A face to draw again, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spot {
    /// The square around it.
    pub(crate) part: CropRect,
    /// The identity, by its number.
    pub(crate) whose: usize,
}

/// Which faces are whose: a face is that of the identity whose word looks at it most, and nobody has two. `attention` says, for
/// an identity's number and a box, what share of its word's attention lies there.
pub(crate) fn spots(
    faces: &[Face],
    identities: usize,
    size: Size,
    attention: impl Fn(usize, &FaceBox) -> f64,
) -> Vec<Spot> {
    let pairs = (0..identities).flat_map(|whose| (0..faces.len()).map(move |face| (whose, face)));
    let mut pairs: Vec<(usize, usize, f64)> =
        pairs.map(|(whose, face)| (whose, face, attention(whose, &faces[face].bounds))).collect();
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for (whose, face, _) in pairs {
        if taken.iter().all(|&(other, known)| other != whose && known != face) {
            taken.push((whose, face));
        }
    }
    taken.sort_unstable();
    let spots =
        taken.into_iter().filter_map(|(whose, face)| Some(Spot { part: around(&faces[face].bounds, size)?, whose }));
    spots.collect()
}

/// The square around a face, moved into the picture; none if that leaves nothing worth drawing.
fn around(face: &FaceBox, size: Size) -> Option<CropRect> {
    let most = size.width.min(size.height);
    let side = (MARGIN * face.width().max(face.height())).round() as u32;
    let side = side.min(most);
    if side < SMALLEST {
        return None;
    }
    let centre = face.centre();
    let begin = |centre: f64, length: u32| {
        let begin = (centre - f64::from(side) / 2.0).round().clamp(0.0, f64::from(length - side));
        begin as u32
    };
    Some(CropRect { x: begin(centre.x, size.width), y: begin(centre.y, size.height), width: side, height: side })
}

impl Spot {
    /// What the face is drawn from, at the model's own size.
    pub(crate) fn start(&self, picture: &RgbImage, side: u32, strength: f64) -> Result<FromPicture> {
        let picture = pixels::crop(picture, self.part, Size { width: side, height: side })?;
        Ok(FromPicture { picture, strength, mask: None })
    }

    /// Puts the face that was drawn back into the picture.
    pub(crate) fn put_back(&self, drawn: &RgbImage, picture: &mut RgbImage) {
        let CropRect { x, y, width: side, .. } = self.part;
        let drawn = imageops::resize(drawn, side, side, FilterType::Lanczos3);
        for (column, row, new) in drawn.enumerate_pixels() {
            let share = share(column, row, side);
            let old = picture.get_pixel_mut(x + column, y + row);
            for (old, new) in old.0.iter_mut().zip(new.0) {
                *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
            }
        }
    }
}

/// How much of a pixel is new: all in the middle of the square, nothing outside the circle in it.
fn share(column: u32, row: u32, side: u32) -> f64 {
    let from_middle = |index: u32| (2.0 * f64::from(index) + 1.0) / f64::from(side) - 1.0;
    let radius = from_middle(column).hypot(from_middle(row));
    let faded = ((1.0 - radius) / (1.0 - SOLID)).clamp(0.0, 1.0);
    faded * faded * (3.0 - 2.0 * faded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_face::{Landmarks, Point};
    use image::Rgb;

    use super::*;

    const SIZE: Size = Size { width: 200, height: 100 };

    fn face(left: f64, top: f64, side: f64) -> Face {
        let bounds = FaceBox { left, top, right: left + side, bottom: top + side };
        Face { bounds, landmarks: Landmarks::from_points([Point::new(0.0, 0.0); 5]), score: 1.0 }
    }

    #[test]
    fn a_face_is_that_of_the_word_that_looks_at_it_most() {
        let faces = [face(20.0, 30.0, 20.0), face(140.0, 30.0, 20.0), face(90.0, 30.0, 20.0)];
        // The first identity looks at the right a little more than at the left, the second at the right alone.
        let looks = [[0.3, 0.35, 0.0], [0.1, 0.6, 0.0]];
        let attention = |whose: usize, bounds: &FaceBox| {
            looks[whose][faces.iter().position(|face| face.bounds == *bounds).unwrap()]
        };
        let found = spots(&faces, 2, SIZE, attention);
        assert_eq!(found.iter().map(|spot| (spot.whose, spot.part.x)).collect::<Vec<_>>(), [(0, 14), (1, 134)]);
        assert_eq!(spots(&faces[..1], 2, SIZE, attention).iter().map(|spot| spot.whose).collect::<Vec<_>>(), [0]);
        assert!(spots(&[], 2, SIZE, attention).is_empty() && spots(&faces, 0, SIZE, attention).is_empty());
    }

    #[test]
    fn the_square_stays_in_the_picture() {
        let part = |left, top, side| around(&face(left, top, side).bounds, SIZE);
        let rect = |x, y, side| Some(CropRect { x, y, width: side, height: side });
        assert_eq!(part(100.0, 40.0, 20.0), rect(94, 34, 32));
        assert_eq!(part(-5.0, -5.0, 20.0), rect(0, 0, 32));
        assert_eq!(part(185.0, 85.0, 20.0), rect(168, 68, 32));
        assert_eq!(part(60.0, 0.0, 90.0), rect(55, 0, 100));
        assert_eq!(part(60.0, 10.0, 3.0), None);
    }

    #[test]
    fn edges_are_soft_and_the_middle_is_new() {
        let mut picture = RgbImage::from_pixel(200, 100, Rgb([100, 100, 100]));
        let spot = Spot { part: CropRect { x: 50, y: 20, width: 40, height: 40 }, whose: 0 };
        spot.put_back(&RgbImage::from_pixel(64, 64, Rgb([200, 0, 100])), &mut picture);
        assert_eq!(picture.get_pixel(70, 40).0, [200, 0, 100]);
        for (x, y) in [(50, 20), (89, 59), (49, 40), (90, 40), (10, 10)] {
            assert_eq!(picture.get_pixel(x, y).0, [100, 100, 100], "{x} {y}");
        }
        let along: Vec<u8> = (50..71).map(|x| picture.get_pixel(x, 40).0[0]).collect();
        assert!(along.is_sorted() && along.iter().any(|&red| (130..170).contains(&red)), "{along:?}");
    }
}
