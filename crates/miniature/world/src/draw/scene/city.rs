//! The city at night, the Eiffel Tower, space.

use super::SceneCanvas;
use crate::raster::noise::{cloud, mix, step};
use crate::raster::{Rgb, Shape};

pub(super) fn night(stage: &mut SceneCanvas) {
    stage.bands((0.0, Rgb::hex(0x070a22)), (0.75, Rgb::hex(0x3a2c5e)));
    let moon = (stage.chance.between(0.1, 0.9), stage.chance.between(0.08, 0.18));
    stage.flat(&Shape::circle(moon.0, moon.1, 0.05), Rgb::hex(0xf4efd0));
    stage.flat(&Shape::circle(moon.0 + 0.02, moon.1 - 0.012, 0.042), Rgb::hex(0x0c1030));
    for layer in 0..2 {
        let mut left = stage.chance.between(-0.1, 0.0);
        while left < 1.0 {
            let right = left + stage.chance.between(0.11, 0.19);
            let top = stage.chance.between(0.14, 0.42) + 0.2 * layer as f32;
            tower_block(stage, (left, top, right), layer == 1);
            left = right + stage.chance.between(0.0, 0.03);
        }
    }
    stage.bands((0.9, Rgb::hex(0x2a2438)), (1.0, Rgb::hex(0x15131f)));
    // Lamps of the street, out of focus.
    for _ in 0..9 {
        let (x, y) = (stage.chance.between(0.0, 1.0), stage.chance.between(0.72, 0.95));
        let glow = Rgb::hex(stage.chance.pick([0xffc45e, 0xff7a4a, 0x7fd0ff]));
        let size = stage.chance.between(0.016, 0.034);
        stage.flat(&Shape::circle(x, y, size), glow.veil(0.6));
    }
}

fn tower_block(stage: &mut SceneCanvas, (left, top, right): (f32, f32, f32), near: bool) {
    let front = if near { Rgb::hex(0x151a36) } else { Rgb::hex(0x272a52) };
    stage.fill(&Shape::rectangle(left, top, right, 1.0), |x, y| {
        front.lit(1.1 - 0.5 * (x - left) / (right - left) + 0.2 * (1.0 - y))
    });
    let (columns, rows) = (((right - left) / 0.034) as usize, ((0.95 - top) / 0.05) as usize);
    let warm = Rgb::hex(0xffd976);
    for row in 0..rows {
        for column in 0..columns {
            let brightness = stage.chance.between(0.55, 1.0);
            if stage.chance.happens(0.5) {
                let (x, y) = (left + 0.012 + 0.034 * column as f32, top + 0.022 + 0.05 * row as f32);
                stage.rectangle(x, y, x + 0.017, y + 0.024, warm.lit(brightness));
            }
        }
    }
}

pub(super) fn eiffel_tower(stage: &mut SceneCanvas) {
    stage.bands((0.0, Rgb::hex(0x5a9fdf)), (0.8, Rgb::hex(0xf6e2cf)));
    stage.clouds(0.3, 3);
    for index in 0..9 {
        let x = stage.chance.around(index as f32 / 8.0, 0.05);
        let (size, green) = (stage.chance.between(0.06, 0.1), stage.chance.between(0.8, 1.1));
        stage.flat(&Shape::circle(x, 0.8, size), Rgb::hex(0x4f7f47).lit(green));
    }
    let side = stage.chance.pick([-1.0, 1.0]);
    let x = 0.5 + side * stage.chance.between(0.25, 0.33);
    let iron = Rgb::hex(0x6b4f38);
    let lit = |u: f32| iron.lit(1.05 - 1.8 * (u - x));
    for leg in [-1.0, 1.0] {
        let shape = Shape::smooth(&[
            (x + leg * 0.002, 0.02),
            (x + leg * 0.022, 0.36),
            (x + leg * 0.062, 0.58),
            (x + leg * 0.19, 0.88),
            (x + leg * 0.1, 0.88),
            (x + leg * 0.03, 0.62),
            (x, 0.44),
            (x - leg * 0.004, 0.2),
        ]);
        stage.fill(&shape, |u, _| lit(u));
        // The lattice: braces across the leg.
        for brace in 0..7 {
            let t = brace as f32 / 7.0;
            let y = mix(0.4, 0.86, t);
            let (near, far) = (x + leg * mix(0.0, 0.1, t * t), x + leg * mix(0.03, 0.19, t * t));
            let line = Shape::stroke(&[(near, y, 0.006), (far, y + 0.04, 0.006)]);
            stage.flat(&line, Rgb::hex(0xd9c4ac).veil(0.45));
        }
    }
    let needle = Shape::polygon(&[(x - 0.003, -0.03), (x + 0.003, -0.03), (x + 0.02, 0.38), (x - 0.02, 0.38)]);
    stage.fill(&needle, |u, _| lit(u));
    for (y, wide, high) in [(0.37, 0.036, 0.022), (0.59, 0.085, 0.03)] {
        stage.rectangle(x - wide, y, x + wide, y + high, iron.lit(0.82));
        stage.rectangle(x - wide, y, x + wide, y + 0.006, iron.lit(1.35));
    }
    let arch = Shape::stroke(&[
        (x - 0.1, 0.86, 0.02),
        (x - 0.06, 0.74, 0.02),
        (x, 0.7, 0.02),
        (x + 0.06, 0.74, 0.02),
        (x + 0.1, 0.86, 0.02),
    ]);
    stage.fill(&arch, |u, _| lit(u).lit(0.85));
    stage.fill(&Shape::rectangle(0.0, 0.86, 1.0, 1.0), |u, y| {
        Rgb::hex(0x7fb05a).mix(Rgb::hex(0x55883f), step(0.86, 1.0, y)).lit(0.9 + 0.2 * cloud(6, 30.0 * u, 20.0 * y))
    });
}

pub(super) fn space(stage: &mut SceneCanvas) {
    let seed = stage.chance.bits() as u32;
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |x, y| {
        let mist = cloud(seed, 3.2 * x, 3.2 * y);
        let haze = cloud(seed ^ 5, 2.2 * x + 4.0, 2.2 * y);
        let deep = Rgb::hex(0x05061a).mix(Rgb::hex(0x5a2a86), 0.75 * step(0.45, 0.95, mist));
        deep.mix(Rgb::hex(0x1d5a8f), 0.5 * step(0.5, 0.95, haze))
    });
    for _ in 0..70 {
        let (x, y) = (stage.chance.unit(), stage.chance.unit());
        let size = stage.chance.between(0.003, 0.008);
        let glow = stage.chance.between(0.5, 1.0);
        stage.flat(&Shape::circle(x, y, size), Rgb::hex(0xfdf8ea).veil(glow));
    }
    let side = stage.chance.pick([-1.0, 1.0]);
    let (x, y) = (0.5 + side * stage.chance.between(0.28, 0.38), stage.chance.between(0.14, 0.3));
    let size = stage.chance.between(0.09, 0.14);
    let colour = Rgb::hex(stage.chance.pick([0xe29a5a, 0x5aa7e2, 0xd15a9e, 0x8fd06a]));
    stage.fill(&Shape::circle(x, y, size), |u, v| {
        let (du, dv) = ((u - x) / size, (v - y) / size);
        let belts = cloud(seed ^ 8, 1.5 * du, 6.0 * dv);
        colour.lit((1.15 - 0.5 * (du + dv) - 0.35 * (du * du + dv * dv)) * (0.75 + 0.5 * belts))
    });
    let ring = Shape::stroke(&[
        (x - 1.7 * size, y + 0.3 * size, 0.006),
        (x, y + 0.42 * size, 0.02),
        (x + 1.7 * size, y - 0.3 * size, 0.006),
    ]);
    stage.flat(&ring, Rgb::hex(0xf2e3c4).veil(0.75));
    let (x, size) = (0.5 - side * stage.chance.between(0.3, 0.42), stage.chance.between(0.035, 0.06));
    let y = stage.chance.between(0.45, 0.7);
    stage.fill(&Shape::circle(x, y, size), |u, v| {
        Rgb::hex(0xc9c6be).lit(0.95 - 0.5 * (u - x + v - y) / size).lit(0.8 + 0.3 * cloud(4, 40.0 * u, 40.0 * v))
    });
}
