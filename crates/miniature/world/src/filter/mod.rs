//! What turns a drawn picture into a photo, a sketch, a painting, a print or a screen of few pixels.

mod blur;
mod line;
mod oil;
mod sketch;

use crate::factors::{Light, Style};
use crate::raster::noise::{mix, step};
use crate::raster::{Canvas, Rgb};

pub(crate) use blur::blur;

/// Gives a finished canvas the look of a style.
pub(crate) fn apply(canvas: &mut Canvas, style: Style, light: Light) {
    match style {
        Style::Photo => expose(canvas, light),
        Style::BlackAndWhite => {
            expose(canvas, light);
            canvas.recolour(|_, _, colour| {
                // Shadows lifted as a printer would, so that dark skin keeps its drawing.
                let grey = colour.luma().clamp(0.0, 1.0);
                let lifted = mix(grey, grey.sqrt(), 0.5);
                Rgb([mix(lifted, step(0.0, 1.0, lifted), 0.6); 3])
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

/// Few flat, loud tones with ink outlines, and dots in the half tones.
fn pop_art(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let lines = line::lines(&canvas.colours(), side);
    canvas.recolour(|x, y, colour| {
        let line = lines[(y * side as f32) as usize * side + (x * side as f32) as usize];
        let grey = colour.luma().max(0.02);
        let tone = ((grey * 4.0 + 0.25).round() / 4.0).clamp(0.12, 1.0);
        let flat = colour.lit(tone / grey).saturated(1.9);
        // A grid of dots turned by 45 degrees in the middle tones.
        let (u, v) = ((x + y) * 22.6, (x - y) * 22.6);
        let (du, dv) = (u - u.floor() - 0.5, v - v.floor() - 0.5);
        let dot = step(0.36, 0.26, (du * du + dv * dv).sqrt()) * step(0.3, 0.4, tone) * step(0.8, 0.7, tone);
        flat.mix(Rgb::hex(0xe6127a), 0.22 * dot).mix(Rgb::hex(0x140c24), line)
    });
}

/// Large square pixels in few colours.
fn pixel_art(canvas: &mut Canvas) {
    let side = canvas.side() as usize;
    let cell = (side / 42).max(1);
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
