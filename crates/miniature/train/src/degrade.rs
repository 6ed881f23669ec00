//! What pictures lose on their way through an autoencoder, so that networks that judge them are used to it.

use image::RgbImage;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// The most that noise moves a value, in grey levels.
const NOISE: f32 = 14.0;
/// The most that all values of a colour are scaled by, up or down.
const TINT: f32 = 0.06;

/// Blurs two of three pictures by up to about a pixel, tints a little, and adds noise to every second one.
pub(crate) fn degrade(picture: &mut RgbImage, chance: &mut ChaCha8Rng) {
    for _ in 0..chance.random_range(0..3) {
        blur(picture, chance.random_range(0.0..0.33));
    }
    let gains: [f32; 3] = std::array::from_fn(|_| 1.0 + chance.random_range(-TINT..TINT));
    let noise = if chance.random() { chance.random_range(0.0..NOISE) } else { 0.0 };
    // One draw of 32 bits serves the three colours of a pixel.
    for pixel in picture.pixels_mut() {
        let bits = if noise > 0.0 { chance.random::<u32>() } else { 0 };
        for (channel, gain) in gains.iter().enumerate() {
            let even = (bits >> (10 * channel) & 1023) as f32 / 511.5 - 1.0;
            let value = f32::from(pixel.0[channel]) * gain + noise * even;
            // A cast from floats clamps to 0..255.
            pixel.0[channel] = value.round() as u8;
        }
    }
}

/// Mixes each pixel with its neighbours, along rows and then along columns: weights `side`, `1 - 2 side`, `side`.
fn blur(picture: &mut RgbImage, side: f32) {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (pixel, row) = (3, 3 * width);
    let values: &mut [u8] = picture;
    for y in 0..height {
        (0..3).for_each(|channel| blur_line(values, y * row + channel, pixel, width, side));
    }
    (0..row).for_each(|start| blur_line(values, start, row, height, side));
}

/// The same along one line of values, each `step` after the one before.
fn blur_line(values: &mut [u8], start: usize, step: usize, length: usize, side: f32) {
    let mut before = values[start];
    for place in 0..length {
        let here = values[start + step * place];
        let after = values[start + step * (place + 1).min(length - 1)];
        let around = f32::from(before) + f32::from(after);
        let mixed = f32::from(here) + side * (around - 2.0 * f32::from(here));
        values[start + step * place] = mixed.round() as u8;
        before = here;
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_dot_spreads_to_its_neighbours_and_keeps_its_sum() {
        let mut picture = RgbImage::new(5, 7);
        picture.put_pixel(1, 3, Rgb([160, 0, 80]));
        blur(&mut picture, 0.25);
        let red = |x, y| picture.get_pixel(x, y).0[0];
        assert_eq!([red(1, 3), red(0, 3), red(1, 2), red(2, 4), red(3, 3), red(1, 1)], [40, 20, 20, 10, 0, 0]);
        assert_eq!(picture.pixels().map(|pixel| u32::from(pixel.0[0])).sum::<u32>(), 160);
    }

    #[test]
    fn it_stays_near_the_picture_and_is_the_same_each_time() {
        let flat = RgbImage::from_pixel(16, 16, Rgb([200, 100, 250]));
        let changed = |seed| {
            let mut picture = flat.clone();
            degrade(&mut picture, &mut ChaCha8Rng::seed_from_u64(seed));
            picture
        };
        let far = |picture: &RgbImage| flat.iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!((0..100).all(|seed| far(&changed(seed)) <= Some((TINT * 250.0 + NOISE + 1.0) as u8)));
        assert_eq!(changed(7), changed(7));
        assert_ne!(changed(7), changed(8));
    }
}
