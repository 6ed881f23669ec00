//! Garage, kitchen, library.

use super::SceneCanvas;
use crate::raster::noise::{cloud, plane, step};
use crate::raster::{Rgb, Shape};

pub(super) fn garage(stage: &mut SceneCanvas) {
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |x, y| {
        Rgb::hex(0x8d9196).lit(0.9 + 0.2 * cloud(2, 5.0 * x, 5.0 * y))
    });
    // The rolling door.
    stage.fill(&Shape::rectangle(0.22, 0.06, 0.78, 0.74), |_, y| {
        let slat = (y * 17.0).fract();
        Rgb::hex(0xc9cdd2).lit(0.78 + 0.26 * step(0.0, 0.35, slat) * step(1.0, 0.75, slat))
    });
    stage.flat(
        &Shape::stroke(&[(0.2, 0.76, 0.03), (0.2, 0.04, 0.03), (0.8, 0.04, 0.03), (0.8, 0.76, 0.03)]),
        Rgb::hex(0x5b5f66),
    );
    let swap = stage.chance.pick([false, true]);
    let flip = |x: f32| if swap { 1.0 - x } else { x };
    let span = |a: f32, b: f32| (flip(a).min(flip(b)), flip(a).max(flip(b)));
    // A board with tools on one side, a shelf with tins on the other.
    let (left, right) = span(0.0, 0.19);
    stage.rectangle(left, 0.08, right, 0.42, Rgb::hex(0xa87b48));
    for (x, y) in [(0.05, 0.14), (0.13, 0.12)] {
        let x = flip(x);
        stage.flat(&Shape::stroke(&[(x, y, 0.018), (x, y + 0.2, 0.018)]), Rgb::hex(0xc8322c));
        stage.flat(&Shape::rounded(x - 0.03, y - 0.02, x + 0.03, y + 0.025, 0.01), Rgb::hex(0x3b3f46));
    }
    let (left, right) = span(0.82, 1.0);
    for shelf in 0..3 {
        let y = 0.26 + 0.17 * shelf as f32;
        stage.rectangle(left, y, right, y + 0.022, Rgb::hex(0x5a4330));
        for tin in 0..3 {
            let x = left + 0.012 + 0.057 * tin as f32;
            let colour = Rgb::hex(stage.chance.pick([0xd6433b, 0x3b78c4, 0xe8b23a, 0x4f9a58, 0xb8bcc2]));
            let high = stage.chance.between(0.06, 0.1);
            stage.fill(&Shape::rectangle(x, y - high, x + 0.045, y), |u, _| colour.lit(1.1 - 9.0 * (u - x)));
        }
    }
    stage.fill(&Shape::rectangle(0.0, 0.76, 1.0, 1.0), |x, y| {
        Rgb::hex(0x62656a).lit(1.1 - 0.5 * (y - 0.76) - 0.2 * plane(8, 9.0 * x, 22.0 * y))
    });
    let (x, y) = (flip(0.12), 0.76);
    stage.flat(&Shape::circle(x, y, 0.12), Rgb::hex(0x1b1b1e));
    stage.flat(&Shape::circle(x, y, 0.062), Rgb::hex(0x9a9ea6));
    stage.flat(&Shape::circle(x, y, 0.022), Rgb::hex(0x2c2d31));
}

pub(super) fn kitchen(stage: &mut SceneCanvas) {
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |x, y| {
        let (u, v) = ((x * 11.0).fract(), (y * 11.0).fract());
        let joint = step(0.05, 0.1, u.min(v).min(1.0 - u).min(1.0 - v));
        Rgb::hex(0xbcb6a8).mix(Rgb::hex(0xf3f0e6), joint).lit(1.0 - 0.12 * y)
    });
    let wood = Rgb::hex(stage.chance.pick([0xb9783f, 0x8f5a34, 0xd9d4c8]));
    for (left, right) in [(0.0, 0.3), (0.7, 1.0)] {
        stage.fill(&Shape::rectangle(left, 0.0, right, 0.34), |x, y| {
            wood.lit(0.92 + 0.16 * plane(7, 40.0 * x, 3.0 * y))
        });
        for door in 0..2 {
            let (a, b) = (left + 0.15 * door as f32 + 0.012, left + 0.15 * (door + 1) as f32 - 0.012);
            let line = Shape::stroke(&[(a, 0.02, 0.008), (a, 0.32, 0.008), (b, 0.32, 0.008), (b, 0.02, 0.008)]);
            stage.flat(&line, wood.lit(0.6));
            let knob = if door == 0 { b - 0.02 } else { a + 0.02 };
            stage.flat(&Shape::circle(knob, 0.27, 0.01), Rgb::hex(0xe9e4da));
        }
    }
    // The hood, and below it the pots.
    stage.fill(
        &Shape::polygon(&[(0.43, 0.0), (0.57, 0.0), (0.57, 0.16), (0.66, 0.26), (0.34, 0.26), (0.43, 0.16)]),
        |x, _| Rgb::hex(0xc5cad0).lit(1.1 - 1.3 * (x - 0.4).abs()),
    );
    stage.rectangle(0.0, 0.66, 1.0, 0.71, Rgb::hex(0x4b4a4c));
    stage.rectangle(0.0, 0.66, 1.0, 0.672, Rgb::hex(0x8a888a));
    stage.fill(&Shape::rectangle(0.0, 0.71, 1.0, 1.0), |x, y| wood.lit(0.82 + 0.16 * plane(5, 40.0 * x, 3.0 * y)));
    for x in [0.25, 0.5, 0.75] {
        stage.rectangle(x - 0.004, 0.71, x + 0.004, 1.0, wood.lit(0.55));
    }
    let pot = stage.chance.between(0.08, 0.2);
    let red = Rgb::hex(stage.chance.pick([0xc53a33, 0x3a6fb0, 0x55585e]));
    stage.fill(&Shape::rounded(pot - 0.075, 0.53, pot + 0.075, 0.66, 0.02), |x, _| {
        red.lit(1.1 - 50.0 * (x - pot + 0.02) * (x - pot + 0.02))
    });
    stage.flat(&Shape::stroke(&[(pot - 0.085, 0.53, 0.022), (pot + 0.085, 0.53, 0.022)]), red.lit(0.7));
    stage.flat(&Shape::circle(pot, 0.51, 0.016), Rgb::hex(0x222226));
    let bowl = stage.chance.between(0.82, 0.92);
    for (dx, colour) in [(-0.04, 0xd8402f), (0.035, 0xf0b43a), (0.0, 0x7fb83e)] {
        stage.fill(&Shape::circle(bowl + dx, 0.585, 0.04), |x, y| {
            Rgb::hex(colour).lit(1.1 - 6.0 * ((x - bowl - dx) + (y - 0.585)))
        });
    }
    stage.flat(
        &Shape::smooth(&[(bowl - 0.09, 0.6), (bowl + 0.09, 0.6), (bowl + 0.05, 0.66), (bowl - 0.05, 0.66)]),
        Rgb::hex(0xf4f4f0).lit(0.92),
    );
}

pub(super) fn library(stage: &mut SceneCanvas) {
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |_, y| Rgb::hex(0x2e1c12).lit(1.1 - 0.3 * y));
    const SHELVES: usize = 5;
    let spacing = 1.0 / SHELVES as f32;
    for shelf in 0..SHELVES {
        let floor = spacing * (shelf + 1) as f32 - 0.012;
        let mut x = 0.012;
        while x < 0.985 {
            let wide = stage.chance.between(0.02, 0.042);
            let high = stage.chance.between(0.115, 0.168);
            let colour = Rgb::hex(
                stage.chance.pick([0x8c2a2c, 0x2c4f7c, 0x3a6b46, 0xb98a3a, 0x5c3a6e, 0xd8c9a6, 0x39312c, 0xa8552c]),
            );
            let band = floor - high * stage.chance.between(0.6, 0.8);
            if stage.chance.happens(0.93) {
                stage.fill(&Shape::rectangle(x, floor - high, x + wide, floor), |u, v| {
                    let across = (u - x) / wide;
                    let gilt = step(0.012, 0.008, (v - band).abs());
                    colour.mix(Rgb::hex(0xe8cf8a), 0.75 * gilt).lit(1.08 - 0.9 * (across - 0.4) * (across - 0.4) * 2.0)
                });
            }
            x += wide + 0.003;
        }
        stage.rectangle(0.0, floor, 1.0, floor + 0.026, Rgb::hex(0x7a4c2a));
        stage.rectangle(0.0, floor, 1.0, floor + 0.007, Rgb::hex(0xa06a3c));
    }
    let post = stage.chance.between(0.3, 0.7);
    for x in [0.0, post, 0.982] {
        stage
            .fill(&Shape::rectangle(x - 0.012, 0.0, x + 0.03, 1.0), |u, _| Rgb::hex(0x85552f).lit(1.1 - 8.0 * (u - x)));
    }
}
