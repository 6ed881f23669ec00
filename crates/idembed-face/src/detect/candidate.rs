//! A box on its way through the cascade. In f32 and in the reference's order of operations: a last bit decides here
//! which of two boxes stays.

use super::suppression::{Overlap, ScoredBox, suppress};
use crate::{CropRect, Face, FaceBox, Landmarks, Point};

/// A box that may be a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Left, top, right, bottom, in pixels.
    pub(super) corners: [f32; 4],
    /// How sure the network is that looked at it last.
    pub(super) score: f32,
    /// How far that network would move each of the corners, as shares of the sides.
    pub(super) shift: [f32; 4],
}

impl Candidate {
    pub(super) fn scored(&self) -> ScoredBox {
        ScoredBox { corners: self.corners, score: self.score }
    }

    pub(super) fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.corners;
        (right - left) * (bottom - top)
    }

    /// Moved by its shift. `edge` is how many pixels a side counts besides the distance of its ends: 0 after P-Net,
    /// 1 afterwards.
    pub(super) fn moved(&self, edge: f32) -> Candidate {
        let [left, top, right, bottom] = self.corners;
        let (width, height) = (right - left + edge, bottom - top + edge);
        let [by_left, by_top, by_right, by_bottom] = self.shift;
        let corners =
            [left + by_left * width, top + by_top * height, right + by_right * width, bottom + by_bottom * height];
        Candidate { corners, ..*self }
    }

    /// The square around the same centre with the longer side.
    pub(super) fn squared(&self) -> Candidate {
        let [left, top, right, bottom] = self.corners;
        let (width, height) = (right - left, bottom - top);
        let side = width.max(height);
        let (left, top) = (left + width * 0.5 - side * 0.5, top + height * 0.5 - side * 0.5);
        Candidate { corners: [left, top, left + side, top + side], ..*self }
    }

    /// The pixels inside, of a picture of this size; `None` if there is none.
    ///
    /// The corners count pixels from 1 here, and the right and lower ones belong to the box.
    pub(super) fn visible_part(&self, width: u32, height: u32) -> Option<CropRect> {
        let [left, top, right, bottom] = self.corners.map(|corner| corner as i64);
        let visible = |first: i64, last: i64, length: u32| {
            let start = first.max(1) - 1;
            let end = last.min(i64::from(length));
            Some((u32::try_from(start).ok()?, u32::try_from(end - start).ok().filter(|&pixels| pixels > 0)?))
        };
        let ((x, width), (y, height)) = (visible(left, right, width)?, visible(top, bottom, height)?);
        Some(CropRect { x, y, width, height })
    }

    /// Landmarks on the picture from their shares of the box, both as five `x`, five `y`.
    pub(super) fn place(&self, shares: &[f32; 10]) -> [f32; 10] {
        let [left, top, right, bottom] = self.corners;
        let (width, height) = (right - left + 1.0, bottom - top + 1.0);
        let mut placed = *shares;
        let (xs, ys) = placed.split_at_mut(5);
        xs.iter_mut().for_each(|x| *x = width * *x + left - 1.0);
        ys.iter_mut().for_each(|y| *y = height * *y + top - 1.0);
        placed
    }

    /// The face, unless the networks turned its box inside out or left the range of numbers.
    pub(super) fn into_face(self, landmarks: &[f32; 10]) -> Option<Face> {
        let [left, top, right, bottom] = self.corners.map(f64::from);
        let points = [0, 1, 2, 3, 4].map(|index| Point::new(landmarks[index].into(), landmarks[index + 5].into()));
        let is_finite = self.corners.iter().chain(landmarks).all(|number| number.is_finite());
        (is_finite && left <= right && top <= bottom).then(|| Face {
            bounds: FaceBox { left, top, right, bottom },
            landmarks: Landmarks::from_points(points),
            score: self.score.into(),
        })
    }
}

/// What [`suppress`] leaves, the best first.
pub(super) fn thin_out(candidates: Vec<Candidate>, threshold: f32, overlap: Overlap) -> Vec<Candidate> {
    let boxes: Vec<ScoredBox> = candidates.iter().map(Candidate::scored).collect();
    suppress(&boxes, threshold, overlap).into_iter().map(|index| candidates[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(corners: [f32; 4]) -> Candidate {
        Candidate { corners, score: 0.5, shift: [0.0; 4] }
    }

    #[test]
    fn a_part_is_what_lies_in_the_picture() {
        let part = |corners| candidate(corners).visible_part(100, 50);
        let rect = |x, y, width, height| Some(CropRect { x, y, width, height });
        assert_eq!(part([1.0, 1.0, 100.0, 50.0]), rect(0, 0, 100, 50));
        assert_eq!(part([-7.9, 0.9, 10.9, 200.0]), rect(0, 0, 10, 50));
        assert_eq!(part([11.0, 21.0, 11.0, 21.0]), rect(10, 20, 1, 1));
        assert_eq!(part([101.0, 1.0, 120.0, 20.0]), None);
        assert_eq!(part([-20.0, 1.0, 0.5, 20.0]), None);
        assert_eq!(part([30.0, 1.0, 10.0, 20.0]), None);
        assert_eq!(part([f32::NEG_INFINITY, f32::NAN, f32::INFINITY, 1e30]), rect(0, 0, 100, 50));
    }

    #[test]
    fn what_is_no_box_is_no_face() {
        assert!(candidate([1.0, 2.0, 3.0, 4.0]).into_face(&[0.0; 10]).is_some());
        assert_eq!(candidate([3.0, 2.0, 1.0, 4.0]).into_face(&[0.0; 10]), None);
        assert_eq!(candidate([1.0, 2.0, f32::INFINITY, 4.0]).into_face(&[0.0; 10]), None);
        assert_eq!(candidate([1.0, 2.0, 3.0, 4.0]).into_face(&[f32::NAN; 10]), None);
    }
}
