//! Bringing a face into a fixed frame, and back.
//!
//! [`aligned_face`] makes the picture that a recogniser was trained on, [`portrait`] the one that an identity is
//! learned from. Both return the [`Similarity`] that led there, so that points, masks and pixels find their way between
//! the photo and the frame. Nothing here knows a network.

mod frame;
mod portrait;
mod similarity;
mod warp;

use image::RgbImage;

pub(crate) use frame::FaceFrame;
pub use portrait::portrait;
pub use similarity::Similarity;
pub use warp::{Outside, warp};

use crate::geometry::{Landmarks, Point};

/// Width and height of an aligned face, unless another size is asked for.
pub const ALIGNED_SIDE: u32 = 112;

/// Where the five landmarks of an aligned face lie: left eye, right eye, nose, left and right corner of the mouth.
///
/// # Source
/// `arcface_dst` of insightface, for pictures of [`ALIGNED_SIDE`] pixels.
pub const ARCFACE_TEMPLATE: [Point; 5] = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];

/// A picture in a fixed frame.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The pixels.
    pub picture: RgbImage,
    /// From pixels of the photo to pixels of `picture`.
    pub transform: Similarity,
}

/// The face as recognisers are trained to see it: `side` x `side` pixels, the landmarks as close to [`ARCFACE_TEMPLATE`],
/// scaled to that size, as moving, turning and scaling bring them, black outside the photo.
///
/// A face that shrinks on the way is averaged, not skipped over, so a large photo gives no coarser picture than a small
/// one. `None` if the landmarks do not lie as in a face, or belong to a face larger than the photo.
pub fn aligned_face(picture: &RgbImage, landmarks: &Landmarks, side: u32) -> Option<Aligned> {
    let size = FaceFrame::of(landmarks)?.shown_in(picture)?.size;
    let template_size = FaceFrame::of(&Landmarks::from_points(ARCFACE_TEMPLATE))?.size;
    let transform = Similarity::estimate(&landmarks.points(), &ARCFACE_TEMPLATE)?;
    // Points that do not lie as in a face (mouth above the eyes, say) have no good fit: the best one is a tiny scale.
    let fits = (0.5..2.0).contains(&(transform.scale() * size / template_size));
    let transform = transform.resized(f64::from(side) / f64::from(ALIGNED_SIDE));
    fits.then(|| Aligned { picture: warp::warp_averaged(picture, &transform, side, side, Outside::Black), transform })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A chessboard with fields of one pixel, and a face upon it whose eyes are `distance` apart.
    fn chessboard_face(distance: f64) -> (RgbImage, Landmarks) {
        let picture = RgbImage::from_fn(600, 600, |x, y| Rgb([if (x + y) % 2 == 0 { 0 } else { 255 }; 3]));
        let scale = distance / (ARCFACE_TEMPLATE[1].x - ARCFACE_TEMPLATE[0].x);
        let points = ARCFACE_TEMPLATE.map(|point| Point::new(point.x * scale + 20.3, point.y * scale + 11.8));
        (picture, Landmarks::from_points(points))
    }

    #[test]
    fn landmarks_land_on_the_template() {
        let (picture, landmarks) = chessboard_face(100.0);
        let aligned = aligned_face(&picture, &landmarks, ALIGNED_SIDE).unwrap();
        for (point, expected) in landmarks.points().into_iter().zip(ARCFACE_TEMPLATE) {
            assert!(aligned.transform.apply(point).distance(expected) < 1e-9);
        }
    }

    #[test]
    fn a_shrunk_chessboard_is_grey() {
        // From a little more than one photo pixel a pixel up to four.
        for distance in [51.0, 60.0, 75.0, 100.0, 140.0] {
            let (picture, landmarks) = chessboard_face(distance);
            let aligned = aligned_face(&picture, &landmarks, ALIGNED_SIDE).unwrap();
            let levels = aligned.picture.pixels().map(|pixel| pixel[0]);
            let (low, high) = levels.fold((255, 0), |(low, high), level| (level.min(low), level.max(high)));
            assert!(low >= 108 && high <= 147, "eyes {distance} apart: {low} to {high}");
        }
    }

    #[test]
    fn points_that_are_no_face_are_refused() {
        let (picture, landmarks) = chessboard_face(100.0);
        let [left_eye, right_eye, nose, mouth_left, mouth_right] = landmarks.points();
        let refused = [
            [left_eye; 5],
            [mouth_left, mouth_right, nose, left_eye, right_eye],
            [Point::new(f64::NAN, 0.0), right_eye, nose, mouth_left, mouth_right],
            landmarks.points().map(|point| Point::new(point.x * 1e4, point.y * 1e4)),
        ];
        for points in refused {
            assert!(aligned_face(&picture, &Landmarks::from_points(points), ALIGNED_SIDE).is_none(), "{points:?}");
        }
    }
}
