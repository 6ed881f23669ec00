//! Cats, bears and cars. The unit of an animal is half the height of its head, of a car half its length.

use crate::raster::noise::{plane, step};
use crate::raster::{Canvas, Frame, Region, Rgb, Shape};
use crate::things::{Animal, Car, CarBody, Marking, Species};

const BODY: Region = Region::Body(0);
const CAT_FURS: [u32; 5] = [0xd98b3f, 0x8b8a90, 0x3a3638, 0xe9e0d2, 0x8a6244];
const BEAR_FURS: [u32; 5] = [0x6b4528, 0x3c2a22, 0xa8733f, 0xeee9e0, 0x8b5a34];
const EYES: [u32; 4] = [0xd9b03a, 0x6fb04a, 0x4f9fd6, 0x6a3f1e];
const PAINTS: [u32; 7] = [0xc42730, 0x2a56b4, 0xe8b52c, 0x2f8248, 0x2a2b30, 0xeeeeec, 0xd9742a];

/// Draws an animal from the chest up.
pub(super) fn animal(canvas: &mut Canvas, frame: &Frame, animal: &Animal) {
    let cat = animal.species == Species::Cat;
    let fur = Rgb::hex(if cat { CAT_FURS } else { BEAR_FURS }[usize::from(animal.fur) % 5]);
    let pale = fur.mix(Rgb::hex(0xfbf6ec), 0.8);
    let wide = animal.width * if cat { 0.98 } else { 1.0 };
    let coat = |x: f32, y: f32| {
        let hairs = plane(7, 22.0 * x, 9.0 * y);
        let stripes = match animal.marking {
            Marking::Striped => 0.4 * step(0.5, 0.75, plane(11, 1.6 * x, 7.5 * (y + 0.35 * x.abs()))),
            Marking::Plain | Marking::WhiteMuzzle | Marking::Patch => 0.0,
        };
        fur.lit(0.84 + 0.3 * hairs - stripes)
    };
    let chest = Shape::smooth(&[
        (-0.7, 0.7),
        (-1.15, 1.5),
        (-1.4, 3.0),
        (-1.4, 5.5),
        (1.4, 5.5),
        (1.4, 3.0),
        (1.15, 1.5),
        (0.7, 0.7),
    ]);
    canvas.fill(frame, &chest, BODY, |x, y| {
        let bib = if animal.marking == Marking::WhiteMuzzle { step(0.62, 0.4, x.abs()) } else { 0.0 };
        coat(x, y).mix(pale, bib).lit(0.94 - 0.16 * x * x - 0.3 * step(1.35, 0.85, y))
    });
    for side in [-1.0, 1.0] {
        ear(canvas, frame, animal, side, wide, &coat);
    }
    let skull = if cat {
        [(0.0, -0.82), (0.6, -0.7), (wide, -0.05), (0.94 * wide, 0.4), (0.5, 0.82), (0.0, 0.92)]
    } else {
        [(0.0, -0.9), (0.62, -0.74), (0.96 * wide, -0.1), (0.9 * wide, 0.48), (0.5, 0.88), (0.0, 0.98)]
    };
    let mirrored = skull[1..5].iter().rev().map(|&(x, y)| (-x, y));
    let outline: Vec<_> = skull.into_iter().chain(mirrored).collect();
    canvas.fill(frame, &Shape::smooth(&outline), BODY, |x, y| {
        let patch = animal.marking == Marking::Patch && (x - 0.42) * (x - 0.42) + (y + 0.1) * (y + 0.1) < 0.16;
        let colour = if patch { coat(x, y).lit(0.5) } else { coat(x, y) };
        colour.lit(1.08 - 0.28 * x * x - 0.2 * y * y)
    });
    muzzle(canvas, frame, animal, if animal.marking == Marking::Plain { fur.mix(pale, 0.35) } else { pale });
    for side in [-1.0, 1.0] {
        let (x, y) = (side * 0.42, -0.08);
        let (rx, ry) = if cat { (0.21, 0.19) } else { (0.12, 0.13) };
        canvas.flat(frame, &Shape::ellipse(x, y, rx + 0.035, ry + 0.035), BODY, Rgb::hex(0x1c1412));
        let iris = Rgb::hex(EYES[usize::from(animal.eyes) % 4]);
        canvas.fill(frame, &Shape::ellipse(x, y, rx, ry), BODY, |_, v| iris.lit(1.0 + 1.2 * (v - y)));
        let slit = if cat { 0.055 } else { 0.075 };
        canvas.flat(frame, &Shape::ellipse(x, y, slit, 0.82 * ry), BODY, Rgb::hex(0x0b0808));
        canvas.flat(frame, &Shape::circle(x - 0.05, y - 0.07, 0.042), BODY, Rgb::WHITE);
    }
}

fn ear(canvas: &mut Canvas, frame: &Frame, animal: &Animal, side: f32, wide: f32, coat: &impl Fn(f32, f32) -> Rgb) {
    let size = animal.ears;
    let inside = Rgb::hex(0xd99a92);
    if animal.species == Species::Cat {
        let tip = (side * 0.82 * wide, -0.62 - 0.66 * size);
        let outer = Shape::polygon(&[(side * 0.98 * wide, -0.16), tip, (side * 0.16, -0.74)]);
        canvas.fill(frame, &outer, BODY, |x, y| coat(x, y).lit(0.86));
        let inner =
            Shape::polygon(&[(side * 0.88 * wide, -0.36), (tip.0 - side * 0.02, tip.1 + 0.2), (side * 0.36, -0.74)]);
        canvas.flat(frame, &inner, BODY, inside.veil(0.85));
    } else {
        let (x, y) = (side * 0.72 * wide, -0.72);
        canvas.fill(frame, &Shape::circle(x, y, 0.34 * size), BODY, |u, v| coat(u, v).lit(0.86));
        canvas.flat(frame, &Shape::circle(x, y + 0.03, 0.19 * size), BODY, inside.lit(0.6).veil(0.8));
    }
}

fn muzzle(canvas: &mut Canvas, frame: &Frame, animal: &Animal, colour: Rgb) {
    let cat = animal.species == Species::Cat;
    let dark = Rgb::hex(0x2a1a18);
    if cat {
        for side in [-1.0, 1.0] {
            canvas.fill(frame, &Shape::ellipse(side * 0.17, 0.46, 0.24, 0.19), BODY, |_, v| colour.lit(1.1 - 0.3 * v));
        }
        canvas.flat(frame, &Shape::smooth(&[(-0.1, 0.24), (0.1, 0.24), (0.0, 0.37)]), BODY, Rgb::hex(0xd9828a));
    } else {
        canvas
            .fill(frame, &Shape::ellipse(0.0, 0.42, 0.44, 0.36), BODY, |x, y| colour.lit(1.14 - 0.3 * y - 0.4 * x * x));
        canvas.fill(frame, &Shape::ellipse(0.0, 0.24, 0.17, 0.12), BODY, |x, y| {
            dark.mix(Rgb::WHITE, 0.4 * step(0.07, 0.0, (x + 0.04).abs() + (y - 0.2).abs()))
        });
    }
    let top = if cat { 0.36 } else { 0.34 };
    canvas.flat(frame, &Shape::stroke(&[(0.0, top, 0.035), (0.0, 0.52, 0.035)]), BODY, dark);
    for side in [-1.0, 1.0] {
        let smile = Shape::stroke(&[(0.0, 0.52, 0.035), (side * 0.12, 0.59, 0.035), (side * 0.24, 0.55, 0.02)]);
        canvas.flat(frame, &smile, BODY, dark);
        if cat {
            for row in 0..3 {
                let y = 0.4 + 0.08 * row as f32;
                let hair = Shape::stroke(&[(side * 0.26, y, 0.02), (side * 0.95, y - 0.12 + 0.12 * row as f32, 0.012)]);
                canvas.flat(frame, &hair, BODY, Rgb::WHITE.veil(0.75));
            }
        }
    }
}

/// Draws a car from its side, standing on `y = 0.42`.
pub(super) fn car(canvas: &mut Canvas, frame: &Frame, car: &Car) {
    let paint = Rgb::hex(PAINTS[usize::from(car.colour) % 7]);
    canvas.fill(frame, &Shape::ellipse(0.0, 0.44, 1.08, 0.09), Region::Unchanged, |x, y| {
        let far = x * x / 1.17 + (y - 0.44) * (y - 0.44) / 0.0081;
        Rgb::BLACK.veil(0.6 * (1.0 - far).max(0.0))
    });
    let roof: &[(f32, f32)] = match car.body {
        CarBody::Saloon => &[(-0.98, 0.02), (-0.62, -0.06), (-0.34, -0.4), (0.28, -0.41), (0.58, -0.08), (0.98, 0.0)],
        CarBody::Hatchback => &[(-0.98, 0.02), (-0.86, -0.34), (-0.5, -0.47), (0.22, -0.44), (0.52, -0.1), (0.98, 0.0)],
        CarBody::Van => &[(-0.98, 0.0), (-0.96, -0.52), (-0.6, -0.6), (0.4, -0.58), (0.7, -0.14), (0.98, -0.02)],
    };
    let mut outline = roof.to_vec();
    outline.extend([(1.02, 0.2), (0.96, 0.31), (-0.96, 0.31), (-1.02, 0.2)]);
    canvas.fill(frame, &Shape::smooth(&outline), BODY, |x, y| {
        let crease = 0.14 * step(0.04, 0.0, (y - 0.08).abs());
        let gloss = 0.3 * step(0.1, 0.0, (y + 0.03 + 0.02 * x).abs());
        let stripe = if car.stripe { step(0.07, 0.05, (y - 0.16).abs()) } else { 0.0 };
        paint.mix(Rgb::hex(0xf3f0ea), 0.9 * stripe).lit(1.02 - 0.75 * y.max(-0.2) - crease).mix(Rgb::WHITE, gloss)
    });
    let windows: [[(f32, f32); 4]; 2] = match car.body {
        CarBody::Saloon => [
            [(-0.52, -0.07), (-0.29, -0.33), (-0.05, -0.34), (-0.05, -0.07)],
            [(0.02, -0.07), (0.02, -0.34), (0.25, -0.33), (0.46, -0.07)],
        ],
        CarBody::Hatchback => [
            [(-0.76, -0.09), (-0.7, -0.33), (-0.12, -0.39), (-0.12, -0.09)],
            [(-0.05, -0.09), (-0.05, -0.39), (0.19, -0.36), (0.41, -0.09)],
        ],
        CarBody::Van => [
            [(-0.4, -0.12), (-0.4, -0.48), (0.06, -0.48), (0.06, -0.12)],
            [(0.13, -0.12), (0.13, -0.48), (0.38, -0.47), (0.58, -0.12)],
        ],
    };
    for window in windows {
        canvas.fill(frame, &Shape::polygon(&window), BODY, |x, y| {
            Rgb::hex(0x2b3944).mix(Rgb::hex(0xbfd6e4), step(0.14, 0.0, (x + y + 0.1).abs() - 0.04) * 0.55)
        });
    }
    canvas.flat(frame, &Shape::stroke(&[(-0.015, -0.1, 0.018), (-0.02, 0.25, 0.018)]), BODY, Rgb::BLACK.veil(0.5));
    canvas.flat(frame, &Shape::rounded(0.06, -0.01, 0.18, 0.025, 0.015), BODY, Rgb::BLACK.veil(0.6));
    canvas.flat(frame, &Shape::ellipse(0.93, 0.08, 0.07, 0.05), BODY, Rgb::hex(0xfff2c4));
    canvas.flat(frame, &Shape::ellipse(-0.95, 0.08, 0.05, 0.05), BODY, Rgb::hex(0xe0342c));
    canvas.flat(frame, &Shape::rounded(-1.0, 0.26, 1.0, 0.33, 0.03), BODY, Rgb::hex(0x33343a));
    for x in [-0.56, 0.58] {
        let radius = 0.2 * car.wheels;
        let y = 0.44 - radius;
        canvas.flat(frame, &Shape::circle(x, y, radius), BODY, Rgb::hex(0x18181b));
        canvas.fill(frame, &Shape::circle(x, y, 0.58 * radius), BODY, |u, v| {
            Rgb::hex(0xc4c8cf).lit(1.0 - 2.0 * (u - x + v - y))
        });
        canvas.flat(frame, &Shape::circle(x, y, 0.2 * radius), BODY, Rgb::hex(0x44464c));
    }
}
