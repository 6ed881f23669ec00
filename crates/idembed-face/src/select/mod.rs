//! Which of several faces is meant, and whether it will do.
//!
//! [`choose`] settles on one face, [`concerns`] lists what speaks against learning from it. Both see boxes, landmarks
//! and scores only, never a pixel.

mod concerns;

use std::fmt;

pub use concerns::{Concern, concerns, turn};

use crate::geometry::Face;

/// One face of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Why this one.
    pub reason: Reason,
}

/// Why a face was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no other.
    Only,
    /// It stands out by size and place.
    LargestCentral {
        /// How many there are.
        of: usize,
    },
    /// It was asked for by its number.
    Wanted,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Only => out.write_str("the only face"),
            Reason::LargestCentral { of } => write!(out, "the largest and most central of {of}"),
            Reason::Wanted => out.write_str("chosen by its number"),
        }
    }
}

/// Why no face was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is none.
    #[error("no face was found in the photo")]
    NoFace,
    /// A number that no face has.
    #[error("there is no face {wanted}: the photo shows {}", counted(*.found))]
    OutOfRange {
        /// The number given, from 1 for the first face.
        wanted: usize,
        /// How many faces there are; at least 1.
        found: usize,
    },
}

fn counted(faces: usize) -> String {
    if faces == 1 { "one face".to_owned() } else { format!("{faces} faces") }
}

/// Chooses the face number `wanted`, which counts from 1, or else the one with the largest *weight* in a picture of
/// `width` x `height`.
///
/// The weight is `area / (1 + 4 d^2)`: the area of the box inside the picture, and `d`, the distance of the box's
/// centre from the picture's, as a share of the way to a corner. So a face in a corner must have five times the area of
/// one in the middle to be chosen. Of equal faces the first is chosen.
///
/// # Errors
/// [`SelectError`] if there is no face, or none with that number.
pub fn choose(faces: &[Face], width: u32, height: u32, wanted: Option<usize>) -> Result<Choice, SelectError> {
    let found = faces.len();
    if let Some(wanted) = wanted.filter(|_| found > 0) {
        let index = wanted.checked_sub(1).filter(|&index| index < found);
        return match index {
            Some(index) => Ok(Choice { index, reason: Reason::Wanted }),
            None => Err(SelectError::OutOfRange { wanted, found }),
        };
    }
    let weights = faces.iter().map(|face| weight(face, width, height)).enumerate();
    let heaviest = weights.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (index, _) = heaviest.ok_or(SelectError::NoFace)?;
    let reason = if found == 1 { Reason::Only } else { Reason::LargestCentral { of: found } };
    Ok(Choice { index, reason })
}

/// See [`choose`]; 0 for a box outside the picture.
fn weight(face: &Face, width: u32, height: u32) -> f64 {
    let Some(visible) = face.bounds.within(width, height) else { return 0.0 };
    let (x, y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    let centre = visible.centre();
    let distance = (centre.x - x).hypot(centre.y - y) / x.hypot(y);
    visible.area() / (1.0 + 4.0 * distance * distance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::{FaceBox, Landmarks, Point};

    fn face(left: f64, top: f64, side: f64) -> Face {
        let bounds = FaceBox { left, top, right: left + side, bottom: top + side };
        Face { bounds, landmarks: Landmarks::from_points([Point::default(); 5]), score: 1.0 }
    }

    fn chosen(faces: &[Face]) -> Choice {
        choose(faces, 1000, 800, None).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_only_face_is_chosen() {
        let choice = chosen(&[face(0.0, 0.0, 20.0)]);
        assert_eq!((choice.index, choice.reason.to_string().as_str()), (0, "the only face"));
    }

    #[test]
    fn size_counts_against_place() {
        let (middle, corner) = (face(450.0, 350.0, 100.0), |side: f64| face(1000.0 - side, 800.0 - side, side));
        assert_eq!(chosen(&[corner(100.0), middle]).index, 1);
        assert_eq!(chosen(&[corner(150.0), middle]).index, 1);
        assert_eq!(chosen(&[corner(220.0), middle]).index, 0);
        assert_eq!(chosen(&[corner(50.0), face(400.0, 350.0, 110.0), middle]).index, 1);
        assert_eq!(chosen(&[middle, middle]).index, 0);
        // Only what is seen of a face counts.
        assert_eq!(chosen(&[face(-400.0, 300.0, 410.0), middle]).index, 1);
        let reason = chosen(&[middle, middle, corner(50.0)]).reason;
        assert_eq!(reason.to_string(), "the largest and most central of 3");
    }

    #[test]
    fn the_user_counts_from_one() {
        let faces = [face(0.0, 0.0, 500.0), face(0.0, 0.0, 5.0)];
        let choice = choose(&faces, 1000, 800, Some(2));
        assert_eq!(choice, Ok(Choice { index: 1, reason: Reason::Wanted }));
        assert_eq!(Reason::Wanted.to_string(), "chosen by its number");
        for wanted in [0, 3, usize::MAX] {
            let error = SelectError::OutOfRange { wanted, found: 2 };
            assert_eq!(choose(&faces, 1000, 800, Some(wanted)), Err(error));
            assert_eq!(error.to_string(), format!("there is no face {wanted}: the photo shows 2 faces"));
        }
        let error = SelectError::OutOfRange { wanted: 2, found: 1 };
        assert_eq!(error.to_string(), "there is no face 2: the photo shows one face");
    }

    #[test]
    fn no_face_is_an_error() {
        for wanted in [None, Some(1)] {
            assert_eq!(choose(&[], 10, 10, wanted), Err(SelectError::NoFace));
        }
    }

    proptest! {
        #[test]
        fn some_face_is_always_chosen(
            numbers in proptest::collection::vec(any::<f64>(), 1..9), width: u32, height: u32,
        ) {
            let faces: Vec<Face> = numbers.iter().map(|&number| face(number, number / 2.0, number / 3.0)).collect();
            let choice = choose(&faces, width, height, None);
            prop_assert!(choice.is_ok_and(|choice| choice.index < faces.len()));
        }
    }
}
