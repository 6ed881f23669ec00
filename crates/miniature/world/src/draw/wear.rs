//! What is worn on the head: hat, cap, sunglasses.

use crate::factors::{Eyes, Headwear};
use crate::raster::noise::{mix, step};
use crate::raster::{Canvas, Region, Rgb, Shape};

use super::head::Head;

/// Draws what the person wears; `seed` chooses colours.
pub(super) fn draw(canvas: &mut Canvas, head: &Head, seed: u32) {
    if head.attributes.eyes == Eyes::Sunglasses {
        sunglasses(canvas, head);
    }
    match head.attributes.headwear {
        Headwear::None => {}
        Headwear::Hat => hat(canvas, head, [0x7a4f2c, 0xd9c08d, 0x3b3733][seed as usize % 3]),
        Headwear::Cap => cap(canvas, head, [0xc42a2e, 0x2a4fa8, 0x2c7d45][seed as usize % 3]),
    }
}

fn sunglasses(canvas: &mut Canvas, head: &Head) {
    let frame = Rgb::hex(0x15151a);
    let (eye_x, eye_y) = head.eye;
    for side in [-1.0, 1.0] {
        let bow = head.stroke(side, [(eye_x + 0.15, eye_y - 0.07, 0.05), (0.97 * head.width, eye_y - 0.05, 0.05)]);
        canvas.flat(&head.frame, &bow, head.body(), frame);
        let lens = head.parts(
            side,
            [
                (eye_x - 0.235, eye_y - 0.1),
                (eye_x, eye_y - 0.14),
                (eye_x + 0.25, eye_y - 0.12),
                (eye_x + 0.24, eye_y + 0.08),
                (eye_x + 0.06, eye_y + 0.17),
                (eye_x - 0.17, eye_y + 0.12),
            ],
        );
        let (x, y) = head.part(side * eye_x, eye_y);
        canvas.fill(&head.frame, &Shape::smooth(&lens), head.body(), |u, v| {
            let gleam = step(0.05, 0.0, ((u - x) + 0.8 * (v - y) + 0.1).abs());
            let sky = Rgb::hex(0x4a4a58).mix(Rgb::hex(0x101014), step(-0.14, 0.1, v - y));
            sky.mix(Rgb::WHITE, 0.3 * gleam)
        });
    }
    let bridge =
        head.stroke(1.0, [(-0.12, eye_y - 0.06, 0.035), (0.0, eye_y - 0.08, 0.035), (0.12, eye_y - 0.06, 0.035)]);
    canvas.flat(&head.frame, &bridge, head.body(), frame);
}

/// The shadow that headwear casts on the forehead.
fn shade(canvas: &mut Canvas, head: &Head, wide: f32, depth: f32) {
    let shape = Shape::polygon(&head.outline(-0.62));
    let dark = head.tones.skin.times(Rgb([0.36, 0.27, 0.25]));
    canvas.fill(&head.frame, &shape, Region::Unchanged, |x, y| {
        dark.veil(0.5 * step(depth, depth - 0.18, y - 0.06 * x * x) * step(wide, 0.7 * wide, x.abs()))
    });
}

fn hat(canvas: &mut Canvas, head: &Head, colour: u32) {
    shade(canvas, head, 1.0, -0.28);
    let felt = Rgb::hex(colour);
    let wide = head.width + 0.07;
    let lean = 0.14 * head.light.side;
    let crown = Shape::smooth(&[
        (-wide, -0.52),
        (-0.96 * wide, -0.95),
        (-0.8 * wide, -1.3),
        (-0.3 * wide, -1.37),
        (0.0, -1.31),
        (0.3 * wide, -1.37),
        (0.8 * wide, -1.3),
        (0.96 * wide, -0.95),
        (wide, -0.52),
        (0.0, -0.42),
    ]);
    canvas.fill(&head.frame, &crown, head.body(), |x, y| {
        let across = x / wide;
        let band = step(-0.84, -0.8, y - 0.06 * across * across);
        let dent = 0.25 * step(0.3, 0.0, across.abs()) * step(-1.05, -1.3, y);
        let lit = 1.02 + lean * across - 0.4 * across * across - dent;
        felt.mix(Rgb::hex(0x1d1718), 0.85 * band).lit(lit)
    });
    let rim = 1.62 * wide;
    let brim = Shape::smooth(&[
        (-rim, -0.64),
        (-0.75 * rim, -0.62),
        (0.0, -0.6),
        (0.75 * rim, -0.62),
        (rim, -0.64),
        (0.8 * rim, -0.47),
        (0.0, -0.38),
        (-0.8 * rim, -0.47),
    ]);
    canvas.fill(&head.frame, &brim, head.body(), |x, y| {
        let across = x / rim;
        felt.lit(1.12 + lean * across - 0.2 * across * across - 0.5 * step(-0.5, -0.38, y))
    });
}

fn cap(canvas: &mut Canvas, head: &Head, colour: u32) {
    shade(canvas, head, 0.9, -0.24);
    let cloth = Rgb::hex(colour);
    let wide = head.width + 0.05;
    let lean = 0.14 * head.light.side;
    let dome = Shape::smooth(&[
        (-wide, -0.42),
        (-0.98 * wide, -0.75),
        (-0.68 * wide, -1.06),
        (0.0, -1.17),
        (0.68 * wide, -1.06),
        (0.98 * wide, -0.75),
        (wide, -0.42),
        (0.0, -0.5),
    ]);
    canvas.fill(&head.frame, &dome, head.body(), |x, y| {
        let across = x / wide;
        let seam = 0.16 * step(0.03, 0.0, (across.abs() - 0.42 * step(-1.2, -0.5, y)).abs());
        let height = (y + 0.42) / 0.75;
        cloth.lit(1.06 + lean * across - 0.34 * across * across - 0.14 * height * height - seam)
    });
    canvas.flat(&head.frame, &Shape::ellipse(0.0, -1.165, 0.06, 0.035), head.body(), cloth.lit(0.8));
    let badge = head.parts(1.0, [(-0.13, -0.8), (0.0, -0.87), (0.13, -0.8), (0.09, -0.66), (-0.09, -0.66)]);
    canvas.flat(&head.frame, &Shape::smooth(&badge), head.body(), Rgb::hex(0xf2efe8).veil(0.92));
    let visor = head.parts(
        1.0,
        [
            (-0.72, -0.5),
            (-0.36, -0.6),
            (0.0, -0.62),
            (0.36, -0.6),
            (0.72, -0.5),
            (0.58, -0.36),
            (0.0, -0.27),
            (-0.58, -0.36),
        ],
    );
    canvas.fill(&head.frame, &Shape::smooth(&visor), head.body(), |x, y| {
        cloth.lit(mix(0.92, 0.5, step(-0.5, -0.3, y - 0.1 * x * x)) + lean * x)
    });
}
