//! A picture without its face.

use image::{GrayImage, Rgb, RgbImage};

/// The picture with the mean colour of what lies outside the mask laid over what lies inside it.
///
/// The mask is white inside, 0 to 255, and may be soft. Where it covers the whole picture, its mean colour is that of the
/// whole. A mask of another size is an empty one beyond its edge.
pub fn without_face(picture: &RgbImage, mask: &GrayImage) -> RgbImage {
    let share = |x: u32, y: u32| mask.get_pixel_checked(x, y).map_or(0.0, |pixel| f64::from(pixel[0]) / 255.0);
    let outside = |x: u32, y: u32| 1.0 - share(x, y);
    let colour = mean(picture, outside).or_else(|| mean(picture, |_, _| 1.0)).unwrap_or_default();
    let mut filled = picture.clone();
    for (x, y, Rgb(pixel)) in filled.enumerate_pixels_mut() {
        let share = share(x, y);
        for (value, mean) in pixel.iter_mut().zip(colour) {
            *value = (f64::from(*value) * (1.0 - share) + mean * share).round() as u8;
        }
    }
    filled
}

/// The mean colour of a picture whose pixels count by a weight; `None` if nothing counts.
fn mean(picture: &RgbImage, weight: impl Fn(u32, u32) -> f64) -> Option<[f64; 3]> {
    let (mut sum, mut total) = ([0.0; 3], 0.0);
    for (x, y, Rgb(pixel)) in picture.enumerate_pixels() {
        let weight = weight(x, y);
        total += weight;
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    (total > 0.0).then(|| sum.map(|sum| sum / total))
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    /// Left half red, right half blue with a green pixel.
    fn picture() -> RgbImage {
        let mut picture = RgbImage::from_fn(4, 3, |x, _| Rgb(if x < 2 { [200, 0, 0] } else { [0, 0, 100] }));
        picture.put_pixel(0, 0, Rgb([0, 255, 0]));
        picture
    }

    #[test]
    fn the_mean_outside_fills_the_inside() {
        let mask = GrayImage::from_fn(4, 3, |x, _| Luma([if x < 2 { 255 } else { 0 }]));
        assert_eq!(without_face(&picture(), &mask), RgbImage::from_pixel(4, 3, Rgb([0, 0, 100])));
        let one = GrayImage::from_fn(4, 3, |x, y| Luma([if (x, y) == (0, 0) { 255 } else { 0 }]));
        let mut expected = picture();
        // Five red and six blue pixels are left.
        expected.put_pixel(0, 0, Rgb([91, 0, 55]));
        assert_eq!(without_face(&picture(), &one), expected);
    }

    #[test]
    fn a_soft_mask_mixes_and_counts_in_part() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([if x == 0 { 200 } else { 0 }; 3]));
        let mask = GrayImage::from_fn(2, 1, |x, _| Luma([if x == 0 { 51 } else { 0 }]));
        // A fifth is masked: the mean is 0.8 * 200 / 1.8.
        assert_eq!(without_face(&picture, &mask).get_pixel(0, 0), &Rgb([178; 3]));
    }

    #[test]
    fn extreme_masks() {
        let full = without_face(&picture(), &GrayImage::from_pixel(4, 3, Luma([255])));
        assert!(full.pixels().all(|pixel| *pixel == Rgb([83, 21, 50])));
        assert_eq!(without_face(&picture(), &GrayImage::new(4, 3)), picture());
        assert_eq!(without_face(&picture(), &GrayImage::new(1, 1)), picture());
        assert_eq!(without_face(&RgbImage::new(0, 0), &GrayImage::new(1, 1)), RgbImage::new(0, 0));
    }
}
