//! Heat maps: an attention map in colour, alone or over a picture.

use image::RgbImage;
use tch::Tensor;

use crate::check;
use crate::error::{AttentionError, Result};
use crate::resize::to_picture_size;

/// Which map values become the two ends of the colours.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Scale {
    /// The smallest and the largest value of this map; [`HeatMap`] tells them.
    #[default]
    PerMap,
    /// Fixed values, so that several maps can be compared; values outside take the end colours.
    Fixed {
        /// The value of the darkest colour.
        low: f64,
        /// The value of the brightest colour.
        high: f64,
    },
}

/// A coloured map and what its colours mean.
#[derive(Debug)]
pub struct HeatMap {
    /// The colours.
    pub picture: RgbImage,
    /// The map value of the darkest colour.
    pub low: f64,
    /// The map value of the brightest colour.
    pub high: f64,
}

impl HeatMap {
    /// A map in colour, at its own size.
    ///
    /// # Shapes
    /// - `map`: `[height, width]`
    ///
    /// # Errors
    /// Another shape, NaN or infinity, a fixed scale without extent.
    pub fn new(map: &Tensor, scale: Scale) -> Result<HeatMap> {
        let map = check::map(map)?;
        let (low, high) = ends(&map, scale)?;
        let (height, width) = map.size2()?;
        let colours = colours(&map, low, high)?;
        Ok(HeatMap { picture: painted(&colours, width as u32, height as u32)?, low, high })
    }

    /// A map in colour over a picture: `opacity` x colour + (1 - `opacity`) x picture.
    ///
    /// The map is brought to the picture's size (bicubic) first; the scale is that of the enlarged map.
    ///
    /// # Shapes
    /// - `map`: `[height, width]`, any size
    ///
    /// # Errors
    /// A picture without pixels, a map of another shape, NaN or infinity, an opacity outside 0..=1.
    pub fn over(picture: &RgbImage, map: &Tensor, scale: Scale, opacity: f64) -> Result<HeatMap> {
        if !(0.0..=1.0).contains(&opacity) {
            return Err(AttentionError::Setting(format!("an opacity of {opacity} is not between 0 and 1")));
        }
        let (width, height) = picture.dimensions();
        let map = to_picture_size(map, i64::from(width), i64::from(height))?;
        let (low, high) = ends(&map, scale)?;
        let mut blended = colours(&map, low, high)?;
        for (colour, below) in blended.iter_mut().zip(picture.pixels()) {
            for (value, below) in colour.iter_mut().zip(below.0) {
                *value = opacity * *value + (1.0 - opacity) * f64::from(below) / 255.0;
            }
        }
        Ok(HeatMap { picture: painted(&blended, width, height)?, low, high })
    }
}

/// The inferno colour of a value, each channel in 0..=1; values outside 0..=1 take the end colours.
///
/// Perceptually uniform and readable without colour vision.
///
/// # Source
/// Matplotlib's inferno (Smith, van der Walt, Firing; CC0), as the sixth-degree polynomials that Matt Zucker fitted
/// (shadertoy.com/view/WlfXRN; CC0).
fn inferno(value: f64) -> [f64; 3] {
    /// Coefficients by rising power, of red, green and blue.
    const POLYNOMIALS: [[f64; 7]; 3] = [
        [0.000218940, 0.106513419, 11.602493082, -41.703996131, 77.162935699, -71.319428245, 25.131126225],
        [0.001651005, 0.563956437, -3.972853966, 17.436398882, -33.402358942, 32.626064264, -12.242668952],
        [-0.019480898, 3.932712389, -15.942394106, 44.354145199, -81.807309257, 73.209519858, -23.070325003],
    ];
    let t = value.clamp(0.0, 1.0);
    POLYNOMIALS.map(|powers| powers.iter().rev().fold(0.0, |sum, power| sum * t + power).clamp(0.0, 1.0))
}

/// The values at the two ends of the colours.
fn ends(map: &Tensor, scale: Scale) -> Result<(f64, f64)> {
    match scale {
        Scale::PerMap => Ok((map.f_min()?.f_double_value(&[])?, map.f_max()?.f_double_value(&[])?)),
        Scale::Fixed { low, high } if low < high && low.is_finite() && high.is_finite() => Ok((low, high)),
        Scale::Fixed { low, high } => {
            Err(AttentionError::Setting(format!("a colour scale from {low} to {high} has no extent")))
        }
    }
}

/// The colour of each pixel; a flat map takes the darkest.
fn colours(map: &Tensor, low: f64, high: f64) -> Result<Vec<[f64; 3]>> {
    let values = Vec::<f64>::try_from(map.f_flatten(0, -1)?)?;
    let extent = if high > low { high - low } else { 1.0 };
    Ok(values.iter().map(|value| inferno((value - low) / extent)).collect())
}

/// Colours in reading order as a picture.
fn painted(colours: &[[f64; 3]], width: u32, height: u32) -> Result<RgbImage> {
    let bytes = colours.iter().flatten().map(|value| (value * 255.0).round() as u8).collect();
    let short = || AttentionError::Setting("a map of so many pixels has no picture".to_owned());
    RgbImage::from_raw(width, height, bytes).ok_or_else(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Tensor {
        Tensor::from_slice(&[0.0f32, 0.02, 0.04, 0.06, 0.08, 0.1]).reshape([2, 3])
    }

    fn bytes(colour: [f64; 3]) -> image::Rgb<u8> {
        image::Rgb(colour.map(|value| (value * 255.0).round() as u8))
    }

    #[test]
    fn colours_are_near_the_published_table() {
        // Entries 0, 128 and 255 of matplotlib's table of 256.
        let table = [
            (0.0, [0.001462, 0.000466, 0.013866]),
            (128.0 / 255.0, [0.735683, 0.215906, 0.330245]),
            (1.0, [0.988362, 0.998364, 0.644924]),
        ];
        for (value, expected) in table {
            for (channel, expected) in inferno(value).iter().zip(expected) {
                assert!((channel - expected).abs() < 0.02, "{value}: {channel} is not near {expected}");
            }
        }
        assert_eq!(inferno(7.0), inferno(1.0));
    }

    #[test]
    fn the_scale_is_told() {
        let per_map = HeatMap::new(&ramp(), Scale::PerMap).unwrap();
        assert_eq!(per_map.picture.dimensions(), (3, 2));
        assert!(per_map.low == 0.0 && (per_map.high - 0.1).abs() < 1e-8);
        assert_eq!(*per_map.picture.get_pixel(2, 1), bytes(inferno(1.0)));

        let fixed = HeatMap::new(&ramp(), Scale::Fixed { low: 0.0, high: 0.2 }).unwrap();
        assert_eq!((fixed.low, fixed.high), (0.0, 0.2));
        assert_eq!(*fixed.picture.get_pixel(2, 1), bytes(inferno(0.5)));
    }

    #[test]
    fn a_flat_map_is_dark() {
        let flat = HeatMap::new(&(ramp() * 0.0 + 0.3), Scale::PerMap).unwrap();
        assert_eq!(*flat.picture.get_pixel(0, 0), bytes(inferno(0.0)));
    }

    #[test]
    fn opacity_blends() {
        let picture = RgbImage::from_vec(9, 5, (0..3 * 5 * 9).collect()).unwrap();
        assert_eq!(HeatMap::over(&picture, &ramp(), Scale::PerMap, 0.0).unwrap().picture, picture);
        let map = to_picture_size(&ramp(), 9, 5).unwrap();
        let covered = HeatMap::over(&picture, &ramp(), Scale::PerMap, 1.0).unwrap();
        assert_eq!(covered.picture, HeatMap::new(&map, Scale::PerMap).unwrap().picture);
    }

    #[test]
    fn bad_input_is_refused() {
        let picture = RgbImage::new(9, 5);
        assert!(HeatMap::over(&RgbImage::new(9, 0), &ramp(), Scale::PerMap, 0.5).is_err());
        for opacity in [-0.1, 1.1, f64::NAN] {
            assert!(HeatMap::over(&picture, &ramp(), Scale::PerMap, opacity).is_err());
        }
        assert!(HeatMap::new(&(ramp() * f64::NAN), Scale::PerMap).is_err());
        assert!(HeatMap::new(&ramp().unsqueeze(0), Scale::PerMap).is_err());
        for (low, high) in [(0.1, 0.1), (1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(HeatMap::new(&ramp(), Scale::Fixed { low, high }).is_err());
        }
    }
}
