//! Cutting a part out of a picture and bringing it to a model's size.

use std::fmt;
use std::str::FromStr;

use image::imageops::{self, FilterType};
use image::{GenericImageView, RgbImage};

/// A part of a picture, in pixels from its upper left corner.
///
/// Written `X,Y,W,H`, as in `120,40,256,256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropRect {
    /// Distance of the left edge.
    pub x: u32,
    /// Distance of the upper edge.
    pub y: u32,
    /// Width; at least 1 in a usable rectangle.
    pub width: u32,
    /// Height; at least 1 in a usable rectangle.
    pub height: u32,
}

/// What can be wrong with a rectangle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CropError {
    /// The text is not four numbers.
    #[error("`{text}` is not a rectangle; expected X,Y,W,H in whole pixels, such as 120,40,256,256")]
    Syntax {
        /// The text.
        text: String,
    },
    /// Nothing would be left, or nothing was asked for.
    #[error("a rectangle of {width} x {height} pixels holds no picture")]
    Empty {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The rectangle reaches over the picture's edge.
    #[error("the rectangle {rect} reaches outside the picture, which is {width} x {height} pixels")]
    Outside {
        /// The rectangle.
        rect: CropRect,
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
    },
}

impl CropRect {
    /// The largest square in the middle of a picture of this size.
    pub fn centre_square(width: u32, height: u32) -> CropRect {
        CropRect { x: 0, y: 0, width, height }.narrowed_to(1, 1)
    }

    /// The largest part, around the same centre, with the aspect ratio of `width` x `height` (both above 0).
    pub fn narrowed_to(self, width: u32, height: u32) -> CropRect {
        let (own_width, own_height) = (u64::from(self.width), u64::from(self.height));
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        if own_width * height > own_height * width {
            let narrowed = ratio(own_height * width, height).clamp(1, self.width.max(1));
            CropRect { x: self.x.saturating_add((self.width - narrowed) / 2), width: narrowed, ..self }
        } else {
            let narrowed = ratio(own_width * height, width).clamp(1, self.height.max(1));
            CropRect { y: self.y.saturating_add((self.height - narrowed) / 2), height: narrowed, ..self }
        }
    }

    /// Whether bringing this part to `width` x `height` would have to invent pixels.
    pub fn is_smaller_than(self, width: u32, height: u32) -> bool {
        self.width < width || self.height < height
    }

    /// Checks that the rectangle lies in a picture of this size.
    ///
    /// # Errors
    /// [`CropError::Empty`] or [`CropError::Outside`].
    pub fn check(self, width: u32, height: u32) -> Result<(), CropError> {
        if self.width == 0 || self.height == 0 {
            return Err(CropError::Empty { width: self.width, height: self.height });
        }
        let inside = |start: u32, length: u32, whole: u32| u64::from(start) + u64::from(length) <= u64::from(whole);
        if inside(self.x, self.width, width) && inside(self.y, self.height, height) {
            Ok(())
        } else {
            Err(CropError::Outside { rect: self, width, height })
        }
    }
}

/// `numerator / denominator`, rounded; callers clamp what does not fit.
fn ratio(numerator: u64, denominator: u64) -> u32 {
    u32::try_from((numerator + denominator / 2) / denominator).unwrap_or(u32::MAX)
}

impl fmt::Display for CropRect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

impl FromStr for CropRect {
    type Err = CropError;

    fn from_str(text: &str) -> Result<CropRect, CropError> {
        let numbers: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        match numbers.as_deref() {
            Ok([_, _, width, height]) if *width == 0 || *height == 0 => {
                Err(CropError::Empty { width: *width, height: *height })
            }
            Ok(&[x, y, width, height]) => Ok(CropRect { x, y, width, height }),
            _ => Err(CropError::Syntax { text: text.to_owned() }),
        }
    }
}

/// Cuts `rect` out of `picture` and scales it to `width` x `height`.
///
/// Nothing is stretched: a rectangle of another shape is first narrowed around its centre. Scaling is Lanczos with a
/// window of three, widened when scaling down so that every pixel of the part counts.
///
/// # Errors
/// A [`CropError`] if the rectangle is not inside the picture, or the wanted size is empty.
pub fn crop_and_resize(picture: &RgbImage, rect: CropRect, width: u32, height: u32) -> Result<RgbImage, CropError> {
    rect.check(picture.width(), picture.height())?;
    if width == 0 || height == 0 {
        return Err(CropError::Empty { width, height });
    }
    let CropRect { x, y, width: part_width, height: part_height } = rect.narrowed_to(width, height);
    let part = picture.view(x, y, part_width, part_height);
    if (part_width, part_height) == (width, height) {
        return Ok(part.to_image());
    }
    Ok(imageops::resize(&*part, width, height, FilterType::Lanczos3))
}

/// The picture as seen in a mirror: left and right change places.
pub fn mirror(picture: &RgbImage) -> RgbImage {
    imageops::flip_horizontal(picture)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rectangle_is_four_numbers() {
        let rect = CropRect { x: 1, y: 2, width: 30, height: 40 };
        assert_eq!("1,2,30,40".parse(), Ok(rect));
        assert_eq!(" 1, 2, 30 ,40".parse(), Ok(rect));
        for text in ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "-1,2,3,4", "1.5,2,3,4", "1,2,3,99999999999", "1;2;3;4"] {
            assert_eq!(text.parse::<CropRect>(), Err(CropError::Syntax { text: text.to_owned() }), "{text}");
        }
        assert_eq!("1,2,0,4".parse::<CropRect>(), Err(CropError::Empty { width: 0, height: 4 }));
    }

    #[test]
    fn a_rectangle_outside_is_named_with_the_size() {
        let picture = RgbImage::new(100, 50);
        let error = crop_and_resize(&picture, CropRect { x: 90, y: 0, width: 11, height: 5 }, 8, 8).unwrap_err();
        assert_eq!(error.to_string(), "the rectangle 90,0,11,5 reaches outside the picture, which is 100 x 50 pixels");
        let huge = CropRect { x: u32::MAX, y: 0, width: u32::MAX, height: 1 };
        assert!(huge.check(100, 50).is_err());
        assert!(crop_and_resize(&picture, CropRect::centre_square(100, 50), 0, 8).is_err());
    }

    #[test]
    fn scaling_down_weighs_every_pixel() {
        let chessboard = RgbImage::from_fn(256, 256, |x, y| Rgb([if (x + y) % 2 == 0 { 0 } else { 255 }; 3]));
        let small = crop_and_resize(&chessboard, CropRect::centre_square(256, 256), 16, 16).unwrap();
        assert!(small.pixels().all(|pixel| (126..=129).contains(&pixel[0])), "not grey: {small:?}");
    }

    #[test]
    fn another_shape_is_not_stretched() {
        // Left and right thirds are red; the square in the middle is blue.
        let picture =
            RgbImage::from_fn(96, 32, |x, _| if (32..64).contains(&x) { Rgb([0, 0, 255]) } else { Rgb([255, 0, 0]) });
        let whole = CropRect { x: 0, y: 0, width: 96, height: 32 };
        let square = crop_and_resize(&picture, whole, 32, 32).unwrap();
        assert!(square.pixels().all(|pixel| *pixel == Rgb([0, 0, 255])));
    }

    #[test]
    fn a_mirror_swaps_left_and_right() {
        let picture = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, y as u8, 0]));
        let mirrored = mirror(&picture);
        assert_eq!(mirrored[(0, 1)], Rgb([2, 1, 0]));
        assert_eq!(mirror(&mirrored), picture);
    }

    fn rect_inside(size: u32) -> impl Strategy<Value = (u32, u32, CropRect)> {
        (1..=size, 1..=size).prop_flat_map(|(width, height)| {
            (0..width, 0..height).prop_flat_map(move |(x, y)| {
                (1..=width - x, 1..=height - y)
                    .prop_map(move |(w, h)| (width, height, CropRect { x, y, width: w, height: h }))
            })
        })
    }

    proptest! {
        #[test]
        fn the_centre_square_lies_inside(width in 1..20_000_u32, height in 1..20_000_u32) {
            let square = CropRect::centre_square(width, height);
            prop_assert_eq!(square.width, square.height);
            prop_assert_eq!(square.width, width.min(height));
            prop_assert!(square.check(width, height).is_ok());
            let right = width - square.width - square.x;
            let below = height - square.height - square.y;
            prop_assert!(right.abs_diff(square.x) <= 1 && below.abs_diff(square.y) <= 1);
        }

        #[test]
        fn narrowing_stays_inside_and_keeps_the_aspect(
            (_, _, rect) in rect_inside(10_000), width in 1..3000_u32, height in 1..3000_u32,
        ) {
            let narrowed = rect.narrowed_to(width, height);
            prop_assert!(narrowed.x >= rect.x && narrowed.x + narrowed.width <= rect.x + rect.width);
            prop_assert!(narrowed.y >= rect.y && narrowed.y + narrowed.height <= rect.y + rect.height);
            prop_assert!(narrowed.width == rect.width || narrowed.height == rect.height);
            // Within half a pixel of the wanted aspect, unless a side would fall below one pixel.
            let difference = f64::from(narrowed.width) - f64::from(narrowed.height) * f64::from(width) / f64::from(height);
            let one_pixel = (f64::from(width) / f64::from(height)).max(1.0);
            prop_assert!(difference.abs() <= 0.5 * one_pixel + 1e-6 || narrowed.width == 1 || narrowed.height == 1);
        }

        #[test]
        fn a_rectangle_is_read_as_it_is_written((_, _, rect) in rect_inside(20_000)) {
            prop_assert_eq!(rect.to_string().parse::<CropRect>(), Ok(rect));
        }

        #[test]
        fn a_crop_inside_always_gives_the_size(
            (width, height, rect) in rect_inside(40), to_width in 1..24_u32, to_height in 1..24_u32,
        ) {
            let picture = RgbImage::from_pixel(width, height, Rgb([10, 200, 90]));
            let cropped = crop_and_resize(&picture, rect, to_width, to_height).unwrap();
            prop_assert_eq!(cropped.dimensions(), (to_width, to_height));
            prop_assert!(cropped.pixels().all(|pixel| *pixel == Rgb([10, 200, 90])));
        }

        #[test]
        fn any_rectangle_is_cut_or_refused(x: u32, y: u32, width: u32, height: u32) {
            let picture = RgbImage::new(50, 60);
            let rect = CropRect { x, y, width, height };
            prop_assert_eq!(crop_and_resize(&picture, rect, 8, 8).is_ok(), rect.check(50, 60).is_ok());
            rect.narrowed_to(width, height);
        }
    }
}
