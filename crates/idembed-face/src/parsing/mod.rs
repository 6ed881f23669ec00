//! Telling the parts of a face apart, pixel by pixel.
//!
//! [`BiSeNet`] gives each pixel of a picture the number of a [`Part`]; [`parts_mask`] turns the numbers into a mask of
//! the parts that are wanted, which [`Parts`] reads from a list such as `skin,brows,eyes`.

mod bisenet;
mod blocks;
mod context;
mod part;
mod resnet;

use image::{GrayImage, Luma};
use ndarray::Array2;

pub use bisenet::BiSeNet;
pub use part::{Part, Parts, PartsError};

/// 255 where the pixel belongs to one of `parts`, 0 elsewhere.
///
/// # Shapes
/// - `classes`: `[height, width]`, as [`BiSeNet::parse`] returns it; a number that is no part's counts as none of them
/// - returns: a picture of `width` x `height`
pub fn parts_mask(classes: &Array2<u8>, parts: &[Part]) -> GrayImage {
    let (height, width) = classes.dim();
    let wanted = |class: u8| parts.iter().any(|part| part.class() == class);
    GrayImage::from_fn(width as u32, height as u32, |x, y| {
        Luma([if wanted(classes[[y as usize, x as usize]]) { 255 } else { 0 }])
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_mask_is_white_where_a_wanted_part_is() {
        let classes = array![[0, 1, 4], [17, 5, 200]];
        let mask = parts_mask(&classes, &[Part::Skin, Part::LeftEye, Part::RightEye]);
        assert_eq!(mask.dimensions(), (3, 2));
        assert_eq!(mask.into_raw(), [0, 255, 255, 0, 255, 0]);
    }

    #[test]
    fn nothing_is_wanted_or_nothing_is_there() {
        assert_eq!(parts_mask(&array![[0, 1], [2, 3]], &[]).into_raw(), [0; 4]);
        assert_eq!(parts_mask(&Array2::zeros((0, 5)), &Parts::default()).dimensions(), (5, 0));
    }

    #[test]
    fn the_default_is_the_face_without_what_surrounds_it() {
        let every_class = Array2::from_shape_fn((1, Part::ALL.len()), |(_, class)| class as u8);
        let mask = parts_mask(&every_class, &Parts::default());
        let white: Vec<usize> = (0..Part::ALL.len()).filter(|&class| mask[(class as u32, 0)].0 == [255]).collect();
        assert_eq!(white, [1, 2, 3, 4, 5, 6, 10, 11, 12, 13]);
    }
}
