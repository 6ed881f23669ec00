//! Lines as a pencil would draw them.

use super::blur::rows_to_columns;
use crate::raster::Rgb;
use crate::raster::noise::step;

/// For each pixel, 1 where it is much darker than its surroundings, whatever their own brightness, and 0 elsewhere.
pub(super) fn lines(colours: &[Rgb], side: usize) -> Vec<f32> {
    let grey: Vec<Rgb> = colours.iter().map(|colour| Rgb([colour.luma(); 3])).collect();
    // As wide in a large picture as in a small one.
    let reach = (side / 42).max(1);
    let (mut turned, mut around) = (grey.clone(), grey.clone());
    rows_to_columns(&grey, &mut turned, side, reach);
    rows_to_columns(&turned, &mut around, side, reach);
    let ratio = |(here, around): (&Rgb, &Rgb)| (here.0[0] + 0.04) / (around.0[0] + 0.04);
    grey.iter().zip(&around).map(|pair| step(0.97, 0.62, ratio(pair))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_stroke_is_a_line_on_any_ground_and_an_even_ground_has_none() {
        for ground in [0.2, 0.9] {
            let side = 42;
            let mut colours = vec![Rgb([ground; 3]); side * side];
            assert!(lines(&colours, side).iter().all(|&line| line == 0.0));
            for row in colours.chunks_mut(side) {
                row[20] = Rgb([0.4 * ground; 3]);
            }
            let lines = lines(&colours, side);
            assert!(lines[20 * side + 20] > 0.8, "{}", lines[20 * side + 20]);
            assert_eq!(lines[20 * side + 30], 0.0);
        }
    }
}
