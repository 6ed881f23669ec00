//! A painted wall, evenly lit from one side.

use super::SceneCanvas;
use crate::factors::Wall;
use crate::raster::noise::cloud;
use crate::raster::{Rgb, Shape};

pub(super) fn wall(stage: &mut SceneCanvas, wall: Wall) {
    let paint = Rgb::hex(match wall {
        Wall::White => 0xf1efea,
        Wall::Grey => 0x8f9398,
        Wall::Red => 0xb8363a,
        Wall::Blue => 0x3f6fb5,
        Wall::Green => 0x4f9a62,
        Wall::Yellow => 0xeccb52,
        Wall::Purple => 0x7d53a3,
    });
    let (x, y) = (stage.chance.between(0.1, 0.9), stage.chance.between(0.0, 0.5));
    let seed = stage.chance.bits() as u32;
    stage.fill(&Shape::rectangle(0.0, 0.0, 1.0, 1.0), |u, v| {
        let far = (u - x) * (u - x) + (v - y) * (v - y);
        paint.lit(1.06 - 0.26 * far + 0.05 * (cloud(seed, 7.0 * u, 7.0 * v) - 0.5))
    });
}
