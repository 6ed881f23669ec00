//! Looking for faces harder than once: what a detector misses in a small picture it often finds in an enlarged one.

use std::fmt;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::detect::Mtcnn;
use crate::geometry::{Face, FaceBox, Landmarks, Point};
use crate::{FaceError, FaceResult};

/// Pictures whose shorter side is below this are looked at enlarged, too, if nothing is found in them as they are.
const SMALL: u32 = 512;
/// How much they are enlarged.
const ENLARGEMENT: u32 = 2;

/// One look at a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How many times the picture was enlarged; 1 is as it is.
    pub enlarged: u32,
    /// Width of what was looked at, in pixels.
    pub width: u32,
    /// Height of what was looked at, in pixels.
    pub height: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { enlarged, width, height } = self;
        match enlarged {
            1 => write!(out, "as it is ({width} x {height} pixels)"),
            _ => write!(out, "enlarged {enlarged} times ({width} x {height} pixels)"),
        }
    }
}

/// What a search found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The faces in the coordinates of the picture, in the detector's order; may be empty.
    pub faces: Vec<Face>,
    /// What was looked at; the faces are from the last one.
    pub attempts: Vec<Attempt>,
}

/// Looks for faces in a picture as it is, and if there are none and it is small, in the enlarged picture.
///
/// # Errors
/// [`FaceError`] of the detector.
pub fn search(detector: &Mtcnn, picture: &RgbImage) -> FaceResult<Search> {
    search_with(picture, |picture| detector.detect(picture))
}

fn search_with(picture: &RgbImage, detect: impl Fn(&RgbImage) -> Result<Vec<Face>, FaceError>) -> FaceResult<Search> {
    let (width, height) = picture.dimensions();
    let mut attempts = vec![Attempt { enlarged: 1, width, height }];
    let faces = detect(picture)?;
    if !faces.is_empty() || width.min(height) >= SMALL || width.max(height) > SMALL * SMALL {
        return Ok(Search { faces, attempts });
    }
    let (width, height) = (ENLARGEMENT * width, ENLARGEMENT * height);
    attempts.push(Attempt { enlarged: ENLARGEMENT, width, height });
    let enlarged = imageops::resize(picture, width, height, FilterType::CatmullRom);
    let faces = detect(&enlarged)?.iter().map(|face| shrunk(face, f64::from(ENLARGEMENT))).collect();
    Ok(Search { faces, attempts })
}

/// A face of the enlarged picture in the coordinates of the picture itself.
fn shrunk(face: &Face, times: f64) -> Face {
    // Pixel centres are whole numbers, so the edge of the picture is half a pixel before 0.
    let back = |at: f64| (at + 0.5) / times - 0.5;
    let point = |point: Point| Point::new(back(point.x), back(point.y));
    let FaceBox { left, top, right, bottom } = face.bounds;
    Face {
        bounds: FaceBox { left: back(left), top: back(top), right: back(right), bottom: back(bottom) },
        landmarks: Landmarks::from_points(face.landmarks.points().map(point)),
        score: face.score,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn face_at(left: f64) -> Face {
        let bounds = FaceBox { left, top: 9.5, right: left + 20.0, bottom: 31.5 };
        let landmarks = Landmarks::from_points([(); 5].map(|()| Point::new(left, 9.5)));
        Face { bounds, landmarks, score: 0.9 }
    }

    #[test]
    fn a_face_in_the_picture_as_it_is_needs_no_second_look() {
        let found = search_with(&RgbImage::new(60, 40), |_| Ok(vec![face_at(5.0)])).unwrap();
        assert_eq!(found.faces, [face_at(5.0)]);
        assert_eq!(found.attempts.len(), 1);
    }

    #[test]
    fn a_small_picture_is_enlarged_and_its_face_brought_back() {
        let only_enlarged =
            |picture: &RgbImage| Ok(if picture.width() == 120 { vec![face_at(9.5)] } else { Vec::new() });
        let found = search_with(&RgbImage::new(60, 40), only_enlarged).unwrap();
        assert_eq!(found.faces[0].bounds, FaceBox { left: 4.5, top: 4.5, right: 14.5, bottom: 15.5 });
        assert_eq!(found.faces[0].landmarks.nose, Point::new(4.5, 4.5));
        let said: Vec<String> = found.attempts.iter().map(Attempt::to_string).collect();
        assert_eq!(said, ["as it is (60 x 40 pixels)", "enlarged 2 times (120 x 80 pixels)"]);
    }

    #[test]
    fn a_large_picture_is_looked_at_once() {
        let found = search_with(&RgbImage::new(600, 512), |_| Ok(Vec::new())).unwrap();
        assert_eq!((found.faces.len(), found.attempts.len()), (0, 1));
    }
}
