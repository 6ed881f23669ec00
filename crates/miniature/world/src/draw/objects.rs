//! What is held, and the hand that holds it.
//!
//! The unit of a thing is half its size: it fills a circle of radius 1 around the origin of its frame.

use crate::factors::Object;
use crate::raster::noise::{mix, plane, step};
use crate::raster::turn::turn;
use crate::raster::{Canvas, Frame, Region, Rgb, Shape};

use super::head::Head;

/// The frame of a thing held by a person whose eyes are at `x`, `y` and whose head is twice `half` high: beside the chest
/// (a balloon beside the face), and wholly in the picture.
pub(super) fn place(picture: Frame, object: Object, (x, y, half): (f32, f32, f32), side: f32) -> Frame {
    // How far from the eyes in half heads; the largest size; how far it reaches sideways and upwards in its own size.
    let (beside, below, largest, reach, up) = match object {
        Object::Balloon => (1.35, 0.1, 0.155, 0.8, 1.0),
        Object::Guitar => (1.2, 1.9, 0.19, 0.97, 1.85),
        Object::Basketball | Object::Cup | Object::Book | Object::Flower => (1.15, 1.75, 0.19, 0.97, 1.0),
    };
    let size = (0.62 * half).clamp(0.12, largest);
    let x = (x + side * beside * half).clamp(reach * size, 1.0 - reach * size);
    let y = (y + below * half).clamp(up * size, 1.0 - 0.9 * size);
    picture.at(x, y, size, 0.0)
}

/// Draws the object and a hand around it. `side` is 1 when it is held on the right of the picture.
pub(super) fn draw(canvas: &mut Canvas, head: &Head, object: Object, frame: &Frame, side: f32, seed: u32) {
    let hand = match object {
        Object::Basketball => basketball(canvas, frame),
        Object::Cup => cup(canvas, frame, side, seed),
        Object::Book => book(canvas, frame, seed),
        Object::Guitar => guitar(canvas, frame, side),
        Object::Flower => flower(canvas, frame, seed),
        Object::Balloon => balloon(canvas, frame, seed),
    };
    fingers(canvas, head, frame, (side * hand.0, hand.1), side);
}

/// Four fingers and the back of a hand.
fn fingers(canvas: &mut Canvas, head: &Head, frame: &Frame, (x, y): (f32, f32), side: f32) {
    let skin = head.tones.skin;
    let unit = head.frame.scale() / frame.scale();
    let size = (0.27 * unit).clamp(0.28, 0.42);
    let at = frame.at(x, y, size, 0.0);
    let shade = skin.times(Rgb([0.72, 0.58, 0.54]));
    let palm = Shape::smooth(&[
        (side * -0.55, -0.5),
        (side * 0.3, -0.85),
        (side * 0.95, -0.4),
        (side * 1.1, 0.4),
        (side * 0.8, 1.1),
        (side * -0.3, 0.95),
    ]);
    canvas.fill(&at, &palm, head.body(), |u, v| skin.mix(shade, step(0.2, 1.0, 0.5 * v + 0.4 * side * u)));
    for finger in 0..4 {
        let v = -0.62 + 0.42 * finger as f32;
        let reach = [0.95, 1.15, 1.1, 0.85][finger];
        let line =
            Shape::stroke(&[(side * 0.35, v, 0.4), (side * -0.4, v + 0.03, 0.4), (side * -reach, v + 0.08, 0.24)]);
        canvas.fill(&at, &line, head.body(), |_, w| skin.mix(shade, step(v - 0.02, v + 0.24, w)));
    }
}

fn basketball(canvas: &mut Canvas, frame: &Frame) -> (f32, f32) {
    let orange = Rgb::hex(0xe2762b);
    canvas.fill(frame, &Shape::circle(0.0, 0.0, 0.92), Region::Object, |x, y| {
        let (u, v) = ((x + 0.3) / 1.3, (y + 0.36) / 1.3);
        let lit = 1.16 - 0.75 * (u * u + v * v);
        orange.lit(lit).mix(Rgb::WHITE, 0.35 * step(0.2, 0.0, u * u + v * v))
    });
    let seam = Rgb::hex(0x2a1710).veil(0.9);
    let lines: [&[(f32, f32, f32)]; 4] = [
        &[(-0.9, 0.1, 0.07), (0.0, 0.2, 0.09), (0.9, 0.1, 0.07)],
        &[(0.1, -0.9, 0.07), (0.2, 0.0, 0.09), (0.1, 0.9, 0.07)],
        &[(-0.62, -0.66, 0.07), (-0.3, 0.1, 0.09), (-0.62, 0.68, 0.07)],
        &[(0.66, -0.62, 0.07), (0.52, 0.1, 0.09), (0.62, 0.66, 0.07)],
    ];
    for points in lines {
        canvas.flat(frame, &Shape::stroke(points), Region::Object, seam);
    }
    (0.55, 0.68)
}

fn cup(canvas: &mut Canvas, frame: &Frame, side: f32, seed: u32) -> (f32, f32) {
    let glaze = Rgb::hex([0xf4f2ee, 0x3c74c4, 0xd24a44][seed as usize % 3]);
    let handle = Shape::stroke(&[
        (side * -0.5, -0.35, 0.16),
        (side * -0.98, -0.28, 0.17),
        (side * -0.95, 0.28, 0.17),
        (side * -0.48, 0.42, 0.16),
    ]);
    canvas.flat(frame, &handle, Region::Object, glaze.lit(0.8));
    let body =
        Shape::smooth(&[(-0.6, -0.6), (0.6, -0.6), (0.58, 0.3), (0.44, 0.72), (0.0, 0.8), (-0.44, 0.72), (-0.58, 0.3)]);
    canvas.fill(frame, &body, Region::Object, |x, y| {
        let band = step(0.02, 0.06, (y - 0.02).abs() - 0.1);
        let colour = Rgb::hex(0xe9b64a).mix(glaze, band);
        colour.lit(1.02 - 0.5 * (x + 0.15) * (x + 0.15))
    });
    canvas.flat(frame, &Shape::ellipse(0.0, -0.58, 0.61, 0.2), Region::Object, glaze.lit(0.95));
    canvas.flat(frame, &Shape::ellipse(0.0, -0.56, 0.52, 0.14), Region::Object, Rgb::hex(0x3d2416));
    for step in 0..2 {
        let x = -0.2 + 0.36 * step as f32;
        let steam = Shape::stroke(&[(x, -0.72, 0.04), (x + 0.09, -0.86, 0.06), (x, -0.98, 0.02)]);
        canvas.flat(frame, &steam, Region::Object, Rgb::WHITE.veil(0.5));
    }
    (0.52, 0.3)
}

fn book(canvas: &mut Canvas, frame: &Frame, seed: u32) -> (f32, f32) {
    let cover = Rgb::hex([0x8c2230, 0x24508c, 0x2d6b45][seed as usize % 3]);
    canvas.flat(
        frame,
        &Shape::polygon(&[(-0.6, -0.88), (0.74, -0.8), (0.74, 0.96), (-0.6, 0.92)]),
        Region::Object,
        Rgb::hex(0xefe8d6),
    );
    let front = Shape::polygon(&[(-0.7, -0.94), (0.64, -0.9), (0.64, 0.88), (-0.7, 0.92)]);
    canvas.fill(frame, &front, Region::Object, |x, y| {
        let spine = step(-0.5, -0.56, x);
        cover.lit(1.05 - 0.12 * (x + y) - 0.3 * spine)
    });
    let gold = Rgb::hex(0xe6c46a);
    canvas.flat(frame, &Shape::rectangle(-0.3, -0.62, 0.42, -0.42), Region::Object, gold);
    canvas.flat(frame, &Shape::rectangle(-0.22, -0.3, 0.34, -0.2), Region::Object, gold.veil(0.85));
    canvas.flat(frame, &Shape::rectangle(-0.3, 0.52, 0.42, 0.58), Region::Object, gold.veil(0.85));
    (0.62, 0.42)
}

fn guitar(canvas: &mut Canvas, frame: &Frame, side: f32) -> (f32, f32) {
    // The neck leans away from the face.
    let at = frame.at(0.0, 0.0, 1.0, 0.03 * side);
    let neck = Shape::polygon(&[(-0.085, -1.5), (0.085, -1.5), (0.1, 0.2), (-0.1, 0.2)]);
    canvas.fill(&at, &neck, Region::Object, |x, y| {
        let fret = step(0.1, 0.04, ((y + 4.0) * 5.0).fract() - 0.5);
        Rgb::hex(0x4a2c1c).lit(1.1 - 2.0 * x * x).mix(Rgb::hex(0xd9d2c4), 0.0_f32.max(0.3 * fret - 0.2))
    });
    let top = Shape::smooth(&[(-0.14, -1.45), (-0.17, -1.75), (0.0, -1.84), (0.17, -1.75), (0.14, -1.45)]);
    canvas.flat(&at, &top, Region::Object, Rgb::hex(0x33201a));
    let body = Shape::smooth(&[
        (0.0, -0.5),
        (0.42, -0.44),
        (0.52, -0.16),
        (0.42, 0.1),
        (0.66, 0.42),
        (0.52, 0.86),
        (0.0, 0.98),
        (-0.52, 0.86),
        (-0.66, 0.42),
        (-0.42, 0.1),
        (-0.52, -0.16),
        (-0.42, -0.44),
    ]);
    canvas.fill(&at, &body, Region::Object, |x, y| {
        let grain = plane(5, 18.0 * x, 2.0 * y);
        let edge = step(0.3, 0.95, x * x + 0.7 * (y - 0.25) * (y - 0.25));
        Rgb::hex(0xd08a3e).mix(Rgb::hex(0x6a3013), 0.75 * edge).lit(0.95 + 0.15 * grain)
    });
    canvas.flat(&at, &Shape::circle(0.0, 0.14, 0.21), Region::Object, Rgb::hex(0x1f120c));
    canvas.flat(&at, &Shape::rectangle(-0.26, 0.58, 0.26, 0.68), Region::Object, Rgb::hex(0x3a2012));
    canvas.flat(&at, &Shape::rectangle(-0.05, -1.45, 0.05, 0.6), Region::Object, Rgb::hex(0xe8e2d0).veil(0.35));
    (0.2, -0.66)
}

fn flower(canvas: &mut Canvas, frame: &Frame, seed: u32) -> (f32, f32) {
    let green = Rgb::hex(0x3c8a3a);
    canvas.flat(
        frame,
        &Shape::stroke(&[(0.02, -0.2, 0.11), (0.1, 0.4, 0.11), (0.04, 1.0, 0.11)]),
        Region::Object,
        green,
    );
    for side in [-1.0, 1.0] {
        let leaf = Shape::smooth(&[(0.08, 0.6), (side * 0.3 + 0.08, 0.3), (side * 0.62, 0.28), (side * 0.4, 0.56)]);
        canvas.fill(frame, &leaf, Region::Object, |x, _| green.lit(1.15 - 0.4 * x.abs()));
    }
    let petal = Rgb::hex([0xe23a5c, 0xf3f0ff, 0xf08a2c][seed as usize % 3]);
    for index in 0..6 {
        let (cos, sin) = turn(index as f32 / 6.0 + 0.04);
        let (x, y) = (0.42 * cos, -0.38 + 0.42 * sin);
        canvas.fill(frame, &Shape::circle(x, y, 0.31), Region::Object, |u, v| {
            let from_middle = ((u * u + (v + 0.38) * (v + 0.38)) / 0.5).min(1.0);
            petal.lit(mix(0.66, 1.06, from_middle))
        });
    }
    canvas.fill(frame, &Shape::circle(0.0, -0.38, 0.23), Region::Object, |x, y| {
        Rgb::hex(0xf4c430).lit(1.0 - 0.5 * (x + y + 0.38))
    });
    (0.12, 0.78)
}

fn balloon(canvas: &mut Canvas, frame: &Frame, seed: u32) -> (f32, f32) {
    let rubber = Rgb::hex([0xe23b3b, 0x2f8ff0, 0xf2b92c][seed as usize % 3]);
    canvas.flat(
        frame,
        &Shape::stroke(&[(0.0, 0.0, 0.05), (0.1, 1.1, 0.05), (0.0, 2.1, 0.05)]),
        Region::Object,
        Rgb::hex(0xe9e6e0),
    );
    canvas.flat(frame, &Shape::polygon(&[(0.0, 0.8), (0.14, 1.0), (-0.14, 1.0)]), Region::Object, rubber.lit(0.7));
    let skin = Shape::smooth(&[
        (0.0, -0.98),
        (0.56, -0.74),
        (0.76, -0.2),
        (0.5, 0.46),
        (0.0, 0.86),
        (-0.5, 0.46),
        (-0.76, -0.2),
        (-0.56, -0.74),
    ]);
    canvas.fill(frame, &skin, Region::Object, |x, y| {
        let (u, v) = (x + 0.26, y + 0.42);
        let lit = 1.16 - 0.42 * (u * u + v * v);
        rubber.lit(lit).mix(Rgb::WHITE, 0.75 * step(0.05, 0.01, u * u + 0.6 * v * v))
    });
    (0.0, 1.95)
}
