//! The square portrait that an identity is learned from.

use image::RgbImage;

use super::Aligned;
use super::frame::FaceFrame;
use super::similarity::Similarity;
use super::warp::{Outside, warp_averaged};
use crate::crop::{CropRect, crop_and_resize};
use crate::geometry::{Face, Point};

/// Side of the square, in sizes of the face.
///
/// FFHQ takes 2, which cuts into full hair and shows no shoulder. 3 holds all three, and the ellipse of the head (see
/// [`crate::mask::head_mask`]) still covers 18 % of the picture.
const SIDE: f64 = 3.0;
/// The least side to shrink to, in sizes of the face: FFHQ's, which just holds the head.
const LEAST_SIDE: f64 = 2.0;
/// How far the centre lies below the eyes, in sizes of the face; about half way from the eyes to the mouth.
const BELOW_EYES: f64 = 0.2;
/// Up to this tilt, in degrees, a head stays as it is held.
const KEPT_TILT: f64 = 20.0;

/// A square portrait with hair and shoulders, `side` pixels wide.
///
/// The square's side is three times the face's size (twice the distance of the eyes, or 1.8 times their distance from
/// the mouth if that is more, as in FFHQ), its centre a fifth of the size below the eyes. To stay inside the photo it
/// shrinks, down to two sizes, and shifts, as long as the face keeps half a size away from its edge. What is still
/// outside shows the photo's edge, repeated.
///
/// A head tilted by up to 20 degrees stays so. Such a tilt is a pose that the model draws by itself, and turning the
/// photo would tilt everything else in it: walls, shoulders, horizon. A stronger tilt is a person lying down or a
/// camera held sideways, which the model draws poorly; then the picture is turned until the face is upright.
///
/// Scaling is Lanczos, or the mean of all pixels that a pixel covers where the photo is turned or its edge repeated;
/// both let every pixel count.
///
/// `None` if `side` is 0, if the landmarks do not lie as in a face, or if the face is larger than the photo or outside
/// it.
pub fn portrait(picture: &RgbImage, face: &Face, side: u32) -> Option<Aligned> {
    let frame = FaceFrame::of(&face.landmarks)?.shown_in(picture)?;
    if side == 0 {
        return None;
    }
    let square = Square::around(&frame, picture.width(), picture.height())?;
    if let Some(rect) = square.whole_pixels(picture.width(), picture.height()) {
        let transform = Similarity { tx: -f64::from(rect.x), ty: -f64::from(rect.y), ..Similarity::IDENTITY };
        let transform = transform.resized(f64::from(side) / f64::from(rect.width));
        let picture = crop_and_resize(picture, rect, side, side).ok()?;
        return Some(Aligned { picture, transform });
    }
    let transform = square.transform(side);
    Some(Aligned { picture: warp_averaged(picture, &transform, side, side, Outside::Edge), transform })
}

/// A square of the photo.
#[derive(Clone, Copy, Debug)]
struct Square {
    centre: Point,
    side: f64,
    /// In radians, clockwise as seen in the photo.
    turn: f64,
}

impl Square {
    /// The square around a face, inside a photo of this size as far as possible; `None` if the face lies outside.
    fn around(frame: &FaceFrame, width: u32, height: u32) -> Option<Square> {
        let size = frame.size;
        let turn = if frame.tilt().abs() > KEPT_TILT.to_radians() { frame.tilt() } else { 0.0 };
        let (sin, cos) = turn.sin_cos();
        // Side of the upright square around a turned one of side 1.
        let spread = cos.abs() + sin.abs();
        let inside = f64::from(width.min(height)) / spread;
        let side = (SIDE * size).min(inside.max(LEAST_SIDE * size));
        let half = side * spread / 2.0;

        let centre = frame.point(0.0, BELOW_EYES * size);
        let touches = |at: f64, length: u32| at > -size && at < f64::from(length) + size;
        if !touches(centre.x, width) || !touches(centre.y, height) {
            return None;
        }
        let (x, y) = (inwards(centre.x, half, width), inwards(centre.y, half, height));
        // The corner of a photo is outside of a turned square: the face must not be left there.
        let most = (side - size) / 2.0;
        let moved = f64::max((x * cos + y * sin).abs(), (y * cos - x * sin).abs());
        let share = if moved > most { most / moved } else { 1.0 };
        Some(Square { centre: Point::new(centre.x + share * x, centre.y + share * y), side, turn })
    }

    /// The square in whole pixels; `None` if it does not lie in a photo of this size, or is turned.
    fn whole_pixels(&self, width: u32, height: u32) -> Option<CropRect> {
        let side = self.side.round().min(f64::from(width.min(height))).max(1.0);
        // The edge of a pixel lies half a pixel before its centre.
        let start = |centre: f64, length: u32| {
            let exact = centre + 0.5 - self.side / 2.0;
            let whole = exact.round().clamp(0.0, f64::from(length) - side);
            ((whole - exact).abs() <= 1.0).then_some(whole as u32)
        };
        let (x, y) = (start(self.centre.x, width)?, start(self.centre.y, height)?);
        let fits = self.turn == 0.0 && (self.side - side).abs() <= 1.0;
        fits.then_some(CropRect { x, y, width: side as u32, height: side as u32 })
    }

    /// From the photo to a picture of the square, `side` pixels wide.
    fn transform(&self, side: u32) -> Similarity {
        let scale = f64::from(side) / self.side;
        let (a, b) = (scale * self.turn.cos(), -scale * self.turn.sin());
        let middle = (f64::from(side) - 1.0) / 2.0;
        let turned = Similarity { a, b, tx: 0.0, ty: 0.0 }.apply(self.centre);
        Similarity { a, b, tx: middle - turned.x, ty: middle - turned.y }
    }
}

/// How far to move an interval of `2 half` around `centre` so that it lies in the pixels of one axis, or around them if
/// it is longer.
fn inwards(centre: f64, half: f64, length: u32) -> f64 {
    let (low, high) = (half - 0.5, f64::from(length) - 0.5 - half);
    centre.clamp(low.min(high), low.max(high)) - centre
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;
    use crate::align::ARCFACE_TEMPLATE;
    use crate::geometry::{FaceBox, Landmarks};

    /// A face with its eyes around `eyes`, `distance` apart, tilted by `degrees`.
    fn face(eyes: Point, distance: f64, degrees: f64) -> Face {
        let scale = distance / ARCFACE_TEMPLATE[0].distance(ARCFACE_TEMPLATE[1]);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let turn = Similarity { a: scale * cos, b: scale * sin, tx: 0.0, ty: 0.0 };
        let middle = turn.apply(ARCFACE_TEMPLATE[0].midpoint(ARCFACE_TEMPLATE[1]));
        let placed = ARCFACE_TEMPLATE.map(|point| {
            let point = turn.apply(point);
            Point::new(point.x - middle.x + eyes.x, point.y - middle.y + eyes.y)
        });
        let bounds = FaceBox {
            left: eyes.x - distance,
            top: eyes.y - distance,
            right: eyes.x + distance,
            bottom: eyes.y + 1.6 * distance,
        };
        Face { bounds, landmarks: Landmarks::from_points(placed), score: 1.0 }
    }

    /// Every pixel's colour tells where it lies.
    fn map(width: u32, height: u32) -> RgbImage {
        let level = |at: u32, length: u32| (f64::from(at) / f64::from(length) * 250.0).round() as u8;
        RgbImage::from_fn(width, height, |x, y| Rgb([level(x, width), level(y, height), 0]))
    }

    fn corners(aligned: &Aligned) -> [Point; 4] {
        let back = aligned.transform.inverse().unwrap();
        let (first, last) = (-0.5, f64::from(aligned.picture.width()) - 0.5);
        [(first, first), (last, first), (first, last), (last, last)].map(|(x, y)| back.apply(Point::new(x, y)))
    }

    #[test]
    fn pixels_come_from_where_the_transform_says() {
        let photo = map(500, 400);
        for (side, degrees) in [(64, 0.0), (300, 0.0), (64, 33.0), (300, -90.0), (150, 170.0)] {
            let portrait = portrait(&photo, &face(Point::new(260.0, 190.0), 40.0, degrees), side).unwrap();
            let back = portrait.transform.inverse().unwrap();
            for (x, y, pixel) in portrait.picture.enumerate_pixels() {
                let from = back.apply(Point::new(f64::from(x), f64::from(y)));
                let off = (f64::from(pixel[0]) - from.x / 2.0).abs().max((f64::from(pixel[1]) - from.y / 1.6).abs());
                // Rounding in the map and in the portrait; the edge has no neighbours to average.
                assert!(off <= 2.0, "side {side}, {degrees} degrees: {pixel:?} at {x}, {y} comes from {from:?}");
            }
        }
    }

    #[test]
    fn a_small_tilt_stays_and_a_large_one_is_undone() {
        let photo = map(500, 500);
        for degrees in [-180.0, -90.0, -21.0, -19.0, 5.0, 19.0, 21.0, 60.0_f64] {
            let aligned = portrait(&photo, &face(Point::new(250.0, 230.0), 30.0, degrees), 64).unwrap();
            let expected: f64 = if degrees.abs() > 20.0 { -degrees } else { 0.0 };
            let off = (aligned.transform.rotation() - expected.to_radians()).sin_cos();
            // The template itself is tilted by a third of a degree.
            assert!(off.0.abs() < 0.01 && off.1 > 0.0, "{degrees}: {}", aligned.transform.rotation().to_degrees());
        }
    }

    #[test]
    fn it_shifts_before_it_shrinks_and_shrinks_before_it_invents() {
        let photo = map(400, 300);
        // The template's size is 2.08 times the distance of its eyes. 187 wide, near the corner: shifted.
        let aligned = portrait(&photo, &face(Point::new(60.0, 40.0), 30.0, 0.0), 187).unwrap();
        assert_eq!(aligned.transform, Similarity::IDENTITY);
        // 375 would be wanted, 300 fit.
        let aligned = portrait(&photo, &face(Point::new(200.0, 120.0), 60.0, 0.0), 300).unwrap();
        assert_eq!((aligned.transform.scale(), aligned.transform.ty), (1.0, 0.0));
        // 416 are needed; the lines above and below repeat the edge.
        let aligned = portrait(&photo, &face(Point::new(200.0, 120.0), 100.0, 0.0), 416).unwrap();
        assert!((aligned.transform.scale() - 1.0).abs() < 0.01);
        let (top, bottom) = (aligned.picture[(200, 0)], aligned.picture[(200, 415)]);
        assert_eq!((top[1], bottom[1]), (0, 249));
    }

    #[test]
    fn a_shrunk_chessboard_is_grey() {
        let photo = RgbImage::from_fn(900, 900, |x, y| Rgb([if (x + y) % 2 == 0 { 0 } else { 255 }; 3]));
        for degrees in [0.0, 45.0, 90.0] {
            for side in [64, 100, 200, 250] {
                // The square is 375 pixels wide.
                let aligned = portrait(&photo, &face(Point::new(450.0, 450.0), 60.0, degrees), side).unwrap();
                let inside = aligned.picture.enumerate_pixels().filter(|&(x, y, _)| {
                    // Lanczos sees half a window at the border.
                    (3..side - 3).contains(&x) && (3..side - 3).contains(&y)
                });
                let off = inside.map(|(_, _, pixel)| pixel[0].abs_diff(127)).max().unwrap();
                // A quarter of the contrast; looking at single places leaves all of it.
                assert!(off <= 32, "side {side}, {degrees} degrees: {off} off grey");
            }
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        let photo = map(200, 200);
        let good = face(Point::new(100.0, 100.0), 20.0, 0.0);
        assert!(portrait(&photo, &good, 0).is_none());
        assert!(portrait(&RgbImage::new(0, 0), &good, 64).is_none());
        assert!(portrait(&photo, &face(Point::new(1000.0, 100.0), 20.0, 0.0), 64).is_none());
        assert!(portrait(&photo, &face(Point::new(100.0, 100.0), 2000.0, 0.0), 64).is_none());
        let points = [Point::new(5.0, 5.0); 5];
        assert!(portrait(&photo, &Face { landmarks: Landmarks::from_points(points), ..good }, 64).is_none());
    }

    proptest! {
        #[test]
        fn it_stays_inside_where_it_fits(
            width in 40..800_u32, height in 40..800_u32, x in 0.0..1.0, y in 0.0..1.0, distance in 4.0..100.0,
            degrees in -180.0..180.0,
        ) {
            let photo = RgbImage::new(width, height);
            let eyes = Point::new(f64::from(width - 1) * x, f64::from(height - 1) * y);
            let face = face(eyes, distance, degrees);
            let size = FaceFrame::of(&face.landmarks).unwrap().size;
            prop_assume!(size <= f64::from(width.max(height)));
            let aligned = portrait(&photo, &face, 32).unwrap();
            let side = 32.0 / aligned.transform.scale();
            prop_assert!(side <= SIDE * size + 0.51);
            let outside = corners(&aligned).into_iter().map(|corner| {
                let beyond = |at: f64, length: u32| (-0.5 - at).max(at - f64::from(length) + 0.5);
                beyond(corner.x, width).max(beyond(corner.y, height))
            });
            let outside = outside.fold(f64::NEG_INFINITY, f64::max);
            // A head that lies in the photo with a little around it leaves no reason to invent.
            let reach = LEAST_SIDE * size;
            let clear = |at: f64, length: u32| at > reach && at < f64::from(length) - reach;
            prop_assert!(outside < 1e-6 || !clear(eyes.x, width) || !clear(eyes.y, height), "{} outside", outside);
            let eyes = aligned.transform.apply(eyes);
            prop_assert!((0.0..32.0).contains(&eyes.x) && (0.0..32.0).contains(&eyes.y), "the eyes are at {:?}", eyes);
        }

        #[test]
        fn garbage_never_panics(numbers in proptest::collection::vec(any::<f64>(), 10), small in any::<bool>()) {
            let scale = if small { 1e-300 } else { 1.0 };
            let points = std::array::from_fn(|i| Point::new(numbers[2 * i] * scale, numbers[2 * i + 1] * scale));
            let bounds = FaceBox { left: f64::NAN, top: 0.0, right: 1.0, bottom: f64::INFINITY };
            let face = Face { bounds, landmarks: Landmarks::from_points(points), score: f64::NAN };
            if let Some(aligned) = portrait(&map(30, 20), &face, 16) {
                prop_assert_eq!(aligned.picture.dimensions(), (16, 16));
            }
        }
    }
}
