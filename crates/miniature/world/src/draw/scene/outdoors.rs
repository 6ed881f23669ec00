//! Beach, forest, mountains, garden, desert.

use super::SceneCanvas;
use crate::raster::noise::{cloud, mix, plane, step};
use crate::raster::turn::turn;
use crate::raster::{Rgb, Shape};

pub(super) fn beach(stage: &mut SceneCanvas) {
    let horizon = stage.chance.around(0.52, 0.05);
    stage.bands((0.0, Rgb::hex(0x4aa3e8)), (horizon, Rgb::hex(0xcbe9f7)));
    stage.clouds(0.3, 2);
    let sun = (stage.chance.between(0.1, 0.9), stage.chance.between(0.08, 0.2));
    stage.fill(&Shape::circle(sun.0, sun.1, 0.13), |x, y| {
        let far = ((x - sun.0) * (x - sun.0) + (y - sun.1) * (y - sun.1)).sqrt();
        Rgb::hex(0xfff3c0).veil(step(0.13, 0.05, far))
    });
    let shore = horizon + 0.19;
    stage.fill(&Shape::rectangle(0.0, horizon, 1.0, 1.0), |x, y| {
        let down = (y - horizon) / (shore - horizon);
        let waves = plane(3, 9.0 * x, 60.0 * y * y);
        Rgb::hex(0x1d6fb4).mix(Rgb::hex(0x4fc6cf), down.clamp(0.0, 1.0)).lit(0.9 + 0.24 * waves)
    });
    let beach: [f32; 6] = stage.heights(shore, 0.025);
    let foam: Vec<f32> = beach.iter().map(|y| y - 0.02).collect();
    stage.ridge(&foam, |_, _| Rgb::hex(0xf4fbfa));
    stage.ridge(&beach, |x, y| {
        let grain = cloud(9, 14.0 * x, 30.0 * y);
        Rgb::hex(0xd9bd84).mix(Rgb::hex(0xf3e0b2), step(shore, 1.0, y)).lit(0.92 + 0.14 * grain)
    });
    for side in [-1.0, 1.0] {
        if stage.chance.happens(0.75) {
            let x = 0.5 + side * stage.chance.between(0.3, 0.46);
            palm(stage, x, side);
        }
    }
}

fn palm(stage: &mut SceneCanvas, x: f32, side: f32) {
    let top = stage.chance.between(0.16, 0.3);
    let bend = -0.06 * side;
    let trunk = Shape::stroke(&[(x, 0.86, 0.036), (x + 0.6 * bend, 0.5, 0.028), (x + bend, top, 0.02)]);
    stage.fill(&trunk, |u, v| Rgb::hex(0x8a6238).lit(0.86 + 0.3 * plane(4, 20.0 * u, 50.0 * v)));
    for index in 0..7 {
        let (cos, sin) = turn(0.5 * index as f32 / 6.0 + 0.5);
        let reach = stage.chance.between(0.13, 0.19);
        let tip = (x + bend + reach * cos, top + 0.35 * reach * sin + 0.09);
        let middle = (x + bend + 0.6 * reach * cos, top + 0.6 * reach * sin - 0.01);
        let frond = Shape::stroke(&[(x + bend, top, 0.012), (middle.0, middle.1, 0.034), (tip.0, tip.1, 0.004)]);
        let green = Rgb::hex(0x2f8a3e).lit(stage.chance.between(0.75, 1.15));
        stage.flat(&frond, green);
    }
}

pub(super) fn forest(stage: &mut SceneCanvas) {
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |x, y| {
        let light = cloud(21, 4.0 * x, 4.0 * y);
        Rgb::hex(0x3f6b3a).mix(Rgb::hex(0xb7d68a), step(0.5, 0.95, light) * step(0.75, 0.2, y)).lit(mix(1.0, 0.7, y))
    });
    for layer in 0..3 {
        let near = layer as f32 / 2.0;
        for _ in 0..6 - layer {
            let x = stage.chance.between(-0.05, 1.05);
            let wide = mix(0.02, 0.065, near) * stage.chance.between(0.8, 1.25);
            let bark = Rgb::hex(0x7c7a58).mix(Rgb::hex(0x40291a), mix(0.25, 1.0, near));
            let trunk = Shape::polygon(&[
                (x - 0.8 * wide, 0.0),
                (x + 0.8 * wide, 0.0),
                (x + 1.15 * wide, 0.9),
                (x - 1.15 * wide, 0.9),
            ]);
            stage.fill(&trunk, |u, v| {
                let across = (u - x) / wide;
                bark.lit(1.1 - 0.35 * across - 0.3 * across * across + 0.3 * (plane(layer, 60.0 * u, 7.0 * v) - 0.5))
            });
        }
    }
    for _ in 0..26 {
        let (x, y) = (stage.chance.between(-0.05, 1.05), stage.chance.between(-0.05, 0.24));
        let size = stage.chance.between(0.05, 0.12);
        let green = Rgb::hex(0x2f6a2e).mix(Rgb::hex(0x7fb04a), stage.chance.unit());
        let leaves = Shape::smooth(&Shape::ring(x, y, 11, |index| size * if index % 2 == 0 { 1.0 } else { 0.72 }));
        stage.fill(&leaves, |u, v| green.lit(1.0 - 2.4 * (v - y) - 1.2 * (u - x)).veil(0.9));
    }
    let floor: [f32; 6] = stage.heights(0.82, 0.03);
    stage.ridge(&floor, |x, y| {
        let moss = cloud(31, 20.0 * x, 34.0 * y);
        Rgb::hex(0x4a4424).mix(Rgb::hex(0x5f8a36), step(0.35, 0.7, moss)).lit(1.15 - 0.5 * (y - 0.8))
    });
}

pub(super) fn mountains(stage: &mut SceneCanvas) {
    stage.bands((0.0, Rgb::hex(0x3f7fc8)), (0.7, Rgb::hex(0xdcebf6)));
    stage.clouds(0.2, 2);
    for layer in 0..2 {
        let near = layer as f32;
        let base = mix(0.62, 0.78, near);
        let places: &[f32] = if layer == 0 { &[0.02, 0.36, 0.7, 1.0] } else { &[0.16, 0.84] };
        for &place in places {
            let x = stage.chance.around(place, 0.07);
            let top = stage.chance.between(0.08, 0.24) + 0.12 * near;
            let wide = stage.chance.between(0.3, 0.42);
            let seed = stage.chance.bits() as u32;
            let left = (x - wide, base + 0.1);
            let right = (x + wide, base + 0.1);
            let shape = Shape::polygon(&[
                left,
                (x - 0.4 * wide, mix(top, base, 0.45)),
                (x, top),
                (x + 0.45 * wide, mix(top, base, 0.5)),
                right,
            ]);
            stage.fill(&shape, |u, v| {
                let rough = cloud(seed, 11.0 * u, 11.0 * v);
                let snow = step(0.62, 0.42, (v - top) / (base - top) + 0.5 * (rough - 0.5));
                // The ridge line wanders; its right side lies in the shade.
                let shade = step(-0.015, 0.025, u - x - 0.12 * (rough - 0.5) - 0.1 * (v - top));
                let rock = Rgb::hex(0x6a7486).mix(Rgb::hex(0x4a5262), shade);
                let white = Rgb::hex(0xfbfdff).mix(Rgb::hex(0xa9bbd8), shade);
                rock.mix(white, snow).mix(Rgb::hex(0xc8dcf0), 0.25 * (1.0 - near))
            });
        }
    }
    let snow: [f32; 6] = stage.heights(0.76, 0.03);
    stage.ridge(&snow, |x, y| Rgb::hex(0xf2f6fb).mix(Rgb::hex(0xb9cbe2), cloud(5, 5.0 * x, 16.0 * y)));
    for _ in 0..7 {
        let (x, y) = (stage.chance.between(0.0, 1.0), stage.chance.between(0.76, 0.86));
        let size = stage.chance.between(0.05, 0.085);
        for tier in 0..3 {
            let top = y - size * (2.6 - 0.7 * tier as f32);
            let wide = size * (0.34 + 0.18 * tier as f32);
            stage.flat(
                &Shape::polygon(&[(x, top), (x + wide, top + size), (x - wide, top + size)]),
                Rgb::hex(0x2c5446).lit(1.1 - 0.12 * tier as f32),
            );
        }
    }
}

pub(super) fn garden(stage: &mut SceneCanvas) {
    stage.bands((0.0, Rgb::hex(0x6db4ea)), (0.5, Rgb::hex(0xdff1f8)));
    stage.clouds(0.22, 2);
    for layer in 0..2 {
        for index in 0..8 {
            let x = stage.chance.around(index as f32 / 7.0, 0.06);
            let y = stage.chance.around(if layer == 0 { 0.4 } else { 0.55 }, 0.04);
            let size = stage.chance.between(0.11, 0.17);
            let green = Rgb::hex(0x2f7a36).mix(Rgb::hex(0x5fa548), stage.chance.unit());
            let seed = stage.chance.bits() as u32;
            let bush = Shape::smooth(&Shape::ring(x, y, 14, |point| size * if point % 2 == 0 { 1.0 } else { 0.88 }));
            stage.fill(&bush, |u, v| {
                let leaves = cloud(seed, 26.0 * u, 26.0 * v);
                green.lit(0.8 + 0.5 * leaves - 1.4 * (v - y))
            });
        }
    }
    stage.fill(&Shape::rectangle(0.0, 0.6, 1.0, 1.0), |x, y| {
        let blades = cloud(17, 40.0 * x, 16.0 * y);
        Rgb::hex(0x6fc04e).mix(Rgb::hex(0x3c8f3a), step(0.6, 1.0, y)).lit(0.85 + 0.3 * blades)
    });
    for _ in 0..34 {
        let (x, y) = (stage.chance.between(0.0, 1.0), stage.chance.between(0.5, 0.98));
        let size = mix(0.011, 0.026, (y - 0.5) * 2.0);
        let petals = Rgb::hex(stage.chance.pick([0xf24f7c, 0xfdfdfd, 0xf7c433, 0xb35fd6, 0xef6a3a]));
        stage.flat(&Shape::circle(x, y, size), petals);
        stage.flat(&Shape::circle(x, y, 0.4 * size), Rgb::hex(0xf8df6a));
    }
}

pub(super) fn desert(stage: &mut SceneCanvas) {
    stage.bands((0.0, Rgb::hex(0x4fa0dc)), (0.55, Rgb::hex(0xfbe3b4)));
    let sun = (stage.chance.between(0.12, 0.88), stage.chance.between(0.1, 0.2));
    stage.fill(&Shape::circle(sun.0, sun.1, 0.16), |x, y| {
        let far = ((x - sun.0) * (x - sun.0) + (y - sun.1) * (y - sun.1)).sqrt();
        Rgb::hex(0xfffbe0).veil(step(0.16, 0.05, far))
    });
    for (layer, middle) in [0.5, 0.6, 0.76].into_iter().enumerate() {
        let dune: [f32; 6] = stage.heights(middle, 0.07);
        let near = layer as f32 / 2.0;
        let sand = Rgb::hex(0xf0c583).mix(Rgb::hex(0xcf8638), near);
        let seed = stage.chance.bits() as u32;
        stage.ridge(&dune, |x, y| {
            let slope = cloud(seed, 3.0 * x, 5.0 * y);
            let ripples = plane(seed ^ 9, 6.0 * x + 12.0 * y, 50.0 * y);
            sand.lit(0.86 + 0.26 * slope + 0.08 * ripples)
        });
    }
    for side in [-1.0, 1.0] {
        if stage.chance.happens(0.8) {
            let x = 0.5 + side * stage.chance.between(0.3, 0.45);
            cactus(stage, x);
        }
    }
}

fn cactus(stage: &mut SceneCanvas, x: f32) {
    let top = stage.chance.between(0.32, 0.44);
    let thick = stage.chance.between(0.045, 0.06);
    let green = Rgb::hex(0x3f8a4a);
    let limbs: [&[(f32, f32, f32)]; 3] = [
        &[(x, 0.86, thick), (x, top + 0.03, thick), (x, top, 0.6 * thick)],
        &[
            (x, 0.66, 0.7 * thick),
            (x - 0.075, 0.64, 0.7 * thick),
            (x - 0.085, 0.5, 0.7 * thick),
            (x - 0.085, 0.48, 0.4 * thick),
        ],
        &[
            (x, 0.6, 0.7 * thick),
            (x + 0.07, 0.58, 0.7 * thick),
            (x + 0.08, 0.44, 0.7 * thick),
            (x + 0.08, 0.42, 0.4 * thick),
        ],
    ];
    for limb in limbs {
        stage.fill(&Shape::stroke(limb), |u, _| {
            let ribs = crate::raster::turn::wave(70.0 * (u - x));
            green.lit(0.95 + 0.16 * ribs - 2.0 * (u - x))
        });
    }
}
