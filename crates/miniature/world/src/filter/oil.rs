//! Oil on canvas: the Kuwahara filter (Kuwahara et al. 1976), which gathers pixels into strokes, and raised paint.

use crate::raster::noise::plane;
use crate::raster::{Canvas, Rgb};

/// Sums of the colours and the squared brightness over the rectangle from the origin to each pixel; in f64, as large
/// sums are subtracted from each other.
struct Sums {
    side: usize,
    table: Vec<[f64; 4]>,
}

impl Sums {
    fn of(colours: &[Rgb], side: usize) -> Sums {
        let width = side + 1;
        let mut table = vec![[0.0; 4]; width * width];
        for y in 0..side {
            let mut row = [0.0_f64; 4];
            for x in 0..side {
                let colour = colours[y * side + x];
                let [red, green, blue] = colour.0;
                let luma = colour.luma();
                for (sum, value) in row.iter_mut().zip([red, green, blue, luma * luma]) {
                    *sum += f64::from(value);
                }
                let above = table[y * width + x + 1];
                table[(y + 1) * width + x + 1] = std::array::from_fn(|part| above[part] + row[part]);
            }
        }
        Sums { side, table }
    }

    /// Mean colour and variance of the brightness in a window cut to the picture.
    fn window(&self, left: isize, top: isize, size: isize) -> (Rgb, f32) {
        let clip = |place: isize| place.clamp(0, self.side as isize) as usize;
        let (x0, y0, x1, y1) = (clip(left), clip(top), clip(left + size), clip(top + size));
        let width = self.side + 1;
        let corner = |x: usize, y: usize| self.table[y * width + x];
        let (a, b, c, d) = (corner(x0, y0), corner(x1, y0), corner(x0, y1), corner(x1, y1));
        let scale = 1.0 / ((x1 - x0) * (y1 - y0)).max(1) as f64;
        let [red, green, blue, square] =
            std::array::from_fn(|part| ((d[part] - b[part] - c[part] + a[part]) * scale) as f32);
        let mean = Rgb([red, green, blue]);
        let luma = mean.luma();
        (mean, square - luma * luma)
    }
}

/// Each pixel becomes the mean of the calmest of the four windows around it.
pub(super) fn apply(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let colours = canvas.colours();
    let sums = Sums::of(&colours, side);
    let radius = (side / 56).max(1) as isize;
    let size = radius + 1;
    let unit = 1.0 / side as f32;
    let colours: Vec<Rgb> = (0..side * side)
        .map(|index| {
            let (x, y) = ((index % side) as isize, (index / side) as isize);
            let windows = [(x - radius, y - radius), (x, y - radius), (x - radius, y), (x, y)];
            let mut calmest = sums.window(windows[0].0, windows[0].1, size);
            for (left, top) in &windows[1..] {
                let window = sums.window(*left, *top, size);
                if window.1 < calmest.1 {
                    calmest = window;
                }
            }
            let (u, v) = (x as f32 * unit, y as f32 * unit);
            let bristles = plane(12, 26.0 * u + 20.0 * v, 64.0 * v - 30.0 * u);
            // A finer brush goes over it, or small faces would lose their eyes.
            let colour = calmest.0.mix(colours[index], 0.4).saturated(1.3).times(Rgb([1.04, 0.99, 0.9]));
            colour.lit(0.9 + 0.22 * bristles)
        })
        .collect();
    canvas.set_colours(&colours);
}
