//! What turns a drawn picture into a photo, a sketch, a painting, a print or a screen of few pixels.

mod blur;
mod oil;
mod sketch;

use crate::factors::{Light, Style};
use crate::raster::noise::step;
use crate::raster::{Canvas, Rgb};

pub(crate) use blur::blur;

/// Gives a finished canvas the look of a style.
pub(crate) fn apply(canvas: &mut Canvas, style: Style, light: Light) {
    match style {
        Style::Photo => expose(canvas, light),
        Style::BlackAndWhite => {
            expose(canvas, light);
            canvas.recolour(|_, _, colour| {
                let grey = colour.luma();
                Rgb([0.35 * step(0.0, 1.0, grey) + 0.65 * grey; 3])
            });
        }
        Style::Sketch => sketch::apply(canvas),
        Style::OilPainting => oil::apply(canvas),
        Style::PopArt => pop_art(canvas),
        Style::PixelArt => pixel_art(canvas),
    }
}

/// The tint and strength of the light.
fn expose(canvas: &mut Canvas, light: Light) {
    let tint = Rgb([1.0 + 0.05 * light.warmth, 1.0, 1.0 - 0.07 * light.warmth]).lit(light.exposure);
    canvas.recolour(|_, _, colour| colour.times(tint));
}

/// Few flat, loud colours, and dots in the half tones.
fn pop_art(canvas: &mut Canvas) {
    canvas.recolour(|x, y, colour| {
        let loud = colour.saturated(1.9);
        let flat = Rgb(loud.0.map(|value| ((value.clamp(0.0, 1.0) * 3.0).round() / 3.0).clamp(0.05, 1.0)));
        let grey = colour.luma();
        // A grid of dots turned by 45 degrees, the larger the darker the picture.
        let (u, v) = ((x + y) * 22.6, (x - y) * 22.6);
        let (du, dv) = (u - u.floor() - 0.5, v - v.floor() - 0.5);
        let dot = step(0.06, 0.0, (du * du + dv * dv).sqrt() - 0.42 * (0.75 - grey).max(0.0));
        let toned = flat.mix(Rgb::hex(0xe6127a), 0.4 * dot * step(0.15, 0.3, grey));
        if grey < 0.16 { Rgb::hex(0x140c24) } else { toned }
    });
}

/// Large square pixels in few colours.
fn pixel_art(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let cell = (side / 36).max(1);
    let mut colours = canvas.colours();
    for top in (0..side).step_by(cell) {
        for left in (0..side).step_by(cell) {
            let (right, bottom) = ((left + cell).min(side), (top + cell).min(side));
            let mut sum = [0.0; 3];
            for y in top..bottom {
                for colour in &colours[y * side + left..y * side + right] {
                    for (sum, value) in sum.iter_mut().zip(colour.0) {
                        *sum += value;
                    }
                }
            }
            let mean = Rgb(sum).lit(1.0 / ((right - left) * (bottom - top)) as f32).saturated(1.25);
            let flat = Rgb(mean.0.map(|value| (value.clamp(0.0, 1.0) * 7.0).round() / 7.0));
            for y in top..bottom {
                colours[y * side + left..y * side + right].fill(flat);
            }
        }
    }
    canvas.set_colours(&colours);
}
