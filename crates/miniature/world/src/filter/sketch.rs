//! Pencil on paper.

use super::line::lines;
use crate::raster::noise::{cloud, plane, step};
use crate::raster::{Canvas, Rgb};

/// Lines, and a little hatching in the dark.
pub(super) fn apply(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let lines = lines(&canvas.colours(), side);
    canvas.recolour(|x, y, colour| {
        let line = lines[(y * side as f32) as usize * side + (x * side as f32) as usize];
        let strokes = step(0.3, 0.7, plane(3, 100.0 * (x + y), 14.0 * (x - y)));
        let hatch = step(0.7, 0.0, colour.luma()) * (0.14 + 0.32 * strokes);
        let paper = 0.97 - 0.05 * cloud(6, 30.0 * x, 30.0 * y);
        let ink = 1.0 - (1.0 - 0.95 * line) * (1.0 - hatch);
        Rgb([paper, 0.985 * paper, 0.95 * paper]).mix(Rgb::hex(0x232328), ink)
    });
}
