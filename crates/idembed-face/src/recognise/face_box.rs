//! Cutting a face out by its bounds alone, without turning it upright.

use image::imageops::{self, FilterType};
use image::{GenericImageView, RgbImage};

use crate::FaceBox;

/// The part of `picture` in `bounds` and a margin around them, stretched to `side` x `side` pixels.
///
/// `margin` is in pixels of the result, half of it on each side. What reaches over the picture's edge is cut off; bounds
/// that lie outside altogether give a pixel of the edge. Scaling is linear, widened when scaling down so that every
/// pixel counts.
///
/// # Source
/// `facenet_pytorch.extract_face` on a PIL picture.
pub(super) fn cut_out(picture: &RgbImage, bounds: FaceBox, side: u32, margin: f64) -> RgbImage {
    let share = margin / (f64::from(side) - margin) / 2.0;
    let (beside, above) = (bounds.width() * share, bounds.height() * share);
    let across = whole_pixels(bounds.left - beside, bounds.right + beside, picture.width());
    let down = whole_pixels(bounds.top - above, bounds.bottom + above, picture.height());
    match (across, down) {
        (Some((x, width)), Some((y, height))) => {
            imageops::resize(&*picture.view(x, y, width, height), side, side, FilterType::Triangle)
        }
        _ => RgbImage::new(side, side),
    }
}

/// The first pixel of a range and their number, at least one of a picture's `length`; `None` if it has none.
fn whole_pixels(start: f64, end: f64, length: u32) -> Option<(u32, u32)> {
    // Such a cast drops the fraction, as the source does, and turns what does not fit, or is no number, into the nearest
    // number or 0.
    let first = (start as u32).min(length.checked_sub(1)?);
    Some((first, (end as u32).clamp(first + 1, length) - first))
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_margin_is_in_pixels_of_the_result() {
        // Stripes of 10 pixels; a box of 100 with margin 20 in 120 shows 120 pixels, 10 more on each side.
        let picture = RgbImage::from_fn(200, 200, |x, _| Rgb([(x / 10) as u8; 3]));
        let bounds = FaceBox { left: 50.0, top: 50.0, right: 150.0, bottom: 150.0 };
        let face = cut_out(&picture, bounds, 120, 20.0);
        let (first, last) = (face.get_pixel(0, 60)[0], face.get_pixel(119, 60)[0]);
        assert_eq!((first, last), (4, 15));
    }

    proptest! {
        #[test]
        fn any_bounds_give_a_picture(
            width in 0..30_u32, height in 0..30_u32, edges in prop::array::uniform4(any::<f64>()), margin in 0.0..8.0_f64,
        ) {
            let picture = RgbImage::from_pixel(width, height, Rgb([9, 90, 200]));
            let [left, top, right, bottom] = edges;
            let face = cut_out(&picture, FaceBox { left, top, right, bottom }, 9, margin);
            prop_assert_eq!(face.dimensions(), (9, 9));
            let expected = if width * height == 0 { Rgb([0; 3]) } else { Rgb([9, 90, 200]) };
            prop_assert!(face.pixels().all(|pixel| *pixel == expected));
        }
    }
}
