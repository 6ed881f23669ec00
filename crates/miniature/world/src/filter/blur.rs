//! Softness: a box blur passed twice, close to a Gaussian.

use crate::raster::{Canvas, Rgb};

/// Blurs the colours of a canvas. `radius` is in pixels; nothing happens below 1.
pub(crate) fn blur(canvas: &mut Canvas, radius: usize) {
    if radius == 0 {
        return;
    }
    let side = canvas.side() as usize;
    let mut colours = canvas.colours();
    let mut other = colours.clone();
    for _ in 0..2 {
        // Each pass also swaps rows and columns, so that two of them restore the order.
        rows_to_columns(&colours, &mut other, side, radius);
        rows_to_columns(&other, &mut colours, side, radius);
    }
    canvas.set_colours(&colours);
}

/// Running means along the rows of `from`, stored as the columns of `to`. Rows go on with their end pixels.
pub(super) fn rows_to_columns(from: &[Rgb], to: &mut [Rgb], side: usize, radius: usize) {
    let scale = 1.0 / (2 * radius + 1) as f32;
    let last = side - 1;
    for (y, row) in from.chunks_exact(side).enumerate() {
        let mut sum = [0.0; 3];
        let add = |sum: &mut [f32; 3], x: usize, sign: f32| {
            for (sum, value) in sum.iter_mut().zip(row[x.min(last)].0) {
                *sum += sign * value;
            }
        };
        for offset in 0..=2 * radius {
            add(&mut sum, offset.saturating_sub(radius), 1.0);
        }
        for x in 0..side {
            to[x * side + y] = Rgb(sum.map(|value| value * scale));
            add(&mut sum, x + radius + 1, 1.0);
            add(&mut sum, x.saturating_sub(radius), -1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_spreads_and_keeps_its_sum() {
        let side = 9;
        let mut colours = vec![Rgb::BLACK; side * side];
        colours[4 * side + 4] = Rgb::WHITE;
        let (mut once, mut twice) = (colours.clone(), colours.clone());
        rows_to_columns(&colours, &mut once, side, 1);
        rows_to_columns(&once, &mut twice, side, 1);
        let sum: f32 = twice.iter().map(|colour| colour.0[0]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!((twice[3 * side + 5].0[0] - 1.0 / 9.0).abs() < 1e-6);
        assert!(twice[4 * side + 6].0[0].abs() < 1e-6);
    }

    #[test]
    fn an_even_picture_stays_even() {
        let colours = vec![Rgb([0.3, 0.5, 0.7]); 25];
        let mut other = colours.clone();
        rows_to_columns(&colours, &mut other, 5, 3);
        assert!(
            other
                .iter()
                .flat_map(|colour| colour.0)
                .zip([0.3, 0.5, 0.7].into_iter().cycle())
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
    }
}
