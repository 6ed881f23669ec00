//! Which pixels belong to the head: an ellipse laid through the landmarks, and a drawing that shows it.
//!
//! It needs no network, so it is there for every face that was found.

mod ellipse;
mod overlay;

use image::{GrayImage, Luma};

pub(crate) use ellipse::HeadEllipse;
pub use overlay::overlay;

use crate::align::Similarity;
use crate::geometry::{Face, Point};

/// The head of `face`, from forehead to chin and from ear to ear: 255 inside, 0 outside, with a soft edge between.
///
/// `transform` leads from the photo to the frame of the mask, as [`crate::align::portrait`] returns it;
/// [`Similarity::resized`] takes it to the same frame at another resolution, [`Similarity::IDENTITY`] stands for the
/// photo itself.
///
/// With size `s` the larger of twice the distance of the eyes and 1.8 times the way from the eyes to the mouth, the
/// ellipse reaches from 0.65 `s` above the eyes to 1.0 `s` below, 0.62 `s` to either side of the middle of the face's
/// box, and is tilted as the face. With `r` = 1 on the ellipse, the mask falls from 255 at `r` = 0.9 to 0 at `r` = 1.1
/// as `1 - t^2 (3 - 2 t)`.
///
/// Without usable landmarks an upright ellipse stands in the box; without a box, too, the mask is empty. So it is where
/// `transform` has no inverse.
pub fn head_mask(face: &Face, width: u32, height: u32, transform: &Similarity) -> GrayImage {
    let mut mask = GrayImage::new(width, height);
    let (Some(ellipse), Some(back)) = (HeadEllipse::of(face), transform.inverse()) else { return mask };
    for (x, y, pixel) in mask.enumerate_pixels_mut() {
        let share = ellipse.share(back.apply(Point::new(f64::from(x), f64::from(y))));
        *pixel = Luma([(255.0 * share).round() as u8]);
    }
    mask
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use image::RgbImage;
    use proptest::prelude::*;

    use super::*;
    use crate::align::portrait;
    use crate::geometry::{FaceBox, Landmarks};

    /// What a detector says about the portrait of an astronaut, 512 x 512.
    pub(crate) fn astronaut() -> Face {
        let points = [(205.0, 101.7), (246.8, 103.7), (224.7, 129.0), (201.7, 139.2), (245.3, 141.9)];
        Face {
            bounds: FaceBox { left: 181.1, top: 62.2, right: 267.7, bottom: 172.1 },
            landmarks: Landmarks::from_points(points.map(|(x, y)| Point::new(x, y))),
            score: 1.0,
        }
    }

    fn level(mask: &GrayImage, x: u32, y: u32) -> u8 {
        mask.get_pixel(x, y)[0]
    }

    fn share(mask: &GrayImage) -> f64 {
        mask.pixels().map(|pixel| f64::from(pixel[0]) / 255.0).sum::<f64>() / f64::from(mask.width() * mask.height())
    }

    #[test]
    fn the_face_is_in_and_the_rest_is_out() {
        let mask = head_mask(&astronaut(), 512, 512, &Similarity::IDENTITY);
        for point in astronaut().landmarks.points() {
            assert_eq!(level(&mask, point.x as u32, point.y as u32), 255);
        }
        // Chin, forehead and both cheeks, read off the photo.
        for (x, y) in [(223, 178), (226, 70), (182, 125), (266, 128)] {
            assert!(level(&mask, x, y) > 127, "{x}, {y}: {}", level(&mask, x, y));
        }
        // Collar, top of the hair, background on both sides, corners.
        for (x, y) in [(222, 200), (226, 20), (150, 110), (305, 110), (0, 0), (511, 0), (0, 511), (511, 511)] {
            assert_eq!(level(&mask, x, y), 0, "{x}, {y}");
        }
        let ellipse = std::f64::consts::PI * 0.62 * 0.825 * 83.6 * 83.6 / (512.0 * 512.0);
        assert!((share(&mask) / ellipse - 1.0).abs() < 0.03, "{} for {ellipse}", share(&mask));
    }

    #[test]
    fn one_mask_at_two_resolutions() {
        let frame = portrait(&RgbImage::new(512, 512), &astronaut(), 512).unwrap().transform;
        let large = head_mask(&astronaut(), 512, 512, &frame);
        let small = head_mask(&astronaut(), 64, 64, &frame.resized(0.125));
        for (x, y, pixel) in small.enumerate_pixels() {
            let block = (0..64).map(|i| u32::from(level(&large, 8 * x + i % 8, 8 * y + i / 8)));
            let mean = f64::from(block.sum::<u32>()) / 64.0;
            assert!((f64::from(pixel[0]) - mean).abs() < 12.0, "{x}, {y}: {} and {mean}", pixel[0]);
        }
        assert!((share(&large) - share(&small)).abs() < 1e-3);
        assert!((0.12..0.25).contains(&share(&large)), "{}", share(&large));
    }

    #[test]
    fn a_mask_follows_the_frame() {
        // Turned by a quarter: x to the right becomes down.
        let quarter = Similarity { a: 0.0, b: 1.0, tx: 511.0, ty: 0.0 };
        let (upright, turned) =
            (head_mask(&astronaut(), 512, 512, &Similarity::IDENTITY), head_mask(&astronaut(), 512, 512, &quarter));
        assert!(upright.enumerate_pixels().all(|(x, y, pixel)| level(&turned, 511 - y, x).abs_diff(pixel[0]) <= 1));
    }

    #[test]
    fn a_face_half_outside_is_cut_by_the_edge() {
        let left_half = Similarity { tx: -225.0, ..Similarity::IDENTITY };
        let (whole, half) =
            (head_mask(&astronaut(), 512, 512, &Similarity::IDENTITY), head_mask(&astronaut(), 512, 512, &left_half));
        assert_eq!(level(&half, 0, 120), 255);
        assert!((share(&half) / share(&whole) - 0.5).abs() < 0.05);
    }

    #[test]
    fn without_landmarks_the_box_has_to_do() {
        let landmarks = Landmarks::from_points([Point::default(); 5]);
        let mask = head_mask(&Face { landmarks, ..astronaut() }, 512, 512, &Similarity::IDENTITY);
        assert_eq!(level(&mask, 224, 117), 255);
        assert!((0.02..0.06).contains(&share(&mask)), "{}", share(&mask));
        let bounds = FaceBox { left: f64::NAN, top: 1.0, right: 5.0, bottom: 1.0 };
        let empty = head_mask(&Face { landmarks, bounds, score: 1.0 }, 32, 32, &Similarity::IDENTITY);
        assert_eq!(share(&empty), 0.0);
        // A broken box beside good landmarks changes little.
        let mask = head_mask(&Face { bounds, ..astronaut() }, 512, 512, &Similarity::IDENTITY);
        assert_eq!(level(&mask, 225, 120), 255);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(numbers in proptest::collection::vec(any::<f64>(), 18)) {
            let points = std::array::from_fn(|i| Point::new(numbers[2 * i], numbers[2 * i + 1]));
            let bounds =
                FaceBox { left: numbers[10], top: numbers[11], right: numbers[12], bottom: numbers[13] };
            let face = Face { bounds, landmarks: Landmarks::from_points(points), score: 0.0 };
            let transform = Similarity { a: numbers[14], b: numbers[15], tx: numbers[16], ty: numbers[17] };
            prop_assert_eq!(head_mask(&face, 7, 5, &transform).dimensions(), (7, 5));
            prop_assert_eq!(head_mask(&face, 7, 5, &Similarity::IDENTITY).dimensions(), (7, 5));
        }
    }
}
