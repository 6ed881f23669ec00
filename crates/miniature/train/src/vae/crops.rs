//! What the autoencoder learns from: drawn pictures and parts of them.

use idembed_world::{Drawn, SIDE as WHOLE, Sample};
use image::imageops;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::pixels::to_planes;
use crate::{Result, seeds};

/// The side of a crop in pixels.
pub(super) const SIDE: i64 = 64;
/// Crops of one picture: drawing takes time, and the two have little in common.
const PER_PICTURE: u64 = 2;
/// How far a face may be from the middle of its crop, in pixels.
const JITTER: f32 = 20.0;

/// The pictures of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pictures {
    /// The run's seed.
    pub(super) run: u64,
}

impl Pictures {
    /// Whole pictures from `first` on.
    ///
    /// # Shapes
    /// - returns: `[count, 3, SIDE, SIDE]` with the side of the world's pictures, bytes
    pub(super) fn whole(&self, first: u64, count: usize) -> Result<Tensor> {
        let mut pixels = Vec::with_capacity(count * 3 * (WHOLE * WHOLE) as usize);
        for index in first..first + count as u64 {
            let sample = Sample::training(seeds::training(self.run, index));
            pixels.extend_from_slice(idembed_world::draw(&sample, WHOLE)?.picture.as_raw());
        }
        to_planes(&pixels, count as i64, WHOLE.into())
    }

    /// Crops from `first` on: by turns one around a face and one from anywhere.
    ///
    /// # Shapes
    /// - returns: `[count, 3, SIDE, SIDE]`, bytes
    pub(super) fn crops(&self, first: u64, count: usize) -> Result<Tensor> {
        let mut pixels = Vec::with_capacity(count * 3 * (SIDE * SIDE) as usize);
        let mut last: Option<(u64, Drawn)> = None;
        for index in first..first + count as u64 {
            let seed = seeds::training(self.run, index / PER_PICTURE);
            let drawn = match last.take() {
                Some((of, drawn)) if of == seed => drawn,
                _ => idembed_world::draw(&Sample::training(seed), WHOLE)?,
            };
            let (x, y) = place(&drawn, seed, index % PER_PICTURE == 0);
            let crop = imageops::crop_imm(&drawn.picture, x, y, SIDE as u32, SIDE as u32).to_image();
            pixels.extend_from_slice(crop.as_raw());
            last = Some((seed, drawn));
        }
        to_planes(&pixels, count as i64, SIDE)
    }
}

/// Where a crop begins.
fn place(drawn: &Drawn, seed: u64, on_face: bool) -> (u32, u32) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let room = drawn.picture.width() - SIDE as u32;
    let anywhere = (chance.random_range(0..=room), chance.random_range(0..=room));
    let faces = &drawn.truth.faces;
    if !on_face || faces.is_empty() {
        return anywhere;
    }
    let face = &faces[chance.random_range(0..faces.len())];
    let [left, top, right, bottom] = face.bounds;
    let mut start = |low: f32, high: f32| {
        let middle = 0.5 * (low + high) + chance.random_range(-JITTER..JITTER);
        // A cast from floats clamps at zero.
        ((middle - 0.5 * SIDE as f32) as u32).min(room)
    };
    (start(left, right), start(top, bottom))
}
