//! The head as an ellipse.

use crate::align::FaceFrame;
use crate::geometry::{Face, FaceBox, Point};

/// Reach above and below the eyes and to the sides, in sizes of the face.
///
/// Adults have about 63 mm from pupil to pupil, which makes the size 126 mm; then some 70 mm up to the hair, 115 mm
/// down to the chin, 150 mm from ear to ear. The ellipse reaches a little further, as it is narrow at forehead and
/// chin.
const ABOVE: f64 = 0.65;
const BELOW: f64 = 1.0;
const BESIDE: f64 = 0.62;
/// How far the box may move the middle to one side, in sizes of the face: of a head that turns away, the eyes move to
/// one side of what is seen of it.
const MOST_ASIDE: f64 = 0.35;
/// Half the width of the soft edge, as a share of the radius.
const SOFT: f64 = 0.1;
/// Without landmarks: half axes in widths and heights of the box, which ends at the cheeks and below the hair.
const OF_BOX: f64 = 0.57;

/// An ellipse around a head, in pixels of the photo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadEllipse {
    centre: Point,
    /// Where the head's right points: a unit vector.
    across: Point,
    half_width: f64,
    half_height: f64,
}

impl HeadEllipse {
    /// From the landmarks, or from the box where they are of no use; `None` if neither is.
    pub(crate) fn of(face: &Face) -> Option<HeadEllipse> {
        let middle = face.bounds.centre();
        let ellipse = match FaceFrame::of(&face.landmarks) {
            Some(frame) => {
                let size = frame.size;
                let aside = frame.coordinates(middle).x.clamp(-MOST_ASIDE * size, MOST_ASIDE * size);
                let aside = if aside.is_nan() { 0.0 } else { aside };
                HeadEllipse {
                    centre: frame.point(aside, (BELOW - ABOVE) / 2.0 * size),
                    across: frame.across,
                    half_width: BESIDE * size,
                    half_height: (BELOW + ABOVE) / 2.0 * size,
                }
            }
            None => HeadEllipse {
                centre: middle,
                across: Point::new(1.0, 0.0),
                half_width: OF_BOX * face.bounds.width(),
                half_height: OF_BOX * face.bounds.height(),
            },
        };
        let numbers = [ellipse.centre.x, ellipse.centre.y, ellipse.half_width, ellipse.half_height];
        let usable = numbers.iter().all(|number| number.is_finite());
        (usable && ellipse.half_width > 0.0 && ellipse.half_height > 0.0).then_some(ellipse)
    }

    /// How much of a point belongs to the head, 0 to 1.
    pub(crate) fn share(&self, point: Point) -> f64 {
        let (x, y) = (point.x - self.centre.x, point.y - self.centre.y);
        let right = (x * self.across.x + y * self.across.y) / self.half_width;
        let down = (y * self.across.x - x * self.across.y) / self.half_height;
        let outwards = ((right.hypot(down) - (1.0 - SOFT)) / (2.0 * SOFT)).clamp(0.0, 1.0);
        1.0 - outwards * outwards * (3.0 - 2.0 * outwards)
    }

    /// The upright rectangle around it.
    pub(crate) fn bounds(&self) -> FaceBox {
        let reach = |along_width: f64, along_height: f64| {
            (along_width * self.half_width).hypot(along_height * self.half_height)
        };
        let (x, y) = (reach(self.across.x, self.across.y), reach(self.across.y, self.across.x));
        FaceBox { left: self.centre.x - x, top: self.centre.y - y, right: self.centre.x + x, bottom: self.centre.y + y }
    }
}
