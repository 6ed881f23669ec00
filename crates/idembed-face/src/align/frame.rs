//! Where a face looks from, how large it is and how it is tilted: what its landmarks say together.

use image::RgbImage;

use crate::geometry::{Landmarks, Point};

/// A face's own coordinates: origin between the eyes, axes along and across the face.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaceFrame {
    /// Half way between the eyes.
    pub(crate) eyes: Point,
    /// The larger of twice the distance of the eyes and 1.8 times the way from the eyes to the mouth, in pixels.
    ///
    /// On a face seen from the front the two are about equal. The first shrinks when the head turns, the second when it
    /// nods, so their maximum keeps to the head's size. Half the side of an FFHQ crop.
    pub(crate) size: f64,
    /// Where the face's right points, as seen in the picture: a unit vector.
    pub(crate) across: Point,
}

impl FaceFrame {
    /// `None` if the landmarks are not finite, lie in one place, or have no direction.
    ///
    /// # Source
    /// Karras et al. 2017, "Progressive Growing of GANs", appendix C, which also cut FFHQ: the direction is that of the
    /// eye line plus the eye-to-mouth line turned by a quarter.
    pub(crate) fn of(landmarks: &Landmarks) -> Option<FaceFrame> {
        let Landmarks { left_eye, right_eye, mouth_left, mouth_right, .. } = *landmarks;
        let eyes = left_eye.midpoint(right_eye);
        let mouth = mouth_left.midpoint(mouth_right);
        let along = (right_eye.x - left_eye.x + mouth.y - eyes.y, right_eye.y - left_eye.y - (mouth.x - eyes.x));
        let length = along.0.hypot(along.1);
        let size = f64::max(2.0 * left_eye.distance(right_eye), 1.8 * eyes.distance(mouth));
        let finite = landmarks.points().iter().all(|point| point.x.is_finite() && point.y.is_finite());
        let usable = finite && size.is_finite() && length.is_finite() && length > 1e-6 * size;
        usable.then(|| FaceFrame { eyes, size, across: Point::new(along.0 / length, along.1 / length) })
    }

    /// The frame, unless the face is larger than the picture could show.
    ///
    /// Also bounds the work that landmarks can cause.
    pub(crate) fn shown_in(self, picture: &RgbImage) -> Option<FaceFrame> {
        (self.size <= f64::from(picture.width().max(picture.height()))).then_some(self)
    }

    /// The tilt of the head in radians, clockwise as seen in the picture.
    pub(crate) fn tilt(&self) -> f64 {
        self.across.y.atan2(self.across.x)
    }

    /// The picture's point at `across` and `down` in the face's coordinates, in pixels.
    pub(crate) fn point(&self, across: f64, down: f64) -> Point {
        let Point { x: cos, y: sin } = self.across;
        Point::new(self.eyes.x + across * cos - down * sin, self.eyes.y + across * sin + down * cos)
    }

    /// The face's coordinates of a point of the picture: across and down from between the eyes, in pixels.
    pub(crate) fn coordinates(&self, point: Point) -> Point {
        let Point { x: cos, y: sin } = self.across;
        let (x, y) = (point.x - self.eyes.x, point.y - self.eyes.y);
        Point::new(x * cos + y * sin, y * cos - x * sin)
    }
}
