//! What was found, drawn over the photo.

use image::{GrayImage, Rgb, RgbImage};

use crate::geometry::{Face, FaceBox, Point};

const CHOSEN: Rgb<u8> = Rgb([64, 224, 96]);
const OTHER: Rgb<u8> = Rgb([235, 235, 235]);
const LANDMARK: Rgb<u8> = Rgb([255, 216, 64]);
const TINT: Rgb<u8> = Rgb([64, 128, 255]);
/// How much of the tint lies over a pixel that is wholly in the mask.
const TINT_SHARE: f64 = 0.4;
/// Width of a line, as a share of the picture's longer side; never less than [`THINNEST`] pixels.
const LINE: f64 = 1.0 / 300.0;
const THINNEST: f64 = 1.5;

/// The photo with every face's box and landmarks, the box at index `chosen` in green, and the mask in blue.
///
/// `mask` has the photo's size (see [`super::head_mask`]); where it has no pixel, nothing is tinted.
pub fn overlay(picture: &RgbImage, faces: &[Face], chosen: Option<usize>, mask: Option<&GrayImage>) -> RgbImage {
    let mut drawn = picture.clone();
    if let Some(mask) = mask {
        for (x, y, pixel) in drawn.enumerate_pixels_mut() {
            let inside = mask.get_pixel_checked(x, y).map_or(0, |level| level[0]);
            blend(pixel, TINT, TINT_SHARE * f64::from(inside) / 255.0);
        }
    }
    let line = (LINE * f64::from(picture.width().max(picture.height()))).max(THINNEST);
    for (index, face) in faces.iter().enumerate() {
        let colour = if chosen == Some(index) { CHOSEN } else { OTHER };
        outline(&mut drawn, face.bounds, line, colour);
        for point in face.landmarks.points() {
            disc(&mut drawn, point, 1.5 * line, LANDMARK);
        }
    }
    drawn
}

/// The edge of a box, as a line `line` pixels wide.
fn outline(picture: &mut RgbImage, bounds: FaceBox, line: f64, colour: Rgb<u8>) {
    let centre = bounds.centre();
    let (half_width, half_height) = (bounds.width() / 2.0, bounds.height() / 2.0);
    paint(picture, grown(bounds, line), colour, |point| {
        let beyond = f64::max((point.x - centre.x).abs() - half_width, (point.y - centre.y).abs() - half_height);
        beyond.abs() - line / 2.0
    });
}

/// A filled circle.
fn disc(picture: &mut RgbImage, centre: Point, radius: f64, colour: Rgb<u8>) {
    let bounds = FaceBox { left: centre.x, top: centre.y, right: centre.x, bottom: centre.y };
    paint(picture, grown(bounds, radius + 1.0), colour, |point| point.distance(centre) - radius);
}

fn grown(bounds: FaceBox, by: f64) -> FaceBox {
    FaceBox { left: bounds.left - by, top: bounds.top - by, right: bounds.right + by, bottom: bounds.bottom + by }
}

/// Colours the pixels of `area` whose distance from a shape is negative, those at its edge in part.
fn paint(picture: &mut RgbImage, area: FaceBox, colour: Rgb<u8>, distance: impl Fn(Point) -> f64) {
    let Some(area) = area.within(picture.width(), picture.height()) else { return };
    for y in area.top as u32..area.bottom.ceil() as u32 {
        for x in area.left as u32..area.right.ceil() as u32 {
            let coverage = 0.5 - distance(Point::new(f64::from(x), f64::from(y)));
            // False for a box without finite edges, too: it leaves the photo as it is.
            if coverage > 0.0 {
                blend(picture.get_pixel_mut(x, y), colour, coverage.min(1.0));
            }
        }
    }
}

fn blend(pixel: &mut Rgb<u8>, colour: Rgb<u8>, share: f64) {
    for (under, over) in pixel.0.iter_mut().zip(colour.0) {
        *under = (f64::from(*under) * (1.0 - share) + f64::from(over) * share).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::Landmarks;

    fn face(bounds: FaceBox) -> Face {
        Face { bounds, landmarks: Landmarks::from_points([bounds.centre(); 5]), score: 1.0 }
    }

    #[test]
    fn box_landmarks_and_mask_are_drawn_and_the_rest_stays() {
        let photo = RgbImage::from_pixel(100, 80, Rgb([10, 20, 30]));
        let found = [
            face(FaceBox { left: 10.0, top: 10.0, right: 40.0, bottom: 50.0 }),
            face(FaceBox { left: 60.0, top: 10.0, right: 90.0, bottom: 50.0 }),
        ];
        let mask = GrayImage::from_fn(100, 80, |_, y| image::Luma([if y >= 60 { 255 } else { 0 }]));
        let drawn = overlay(&photo, &found, Some(0), Some(&mask));
        assert_eq!((drawn[(10, 30)], drawn[(25, 10)], drawn[(60, 30)]), (CHOSEN, CHOSEN, OTHER));
        assert_eq!((drawn[(25, 30)], drawn[(75, 30)]), (LANDMARK, LANDMARK));
        assert_eq!((drawn[(5, 5)], drawn[(18, 20)]), (photo[(5, 5)], photo[(18, 20)]));
        assert_eq!(drawn[(50, 70)], Rgb([32, 63, 120]));
        assert_eq!(overlay(&photo, &[], None, None), photo);
    }

    #[test]
    fn lines_grow_with_the_picture() {
        let wide = |side: u32| {
            let far = f64::from(side) + 50.0;
            let bounds = FaceBox { left: f64::from(side / 2), top: -50.0, right: far, bottom: far };
            let drawn = overlay(&RgbImage::new(side, side), &[face(bounds)], Some(0), None);
            (0..side).filter(|&x| drawn[(x, 3)] == CHOSEN).count()
        };
        assert_eq!((wide(300), wide(3000)), (1, 9));
    }

    #[test]
    fn a_box_without_edges_is_not_drawn() {
        let photo = RgbImage::from_pixel(9, 7, Rgb([200; 3]));
        let endless = FaceBox { left: f64::NEG_INFINITY, top: 1.0, right: f64::INFINITY, bottom: f64::INFINITY };
        assert_eq!(overlay(&photo, &[face(endless)], None, None), photo);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(left: f64, top: f64, right: f64, bottom: f64, chosen: Option<usize>) {
            let photo = RgbImage::new(9, 7);
            let mask = GrayImage::from_pixel(4, 12, image::Luma([255]));
            let drawn = overlay(&photo, &[face(FaceBox { left, top, right, bottom })], chosen, Some(&mask));
            prop_assert_eq!(drawn.dimensions(), (9, 7));
        }
    }
}
