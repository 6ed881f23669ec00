//! A picture seen through a similarity.

use std::f64::consts::SQRT_2;

use image::RgbImage;
use rayon::prelude::*;

use super::similarity::Similarity;
use crate::geometry::Point;

/// What lies outside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nothing: black.
    Black,
    /// The pixel at the edge, repeated.
    Edge,
}

/// `picture` moved by `transform` into a frame of `width` x `height`, by bilinear interpolation.
///
/// Pixel centres lie at whole numbers. Every pixel looks at one place of `picture`, so a transform that shrinks skips
/// pixels. Without an inverse there is no such place and the frame stays black, as it does for an empty picture.
pub fn warp(picture: &RgbImage, transform: &Similarity, width: u32, height: u32, outside: Outside) -> RgbImage {
    warp_sampled(picture, transform, width, height, outside, 1)
}

/// As [`warp`], but where the transform shrinks, every pixel is the mean of a grid of `ceil(sqrt(2) / scale)` squared
/// places: at most 0.71 pixels of `picture` apart, as a chessboard's diagonals need.
pub(super) fn warp_averaged(
    picture: &RgbImage,
    transform: &Similarity,
    width: u32,
    height: u32,
    outside: Outside,
) -> RgbImage {
    // A scale of 1 must not become a grid by rounding.
    let shrinks = transform.scale() < 1.0 - 1e-9;
    let places = if shrinks { (SQRT_2 / transform.scale()).ceil() as u32 } else { 1 };
    warp_sampled(picture, transform, width, height, outside, places)
}

/// Each pixel is the mean of `places` x `places` places, evenly spaced in its square.
fn warp_sampled(
    picture: &RgbImage,
    transform: &Similarity,
    width: u32,
    height: u32,
    outside: Outside,
    places: u32,
) -> RgbImage {
    let mut warped = RgbImage::new(width, height);
    let Some(back) = transform.inverse() else { return warped };
    if warped.is_empty() || picture.is_empty() {
        return warped;
    }
    let offsets: Vec<f64> = (0..places).map(|place| (f64::from(place) + 0.5) / f64::from(places) - 0.5).collect();
    let weight = 1.0 / (f64::from(places) * f64::from(places));
    warped.par_chunks_exact_mut(3 * width as usize).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let mut sum = [0.0; 3];
            for down in &offsets {
                for right in &offsets {
                    let place = back.apply(Point::new(x as f64 + right, y as f64 + down));
                    let colour = interpolate(picture, place, outside);
                    sum.iter_mut().zip(colour).for_each(|(sum, channel)| *sum += channel);
                }
            }
            pixel.iter_mut().zip(sum).for_each(|(channel, sum)| *channel = (sum * weight).round() as u8);
        }
    });
    warped
}

/// The colour between four pixels; `picture` is not empty.
fn interpolate(picture: &RgbImage, place: Point, outside: Outside) -> [f64; 3] {
    let (right, bottom) = (f64::from(picture.width() - 1), f64::from(picture.height() - 1));
    let place = match outside {
        Outside::Edge => Point::new(place.x.clamp(0.0, right), place.y.clamp(0.0, bottom)),
        Outside::Black if !(place.x > -1.0 && place.x < right + 1.0 && place.y > -1.0 && place.y < bottom + 1.0) => {
            return [0.0; 3];
        }
        Outside::Black => place,
    };
    let (left, above) = (place.x.floor(), place.y.floor());
    let (to_right, down) = (place.x - left, place.y - above);
    let mut colour = [0.0; 3];
    for (x, y, weight) in [
        (left, above, (1.0 - to_right) * (1.0 - down)),
        (left + 1.0, above, to_right * (1.0 - down)),
        (left, above + 1.0, (1.0 - to_right) * down),
        (left + 1.0, above + 1.0, to_right * down),
    ] {
        // A neighbour outside weighs 0 with `Edge` and is black with `Black`.
        if x >= 0.0 && y >= 0.0 && x <= right && y <= bottom {
            let pixel = picture.get_pixel(x as u32, y as u32);
            colour.iter_mut().zip(pixel.0).for_each(|(sum, channel)| *sum += weight * f64::from(channel));
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(10 * x) as u8, (10 * y) as u8, 200]))
    }

    fn shift(tx: f64, ty: f64) -> Similarity {
        Similarity { tx, ty, ..Similarity::IDENTITY }
    }

    #[test]
    fn staying_changes_nothing() {
        let picture = gradient(17, 5);
        for outside in [Outside::Black, Outside::Edge] {
            assert_eq!(warp(&picture, &Similarity::IDENTITY, 17, 5, outside), picture);
            assert_eq!(warp_averaged(&picture, &Similarity::IDENTITY, 17, 5, outside), picture);
        }
    }

    #[test]
    fn half_a_pixel_is_half_of_two() {
        let warped = warp(&gradient(4, 4), &shift(0.5, 0.0), 5, 1, Outside::Black);
        let levels: Vec<[u8; 3]> = warped.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(levels, [[0, 0, 100], [5, 0, 200], [15, 0, 200], [25, 0, 200], [15, 0, 100]]);
        let warped = warp(&gradient(4, 4), &shift(0.5, 0.0), 5, 1, Outside::Edge);
        let levels: Vec<[u8; 3]> = warped.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(levels, [[0, 0, 200], [5, 0, 200], [15, 0, 200], [25, 0, 200], [30, 0, 200]]);
    }

    #[test]
    fn far_away_is_black_or_the_edge() {
        let picture = gradient(4, 4);
        let black = warp(&picture, &shift(1e18, 0.0), 2, 2, Outside::Black);
        assert!(black.pixels().all(|pixel| *pixel == Rgb([0; 3])));
        let edge = warp(&picture, &shift(1e18, 1e18), 2, 2, Outside::Edge);
        assert!(edge.pixels().all(|pixel| *pixel == picture[(0, 0)]));
    }

    #[test]
    fn averaging_keeps_the_mean() {
        let picture = RgbImage::from_fn(24, 24, |x, y| Rgb([(x * y % 256) as u8, (x * 9) as u8, (y * 9) as u8]));
        let mean = |picture: &RgbImage, channel: usize| {
            let levels = picture.pixels().map(|pixel| f64::from(pixel[channel]));
            levels.sum::<f64>() / f64::from(picture.width() * picture.height())
        };
        for side in [3, 5, 12, 23] {
            let smaller = Similarity::IDENTITY.resized(f64::from(side) / 24.0);
            let small = warp_averaged(&picture, &smaller, side, side, Outside::Edge);
            for channel in 0..3 {
                let off = mean(&small, channel) - mean(&picture, channel);
                assert!(off.abs() < 1.0, "{side}: {off}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_transform_gives_the_size(
            a: f64, b: f64, tx: f64, ty: f64, width in 0..9_u32, height in 0..9_u32, from_width in 0..4_u32,
        ) {
            let transform = Similarity { a, b, tx, ty };
            for outside in [Outside::Black, Outside::Edge] {
                let warped = warp(&gradient(from_width, 3), &transform, width, height, outside);
                prop_assert_eq!(warped.dimensions(), (width, height));
            }
        }
    }
}
