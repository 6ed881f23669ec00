//! What lies behind: outdoors, indoors, the city and space. Units are shares of the picture's side.

mod city;
mod indoors;
mod outdoors;
mod wall;

use crate::chance::Chance;
use crate::factors::Scene;
use crate::raster::noise::mix;
use crate::raster::{Canvas, Frame, Paint, Region, Rgb, Shape};

/// Paints the whole canvas.
pub(super) fn draw(canvas: &mut Canvas, scene: Scene, seed: u64) {
    let frame = Frame::picture(canvas.side());
    let chance = Chance::new(seed, "backdrop");
    let mut stage = SceneCanvas { canvas, frame, chance };
    match scene {
        Scene::Beach => outdoors::beach(&mut stage),
        Scene::Forest => outdoors::forest(&mut stage),
        Scene::Mountains => outdoors::mountains(&mut stage),
        Scene::Garden => outdoors::garden(&mut stage),
        Scene::Desert => outdoors::desert(&mut stage),
        Scene::NightCity => city::night(&mut stage),
        Scene::EiffelTower => city::eiffel_tower(&mut stage),
        Scene::Space => city::space(&mut stage),
        Scene::Garage => indoors::garage(&mut stage),
        Scene::Kitchen => indoors::kitchen(&mut stage),
        Scene::Library => indoors::library(&mut stage),
        Scene::Wall(wall) => wall::wall(&mut stage, wall),
    }
}

/// A canvas with the picture's own frame and the draws of its backdrop.
struct SceneCanvas<'a> {
    canvas: &'a mut Canvas,
    frame: Frame,
    chance: Chance,
}

impl SceneCanvas<'_> {
    fn fill<P: Into<Paint>>(&mut self, shape: &Shape, paint: impl Fn(f32, f32) -> P) {
        self.canvas.fill(&self.frame, shape, Region::Backdrop, paint);
    }

    fn flat(&mut self, shape: &Shape, paint: impl Into<Paint>) {
        self.canvas.flat(&self.frame, shape, Region::Backdrop, paint);
    }

    fn rectangle(&mut self, left: f32, top: f32, right: f32, bottom: f32, paint: impl Into<Paint>) {
        self.flat(&Shape::rectangle(left, top, right, bottom), paint);
    }

    /// From one colour at a height to another further down, over the whole width.
    fn bands(&mut self, (top, upper): (f32, Rgb), (bottom, lower): (f32, Rgb)) {
        self.fill(&Shape::rectangle(0.0, top, 1.0, bottom), |_, y| upper.mix(lower, (y - top) / (bottom - top)));
    }

    /// A few soft clouds.
    fn clouds(&mut self, low: f32, count: usize) {
        for _ in 0..count {
            let (x, y) = (self.chance.between(-0.05, 1.05), self.chance.between(0.04, low));
            let size = self.chance.between(0.05, 0.11);
            for (dx, dy, radius) in [(-1.1, 0.2, 0.6), (-0.3, -0.1, 0.9), (0.6, 0.05, 0.75), (1.3, 0.25, 0.5)] {
                let puff = Shape::ellipse(x + dx * size, y + dy * size, radius * size, 0.6 * radius * size);
                self.flat(&puff, Rgb::WHITE.veil(0.5));
            }
        }
    }

    /// Land up to a ridge given by its height at evenly spaced places.
    fn ridge(&mut self, heights: &[f32], paint: impl Fn(f32, f32) -> Rgb) {
        let last = heights.len().saturating_sub(1).max(1) as f32;
        let mut outline: Vec<(f32, f32)> =
            heights.iter().enumerate().map(|(index, &y)| (mix(-0.1, 1.1, index as f32 / last), y)).collect();
        outline.insert(0, (-0.3, 1.3));
        outline.push((1.3, 1.3));
        self.fill(&Shape::smooth(&outline), paint);
    }

    /// Random heights for [`SceneCanvas::ridge`].
    fn heights<const N: usize>(&mut self, middle: f32, reach: f32) -> [f32; N] {
        std::array::from_fn(|_| self.chance.around(middle, reach))
    }
}
