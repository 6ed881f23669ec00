//! Pencil on paper.

use crate::raster::noise::{cloud, plane, step};
use crate::raster::{Canvas, Rgb};

/// Dark lines where brightness changes, hatching where it is dark.
pub(super) fn apply(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let grey: Vec<f32> = canvas.colours().iter().map(|colour| colour.luma()).collect();
    let at = |x: usize, y: usize| grey[y.min(side - 1) * side + x.min(side - 1)];
    let unit = 1.0 / side as f32;
    // A line is as wide as a pixel of the usual size, however large the picture is.
    let reach = (side / 128).max(1);
    let mut lines = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let (left, up) = (x.saturating_sub(reach), y.saturating_sub(reach));
            let across = at(x + reach, y) - at(left, y);
            let down = at(x, y + reach) - at(x, up);
            lines.push((across * across + down * down).sqrt());
        }
    }
    let colours: Vec<Rgb> = (0..side * side)
        .map(|index| {
            let (x, y) = ((index % side) as f32 * unit, (index / side) as f32 * unit);
            let stroke = plane(3, 70.0 * (x + y), 9.0 * (x - y));
            let tone = grey[index];
            let hatch = step(0.62, 0.1, tone) * (0.3 + 0.5 * step(0.35, 0.65, stroke)) + 0.16 * step(0.9, 0.5, tone);
            let line = step(0.06, 0.26, lines[index]);
            let paper = 0.97 - 0.05 * cloud(6, 30.0 * x, 30.0 * y);
            let ink = (0.9 * line).max(0.62 * hatch);
            Rgb([paper, 0.985 * paper, 0.95 * paper]).mix(Rgb::hex(0x26262a), ink)
        })
        .collect();
    canvas.set_colours(&colours);
}
