//! Points, boxes and landmarks in a picture, and what a detector says about a face.
//!
//! All coordinates are pixels of the upright picture; the centre of the upper left pixel is `(0, 0)`.

/// A point of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

impl Point {
    /// The point at `x`, `y`.
    pub const fn new(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    /// Euclidean distance.
    pub fn distance(self, other: Point) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The point half way.
    pub fn midpoint(self, other: Point) -> Point {
        Point::new(f64::midpoint(self.x, other.x), f64::midpoint(self.y, other.y))
    }
}

/// An upright rectangle around a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceBox {
    /// The left edge.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// The right edge; not left of `left`.
    pub right: f64,
    /// The lower edge; not above `top`.
    pub bottom: f64,
}

impl FaceBox {
    /// Distance of the left and the right edge.
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    /// Distance of the upper and the lower edge.
    pub fn height(self) -> f64 {
        self.bottom - self.top
    }

    /// Width times height.
    pub fn area(self) -> f64 {
        self.width() * self.height()
    }

    /// The middle.
    pub fn centre(self) -> Point {
        Point::new(f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    /// The part that lies in a picture of this size; `None` if nothing does.
    pub fn within(self, width: u32, height: u32) -> Option<FaceBox> {
        let (right, bottom) = (f64::from(width), f64::from(height));
        let part = FaceBox {
            left: self.left.max(0.0),
            top: self.top.max(0.0),
            right: self.right.min(right),
            bottom: self.bottom.min(bottom),
        };
        (part.left < part.right && part.top < part.bottom).then_some(part)
    }
}

/// Five landmarks, left and right as seen in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmarks {
    /// The eye on the left side of the picture.
    pub left_eye: Point,
    /// The eye on the right side of the picture.
    pub right_eye: Point,
    /// The tip of the nose.
    pub nose: Point,
    /// The corner of the mouth on the left side of the picture.
    pub mouth_left: Point,
    /// The corner of the mouth on the right side of the picture.
    pub mouth_right: Point,
}

impl Landmarks {
    /// In the order of the fields, which is also that of the templates and of `--json`.
    pub fn points(&self) -> [Point; 5] {
        [self.left_eye, self.right_eye, self.nose, self.mouth_left, self.mouth_right]
    }

    /// From five points in the order of the fields.
    pub fn from_points([left_eye, right_eye, nose, mouth_left, mouth_right]: [Point; 5]) -> Landmarks {
        Landmarks { left_eye, right_eye, nose, mouth_left, mouth_right }
    }
}

/// A face that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Where it is: may reach outside the picture.
    pub bounds: FaceBox,
    /// Where its parts are.
    pub landmarks: Landmarks,
    /// How sure the detector is, 0 to 1.
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_box_is_cut_to_the_picture() {
        let bounds = FaceBox { left: -2.0, top: 3.0, right: 12.0, bottom: 8.0 };
        assert_eq!((bounds.width(), bounds.height(), bounds.area()), (14.0, 5.0, 70.0));
        assert_eq!(bounds.centre(), Point::new(5.0, 5.5));
        assert_eq!(bounds.within(10, 6), Some(FaceBox { left: 0.0, top: 3.0, right: 10.0, bottom: 6.0 }));
        assert_eq!(bounds.within(10, 3), None);
    }

    proptest! {
        #[test]
        fn a_box_within_lies_within(left: f64, top: f64, right: f64, bottom: f64, width: u32, height: u32) {
            if let Some(part) = (FaceBox { left, top, right, bottom }).within(width, height) {
                prop_assert!(0.0 <= part.left && part.left < part.right && part.right <= f64::from(width));
                prop_assert!(0.0 <= part.top && part.top < part.bottom && part.bottom <= f64::from(height));
                let bounds = FaceBox { left, top, right, bottom };
                prop_assert!(part.area() <= bounds.area() || bounds.area().is_nan(), "{:?} of {:?}", part, bounds);
            }
        }
    }
}
