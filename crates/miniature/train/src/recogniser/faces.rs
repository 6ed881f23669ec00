//! Faces cut out of drawn pictures, as a detector would have found them.

use std::f64::consts::TAU;

use idembed_face::recognise::CompactResNet;
use idembed_face::{Face, FaceBox, Landmarks, Point};
use idembed_world::identity::NAMED;
use idembed_world::{Drawn, FaceTruth, Sample, Who};
use image::RgbImage;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::degrade::degrade;
use crate::pixels::to_planes;
use crate::{Result, seeds};

/// People of the street beside the named ones.
const PASSERS: u64 = 3800;
/// How far a detector's landmarks may lie beside the true ones, as a share of the distance from the eyes to the mouth.
const SHIFT: f64 = 0.09;
/// How much larger or smaller a detector may take a face for.
const STRETCH: f64 = 0.09;
/// How far it may turn a face, in turns.
const TURN: f64 = 0.014;

/// Everyone that is trained on, by class.
pub(super) fn people() -> Vec<Who> {
    (0..NAMED).map(Who::Named).chain((0..PASSERS).map(Who::Passer)).collect()
}

/// Faces `first` and following of a run, and whose they are.
///
/// # Shapes
/// - returns: `[count, 3, SIDE, SIDE]`, bytes; `[count]`, classes
pub(super) fn draw(people: &[Who], run: u64, first: u64, count: usize) -> Result<(Tensor, Tensor)> {
    let side = i64::from(CompactResNet::SIDE);
    let mut pixels = Vec::with_capacity(count * 3 * (side * side) as usize);
    let mut classes = Vec::with_capacity(count);
    for index in first..first + count as u64 {
        let seed = seeds::training(run, index);
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let class = chance.random_range(0..people.len());
        let drawn = idembed_world::draw(&Sample::portrait(people[class], seed), idembed_world::SIDE)?;
        let mut face = cut_out(&drawn, &mut chance);
        degrade(&mut face, &mut chance);
        pixels.extend_from_slice(face.as_raw());
        classes.push(class as i64);
    }
    Ok((to_planes(&pixels, count as i64, side)?, Tensor::f_from_slice(&classes)?))
}

/// The first face of a picture; its landmarks are a little off.
pub(super) fn cut_out(drawn: &Drawn, chance: &mut ChaCha8Rng) -> RgbImage {
    let found = drawn.truth.faces.first().map(|truth| detected(truth, chance));
    found.map_or_else(
        || RgbImage::new(CompactResNet::SIDE, CompactResNet::SIDE),
        |face| CompactResNet::cut(&drawn.picture, &face),
    )
}

/// The face as a detector without any error would find it.
pub(crate) fn true_face(truth: &FaceTruth) -> Face {
    // The middle of a pixel is a whole number there, and a half here.
    let number = |value: f32| f64::from(value) - 0.5;
    let points = truth.landmarks.map(|[x, y]| Point::new(number(x), number(y)));
    let [left, top, right, bottom] = truth.bounds.map(number);
    Face { bounds: FaceBox { left, top, right, bottom }, landmarks: Landmarks::from_points(points), score: 1.0 }
}

/// The face as a detector might find it.
fn detected(truth: &FaceTruth, chance: &mut ChaCha8Rng) -> Face {
    let face = true_face(truth);
    let points = face.landmarks.points();
    let [left_eye, right_eye, _, mouth_left, mouth_right] = points;
    let (eyes, mouth) = (left_eye.midpoint(right_eye), mouth_left.midpoint(mouth_right));
    let (centre, size) = (eyes.midpoint(mouth), eyes.distance(mouth));
    // Small errors are more likely than large ones.
    let mut around = |reach: f64| reach * (chance.random::<f64>() + chance.random::<f64>() - 1.0);
    let (right, down) = (around(SHIFT) * size, around(SHIFT) * size);
    let (scale, (sin, cos)) = (1.0 + around(STRETCH), (around(TURN) * TAU).sin_cos());
    let moved = points.map(|point| {
        let (x, y) = (scale * (point.x - centre.x), scale * (point.y - centre.y));
        Point::new(centre.x + right + cos * x - sin * y, centre.y + down + sin * x + cos * y)
    });
    Face { landmarks: Landmarks::from_points(moved), ..face }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_face::align::aligned_face;

    use super::*;

    #[test]
    fn every_face_can_be_aligned_and_is_found_near_where_it_is() {
        for seed in 0..200 {
            let sample = Sample::portrait(Who::Passer(seed), seed);
            let drawn = idembed_world::draw(&sample, idembed_world::SIDE).unwrap();
            let truth = &drawn.truth.faces[0];
            let found = detected(truth, &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(aligned_face(&drawn.picture, &found.landmarks, CompactResNet::SIDE).is_some(), "{seed}");
            let [left_eye, right_eye, ..] = truth.landmarks;
            let reach = f64::from((right_eye[0] - left_eye[0]).hypot(right_eye[1] - left_eye[1]));
            for (point, [x, y]) in found.landmarks.points().into_iter().zip(truth.landmarks) {
                let off = point.distance(Point::new(f64::from(x) - 0.5, f64::from(y) - 0.5));
                assert!(off < 0.35 * reach, "{seed}: {off} of {reach}");
            }
        }
    }

    #[test]
    fn a_share_is_a_part_of_the_whole() {
        let people = people();
        let (pixels, classes) = draw(&people, 3, 10, 5).unwrap();
        assert_eq!(pixels.size(), [5, 3, 64, 64]);
        let (part, of_part) = draw(&people, 3, 12, 2).unwrap();
        assert_eq!(part, pixels.narrow(0, 2, 2));
        assert_eq!(of_part, classes.narrow(0, 2, 2));
        assert!(classes.max().int64_value(&[]) < people.len() as i64);
    }
}
