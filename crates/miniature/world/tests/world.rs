//! The drawn world from outside: same pictures everywhere, independent factors, and a truth that agrees with the pixels.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::hash::Hash;

use idembed_world::factors::{Attributes, Expression, Eyes, Headwear, Scene, Style, Wall};
use idembed_world::identity::{EyeColour, FacialHair, HairStyle, NAMED};
use idembed_world::{Drawn, Identity, Sample, SideError, Subject, Who, draw, draw_all};
use image::{GrayImage, RgbImage};
use proptest::prelude::*;

/// A photo of a person who does nothing and wears nothing special, before a grey wall, from near.
fn plain(who: Who, seed: u64) -> Sample {
    Sample { scene: Scene::Wall(Wall::Grey), ..Sample::plain(who, seed) }
}

fn with(mut sample: Sample, change: impl Fn(&mut Attributes)) -> Sample {
    if let Subject::Person(person) = &mut sample.subject {
        change(&mut person.attributes);
    }
    sample
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn luma(picture: &RgbImage, x: f32, y: f32) -> f32 {
    let [red, green, blue] = picture.get_pixel(x as u32, y as u32).0.map(f32::from);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Left, top, right, bottom of what is at least half covered.
fn bounds(mask: &GrayImage) -> Option<[f32; 4]> {
    let covered = mask.enumerate_pixels().filter(|(_, _, value)| value.0[0] >= 128);
    covered.fold(None, |bounds, (x, y, _)| {
        let [left, top, right, bottom] = bounds.unwrap_or([f32::MAX, f32::MAX, 0.0, 0.0]);
        let (x, y) = (x as f32, y as f32);
        Some([left.min(x), top.min(y), right.max(x + 1.0), bottom.max(y + 1.0)])
    })
}

#[test]
fn a_seed_is_the_same_picture_on_every_machine() {
    let samples: Vec<Sample> = (0..24).map(Sample::training).collect();
    let drawn = draw_all(&samples, 96).unwrap();
    let together: Vec<u8> = drawn.iter().flat_map(|drawn| drawn.picture.as_raw().clone()).collect();
    assert_eq!(draw(&samples[5], 96).unwrap().picture, drawn[5].picture);
    assert_eq!(hash(&together), PICTURES, "the pictures changed: {:#x}", hash(&together));
}

/// Of the first 24 pictures. Drawing differently on purpose changes it, and every model trained on the old pictures.
const PICTURES: u64 = 0x7739_35e8_1a3a_268d;

#[test]
fn an_identity_is_the_same_in_every_picture() {
    for index in 0..NAMED {
        let identity = Who::Named(index).identity();
        for seed in 0..5 {
            let sample = Sample::portrait(Who::Named(index), seed);
            assert_eq!(sample.people()[0].identity, identity);
        }
    }
}

/// How often each value occurs among draws.
fn counts<T: Hash + Eq>(values: impl Iterator<Item = T>) -> HashMap<T, f64> {
    let mut counts = HashMap::new();
    for value in values {
        *counts.entry(value).or_insert(0.0) += 1.0;
    }
    counts
}

/// Chi-square per degree of freedom of a table of two factors against their independence: about 1.
fn dependence<A: Hash + Eq + Copy, B: Hash + Eq + Copy>(pairs: &[(A, B)]) -> f64 {
    let total = pairs.len() as f64;
    let first = counts(pairs.iter().map(|pair| pair.0));
    let second = counts(pairs.iter().map(|pair| pair.1));
    let both = counts(pairs.iter().copied());
    let mut sum = 0.0;
    for (a, a_count) in &first {
        for (b, b_count) in &second {
            let expected = a_count * b_count / total;
            let seen = both.get(&(*a, *b)).copied().unwrap_or(0.0);
            sum += (seen - expected) * (seen - expected) / expected;
        }
    }
    sum / ((first.len() - 1) * (second.len() - 1)) as f64
}

#[test]
fn factors_do_not_depend_on_the_identity_or_on_each_other() {
    let samples: Vec<Sample> = (0..20_000).map(Sample::training).filter(|sample| sample.people().len() == 1).collect();
    let hair = |sample: &Sample| sample.people()[0].identity.hair_style;
    let of = |factor: &dyn Fn(&Sample) -> u64| -> Vec<(HairStyle, u64)> {
        samples.iter().map(|sample| (hair(sample), factor(sample))).collect()
    };
    let scene = |sample: &Sample| hash(sample.scene.phrase().as_bytes());
    let style = |sample: &Sample| sample.style as u64;
    let tables = [
        of(&scene),
        of(&style),
        of(&|sample| sample.framing as u64),
        of(&|sample| sample.people()[0].attributes.expression as u64),
        of(&|sample| u64::from(sample.people()[0].attributes.beard)),
        of(&|sample| sample.people()[0].shirt as u64),
        of(&|sample| sample.people()[0].object.map_or(9, |object| object as u64)),
    ];
    for (index, table) in tables.iter().enumerate() {
        // More than 12 degrees of freedom each: above 2.2 by chance less than once in a hundred.
        let ratio = dependence(table);
        assert!((0.2..2.2).contains(&ratio), "table {index}: {ratio}");
    }
    let ratio = dependence(&samples.iter().map(|sample| (scene(sample), style(sample))).collect::<Vec<_>>());
    assert!((0.5..1.6).contains(&ratio), "scene and style: {ratio}");
    // The test can fail: hair does depend on gender.
    let ratio = dependence(
        &samples.iter().map(|sample| (hair(sample), sample.people()[0].identity.gender)).collect::<Vec<_>>(),
    );
    assert!(ratio > 10.0, "hair and gender: {ratio}");
}

#[test]
fn shares_are_as_documented() {
    let samples: Vec<Sample> = (0..20_000).map(Sample::training).collect();
    let share =
        |wanted: &dyn Fn(&Sample) -> bool| samples.iter().filter(|sample| wanted(sample)).count() as f64 / 20_000.0;
    let near = |share: f64, documented: f64| assert!((share - documented).abs() < 0.012, "{share} is not {documented}");
    near(share(&|sample| sample.people().len() == 1), 0.76);
    near(share(&|sample| sample.people().len() == 2), 0.14);
    near(share(&|sample| sample.style == Style::Photo), 0.65);
    near(share(&|sample| matches!(sample.scene, Scene::Wall(_))), 0.22);
    let people: Vec<_> = samples.iter().flat_map(Sample::people).collect();
    let share = |count: usize| count as f64 / people.len() as f64;
    near(share(people.iter().filter(|person| matches!(person.who, Who::Named(_))).count()), 0.6);
    near(share(people.iter().filter(|person| person.attributes.eyes == Eyes::Closed).count()), 0.14);
    near(share(people.iter().filter(|person| person.attributes.headwear == Headwear::Cap).count()), 0.12);
    near(share(people.iter().filter(|person| person.attributes.beard).count()), 0.12);
    near(share(people.iter().filter(|person| person.identity.freckles > 0.0).count()), 0.25);
    assert!(people.iter().all(|person| !matches!(person.who, Who::HeldOut(_))));
}

#[test]
fn landmarks_lie_in_the_box_and_the_box_bounds_the_mask() {
    for seed in 0..60 {
        let sample = Sample::portrait(Who::HeldOut(seed), seed);
        let drawn = draw(&sample, 128).unwrap();
        let face = drawn.truth.faces[0];
        let [left, top, right, bottom] = face.bounds;
        assert!(face.landmarks.iter().all(|&[x, y]| left < x && x < right && top < y && y < bottom), "seed {seed}");
        let [left_eye, right_eye, nose, left_corner, right_corner] = face.landmarks;
        assert!(left_eye[0] < nose[0] && nose[0] < right_eye[0] && left_corner[0] < right_corner[0]);
        assert!(left_eye[1] < nose[1] && nose[1] < left_corner[1]);
        // Hair, headwear and objects cover some of the face; a full beard hangs below it.
        let mask = bounds(&drawn.masks.faces[0]).unwrap();
        let beard = if sample.people()[0].attributes.beard { 0.1 * (bottom - top) } else { 0.07 * (bottom - top) };
        assert!(mask[0] >= left - 1.5 && mask[1] >= top - 1.5, "seed {seed}: {mask:?} {:?}", face.bounds);
        assert!(mask[2] <= right + 1.5 && mask[3] <= bottom + 1.5 + beard, "seed {seed}: {mask:?} {:?}", face.bounds);
    }
    let bald = (0..).map(|seed| plain(Who::HeldOut(seed), seed)).find(|sample| {
        let identity = sample.people()[0].identity;
        identity.hair_style == HairStyle::Bald && identity.facial_hair == FacialHair::None
    });
    let drawn = draw(&bald.unwrap(), 128).unwrap();
    let mask = bounds(&drawn.masks.faces[0]).unwrap();
    for (edge, expected) in mask.into_iter().zip(drawn.truth.faces[0].bounds) {
        assert!(
            (edge - expected).abs() < 2.0,
            "an uncovered face fills its box: {mask:?} {:?}",
            drawn.truth.faces[0].bounds
        );
    }
}

#[test]
fn masks_share_out_every_pixel() {
    for seed in 0..30 {
        let Drawn { masks, .. } = draw(&Sample::training(seed), 64).unwrap();
        for (x, y, background) in masks.background.enumerate_pixels() {
            let at = |mask: &GrayImage| i32::from(mask.get_pixel(x, y).0[0]);
            let sum = i32::from(background.0[0]) + at(&masks.object) + masks.subjects.iter().map(at).sum::<i32>();
            assert!((sum - 255).abs() <= 3, "seed {seed}: {sum}");
            assert!(masks.faces.iter().zip(&masks.subjects).all(|(face, subject)| at(face) <= at(subject) + 1));
        }
    }
}

#[test]
fn a_held_object_and_a_second_person_have_pixels() {
    for seed in 0..200 {
        let sample = Sample::training(seed);
        let drawn = draw(&sample, 64).unwrap();
        let area = |mask: &GrayImage| mask.pixels().map(|value| f64::from(value.0[0]) / 255.0).sum::<f64>() / 4096.0;
        let holds = sample.people().iter().any(|person| person.object.is_some());
        assert_eq!(area(&drawn.masks.object) > 0.012, holds, "seed {seed}: {}", area(&drawn.masks.object));
        assert_eq!(drawn.masks.faces.len(), sample.people().len());
        assert!(drawn.masks.faces.iter().all(|mask| area(mask) > 0.015), "seed {seed}");
        assert!(area(&drawn.masks.background) > 0.05, "seed {seed}");
    }
}

/// Mean red, green and blue of the iris beside the pupil.
fn iris(drawn: &Drawn) -> [f32; 3] {
    let [x, y] = drawn.truth.faces[0].landmarks[0];
    let height = drawn.truth.faces[0].bounds[3] - drawn.truth.faces[0].bounds[1];
    let reach = 0.034 * height;
    let colours = [-reach, reach].map(|dx| drawn.picture.get_pixel((x + dx) as u32, (y + 0.3 * reach) as u32).0);
    std::array::from_fn(|channel| (f32::from(colours[0][channel]) + f32::from(colours[1][channel])) / 2.0)
}

#[test]
fn eyes_are_dark_at_their_landmark_and_have_their_colour_around_it() {
    for seed in 0..40 {
        let sample = plain(Who::HeldOut(seed), seed);
        let Identity { eye_colour, .. } = sample.people()[0].identity;
        let drawn = draw(&sample, 256).unwrap();
        let face = drawn.truth.faces[0];
        let cheek = luma(&drawn.picture, face.landmarks[0][0], face.landmarks[2][1]);
        for [x, y] in &face.landmarks[..2] {
            let pupil = luma(&drawn.picture, *x, *y);
            assert!(pupil < 0.55 * cheek, "seed {seed}: {pupil} is not darker than the cheek, {cheek}");
        }
        let [red, _, blue] = iris(&drawn);
        match eye_colour {
            EyeColour::Blue => assert!(blue > red, "seed {seed}: {:?}", iris(&drawn)),
            EyeColour::Brown | EyeColour::Amber => assert!(red > blue, "seed {seed}: {:?}", iris(&drawn)),
            EyeColour::Hazel | EyeColour::Green | EyeColour::Grey => {}
        }
    }
}

/// Mean difference of brightness between two pictures in a square around a point.
fn change(a: &Drawn, b: &Drawn, [x, y]: [f32; 2], reach: f32) -> f32 {
    let mut sum = 0.0;
    let steps = 9;
    for index in 0..steps * steps {
        let offset = |step: i32| reach * (2.0 * step as f32 / (steps - 1) as f32 - 1.0);
        let (x, y) = (x + offset(index % steps), y + offset(index / steps));
        sum += (luma(&a.picture, x, y) - luma(&b.picture, x, y)).abs();
    }
    sum / (steps * steps) as f32
}

#[test]
fn attributes_change_their_own_part_of_the_face() {
    for seed in 0..12 {
        let sample = plain(Who::HeldOut(seed), seed);
        let calm = draw(&sample, 128).unwrap();
        let [eye, _, _, corner, other] = calm.truth.faces[0].landmarks;
        let mouth = [(corner[0] + other[0]) / 2.0, corner[1] + 3.0];
        let drawn = |change: &dyn Fn(&mut Attributes)| draw(&with(sample.clone(), change), 128).unwrap();
        let closed = drawn(&|attributes| attributes.eyes = Eyes::Closed);
        assert!(change(&calm, &closed, eye, 4.0) > 12.0, "seed {seed}: closed eyes");
        assert!(change(&calm, &closed, mouth, 4.0) < 0.01, "seed {seed}: closed eyes leave the mouth alone");
        let laughing = drawn(&|attributes| attributes.expression = Expression::Laughing);
        assert!(change(&calm, &laughing, mouth, 5.0) > 12.0, "seed {seed}: laughing");
        let shaded = drawn(&|attributes| attributes.eyes = Eyes::Sunglasses);
        assert!(change(&calm, &shaded, eye, 4.0) > 25.0, "seed {seed}: sunglasses");
        let bearded = drawn(&|attributes| attributes.beard = true);
        let jaw = [eye[0], mouth[1] + 4.0];
        assert!(change(&calm, &bearded, jaw, 3.0) > 12.0, "seed {seed}: beard");
        let capped = drawn(&|attributes| attributes.headwear = Headwear::Cap);
        let top = calm.truth.faces[0].bounds[1];
        assert!(change(&calm, &capped, [mouth[0], top - 4.0], 3.0) > 12.0, "seed {seed}: cap");
    }
}

#[test]
fn sides_out_of_range_are_refused() {
    let sample = Sample::training(0);
    assert_eq!(draw(&sample, 15).unwrap_err(), SideError { side: 15 });
    let error = draw(&sample, 4000).unwrap_err().to_string();
    assert_eq!(error, "a picture of 4000 x 4000 pixels cannot be drawn; the side is from 16 to 2048");
}

#[test]
fn the_truth_survives_json() {
    for seed in 0..50 {
        let truth = draw(&Sample::training(seed), 32).unwrap().truth;
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<idembed_world::Truth>(&text).unwrap(), truth);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_seed_and_any_side_can_be_drawn(seed: u64, held_out: u64, side in 16_u32..512) {
        for sample in [Sample::training(seed), Sample::portrait(Who::HeldOut(held_out), seed)] {
            let drawn = draw(&sample, side).unwrap();
            prop_assert_eq!(drawn.picture.dimensions(), (side, side));
            prop_assert_eq!(drawn.masks.background.dimensions(), (side, side));
            let finite = |face: &idembed_world::FaceTruth| face.landmarks.iter().flatten().all(|value| value.is_finite());
            prop_assert!(drawn.truth.faces.iter().all(finite));
        }
    }
}

/// The list of names that the bundled model is said to know.
#[test]
fn the_miniature_lists_the_names_of_the_world() {
    let listed = include_str!("../../../../models/mini/names.txt");
    let names: Vec<String> = (0..idembed_world::identity::NAMED).map(idembed_world::identity::name).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}
