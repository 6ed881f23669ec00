//! What speaks against learning an identity from a face.

use std::fmt;

use crate::geometry::{Face, Landmarks};
use crate::mask::HeadEllipse;

/// A box with a side below this many pixels is too small.
const LEAST_SIDE: f64 = 64.0;
/// More than this share of the head outside the photo is too much.
const MOST_CUT_OFF: f64 = 0.1;
/// A nose further than this to one side is turned away; about 30 degrees.
const MOST_TURNED: f64 = 0.5;
/// A score below this is not sure.
const LEAST_SCORE: f64 = 0.9;

/// Something that the user should know before learning from a face.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Concern {
    /// Too few pixels to show what tells this face from others.
    TooSmall {
        /// Width of the face's box in pixels.
        width: f64,
        /// Height of the face's box in pixels.
        height: f64,
    },
    /// Part of the head lies outside the photo.
    CutOff {
        /// Which share of the rectangle around the head, 0 to 1.
        share: f64,
    },
    /// One side of the face is hidden.
    TurnedAway {
        /// See [`turn`].
        measure: f64,
    },
    /// The detector is not sure that this is a face.
    Unsure {
        /// Its score, 0 to 1.
        score: f64,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Concern::TooSmall { width, height } => {
                write!(out, "the face is small: {width:.0} x {height:.0} pixels, of at least {LEAST_SIDE} each")
            }
            Concern::CutOff { share } => {
                write!(out, "the head is cut off: {:.0} % of it lies outside the photo", 100.0 * share)
            }
            Concern::TurnedAway { measure } => {
                let side = if measure < 0.0 { "left" } else { "right" };
                let (measure, most) = (100.0 * measure.abs(), 100.0 * MOST_TURNED);
                write!(
                    out,
                    "the face is turned to the {side}: its nose is {measure:.0} % of the way from the middle to that \
                     eye, of at most {most:.0} %"
                )
            }
            Concern::Unsure { score } => {
                write!(out, "this may be no face: the detector's score is {score:.2}, of at least {LEAST_SCORE}")
            }
        }
    }
}

/// What speaks against learning from `face` in a picture of `width` x `height`, most important first; nothing if all is
/// well.
///
/// Small is a box with a side below 64 pixels, cut off a head (see [`crate::mask::head_mask`]) with more than 10 % of
/// its rectangle outside the picture, turned away a [`turn`] of more than 0.5, unsure a score below 0.9.
pub fn concerns(face: &Face, width: u32, height: u32) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if face.score.is_nan() || face.score < LEAST_SCORE {
        concerns.push(Concern::Unsure { score: face.score });
    }
    let (box_width, box_height) = (face.bounds.width(), face.bounds.height());
    if box_width.min(box_height) < LEAST_SIDE {
        concerns.push(Concern::TooSmall { width: box_width, height: box_height });
    }
    if let Some(head) = HeadEllipse::of(face).map(|head| head.bounds()) {
        let share = 1.0 - head.within(width, height).map_or(0.0, |seen| seen.area() / head.area());
        if share > MOST_CUT_OFF {
            concerns.push(Concern::CutOff { share });
        }
    }
    if let Some(measure) = turn(&face.landmarks).filter(|measure| measure.abs() > MOST_TURNED) {
        concerns.push(Concern::TurnedAway { measure });
    }
    concerns
}

/// How far the head is turned: the distance of the nose from the line through the middle of the eyes and the middle of
/// the mouth, in half widths of the eyes and the mouth (the mean of both).
///
/// 0 is a face seen from the front, -1 a nose as far to the left as an eye, as seen in the picture. The tip of the nose
/// stands out by about 0.85 of half the distance of the eyes, so a turn by `t` measures about `0.85 tan(t)`. A tilt
/// changes nothing.
///
/// `None` if the landmarks have no width or no height.
pub fn turn(landmarks: &Landmarks) -> Option<f64> {
    let Landmarks { left_eye, right_eye, nose, mouth_left, mouth_right } = *landmarks;
    let eyes = left_eye.midpoint(right_eye);
    let mouth = mouth_left.midpoint(mouth_right);
    let (down_x, down_y) = (mouth.x - eyes.x, mouth.y - eyes.y);
    let across = ((nose.x - eyes.x) * down_y - (nose.y - eyes.y) * down_x) / down_x.hypot(down_y);
    let half_width = (left_eye.distance(right_eye) + mouth_left.distance(mouth_right)) / 4.0;
    let measure = across / half_width;
    measure.is_finite().then_some(measure)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::align::{ARCFACE_TEMPLATE, Similarity};
    use crate::geometry::{FaceBox, Point};
    use crate::mask::tests::astronaut;

    fn texts(face: &Face, width: u32, height: u32) -> Vec<String> {
        concerns(face, width, height).iter().map(Concern::to_string).collect()
    }

    #[test]
    fn a_good_face_raises_none() {
        assert_eq!(texts(&astronaut(), 512, 512), [""; 0]);
        assert!(turn(&astronaut().landmarks).is_some_and(|measure| measure.abs() < 0.1));
    }

    #[test]
    fn each_concern_is_told_in_words_and_numbers() {
        let small = FaceBox { left: 200.0, top: 80.0, right: 240.4, bottom: 170.0 };
        let text = "the face is small: 40 x 90 pixels, of at least 64 each";
        assert_eq!(texts(&Face { bounds: small, ..astronaut() }, 512, 512), [text]);

        let text = "this may be no face: the detector's score is 0.71, of at least 0.9";
        assert_eq!(texts(&Face { score: 0.71, ..astronaut() }, 512, 512), [text]);
        assert_eq!(concerns(&Face { score: f64::NAN, ..astronaut() }, 512, 512).len(), 1);

        let [text] = &texts(&astronaut(), 225, 512)[..] else { panic!("one concern expected") };
        assert!(
            text.starts_with("the head is cut off: ") && text.ends_with("% of it lies outside the photo"),
            "{text}"
        );
        let [Concern::CutOff { share }] = concerns(&astronaut(), 225, 512)[..] else { panic!("one concern expected") };
        assert!((share - 0.5).abs() < 0.05, "{share}");

        let landmarks = Landmarks { nose: Point::new(240.0, 129.0), ..astronaut().landmarks };
        let text =
            "the face is turned to the right: its nose is 74 % of the way from the middle to that eye, of at most 50 %";
        assert_eq!(texts(&Face { landmarks, ..astronaut() }, 512, 512), [text]);
        let landmarks = Landmarks { nose: Point::new(208.0, 129.0), ..astronaut().landmarks };
        assert!(texts(&Face { landmarks, ..astronaut() }, 512, 512)[0].starts_with("the face is turned to the left"));
    }

    /// A head in three dimensions, turned and seen from afar.
    #[test]
    fn a_turn_of_thirty_degrees_is_the_limit() {
        let seen = |degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            // Millimetres: eyes 63 apart, mouth 50 wide and 5 further out, nose 27 further out.
            let points =
                [(-31.5, 0.0, 0.0), (31.5, 0.0, 0.0), (0.0, 42.0, 27.0), (-25.0, 70.0, 5.0), (25.0, 70.0, 5.0)];
            Landmarks::from_points(points.map(|(x, y, z)| Point::new(x * cos + z * sin, y)))
        };
        let turn = |degrees: f64| turn(&seen(degrees)).unwrap_or(f64::NAN);
        assert!(turn(0.0).abs() < 1e-12);
        assert!((turn(20.0) + turn(-20.0)).abs() < 1e-12);
        assert!(turn(25.0) < MOST_TURNED && turn(33.0) > MOST_TURNED, "{} {}", turn(25.0), turn(33.0));
    }

    proptest! {
        #[test]
        fn moving_tilting_and_scaling_change_no_turn(scale in 0.1..10.0, tilt in -3.1..3.1, aside in -20.0..20.0_f64) {
            let (sin, cos) = f64::sin_cos(tilt);
            let moved = Similarity { a: scale * cos, b: scale * sin, tx: 40.0, ty: -7.0 };
            let mut points = ARCFACE_TEMPLATE;
            points[2].x += aside;
            let before = turn(&Landmarks::from_points(points)).unwrap_or(f64::NAN);
            let after = turn(&Landmarks::from_points(points.map(|point| moved.apply(point)))).unwrap_or(f64::NAN);
            prop_assert!((before - after).abs() < 1e-9);
            prop_assert!((before - aside / 16.1).abs() < 0.1);
        }

        #[test]
        fn garbage_never_panics(numbers in proptest::collection::vec(any::<f64>(), 15), width: u32, height: u32) {
            let points = std::array::from_fn(|i| Point::new(numbers[2 * i], numbers[2 * i + 1]));
            let bounds = FaceBox { left: numbers[10], top: numbers[11], right: numbers[12], bottom: numbers[13] };
            let face = Face { bounds, landmarks: Landmarks::from_points(points), score: numbers[14] };
            texts(&face, width, height);
        }
    }
}
