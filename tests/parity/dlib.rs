//! dlib's face recogniser against dlib: a narrow network, a small predictor and drawn faces (`fixtures/dlib/generate.py`),
//! and the true ones on a photo (`fixtures/dlib_face/generate.py`).

use std::path::Path;

use idembed_face::detect::Mtcnn;
use idembed_face::recognise::dlib::{CHIP_SIDE, DlibResNet, LandmarkPredictor, Parts, PixelBox, face_chip};
use idembed_face::recognise::{self, Recogniser};
use idembed_face::{Face, FaceBox, FaceError, Landmarks, Photo, Point};
use idembed_integration_tests::{Fixture, Parity, fixture_dir, photo, read_json, read_safetensors, weights};
use idembed_weights::{Compute, WeightsError};
use image::{Rgb, RgbImage, imageops};
use serde_json::Value;
use tch::Tensor;

/// f32 on both sides, relative to the largest number of an embedding.
const EMBEDDING_LIMIT: f64 = 1e-4;
/// dlib rounds to whole pixels; where a number lies between two of them, so may the results.
const LANDMARK_LIMIT: f64 = 1.0;
/// Grey levels.
const CHIP_LIMIT: f64 = 1.0;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn parts(case: &Value) -> Parts {
    let points = case["parts"].as_array().unwrap().iter().map(numbers);
    points.map(|point| Point::new(point[0], point[1])).collect::<Vec<_>>().try_into().unwrap()
}

fn pixel_box(case: &Value) -> PixelBox {
    let edges = numbers(&case["box"]);
    PixelBox { left: edges[0], top: edges[1], right: edges[2], bottom: edges[3] }
}

/// A picture of which each number of `fields` fills a square.
fn picture(fixture: &Fixture, fields: &str) -> RgbImage {
    let side = fixture.cases["field"].as_u64().unwrap() as u32;
    let fields = fixture.tensor(fields);
    let (height, width) = (fields.size()[0] as u32, fields.size()[1] as u32);
    let levels = Vec::<u8>::try_from(fields.reshape([-1])).unwrap();
    let small = RgbImage::from_raw(width, height, levels).unwrap();
    imageops::resize(&small, width * side, height * side, imageops::FilterType::Nearest)
}

fn tensor(embeddings: &ndarray::Array2<f32>) -> Tensor {
    let (rows, columns) = embeddings.dim();
    Tensor::from_slice(embeddings.as_slice().unwrap()).view([rows as i64, columns as i64])
}

fn farthest(ours: &Parts, expected: &Parts) -> f64 {
    let along = |(a, b): (&Point, &Point)| (a.x - b.x).abs().max((a.y - b.y).abs());
    ours.iter().zip(expected).map(along).fold(0.0, f64::max)
}

fn levels_off<'a>(ours: impl Iterator<Item = &'a Rgb<u8>>, expected: impl Iterator<Item = &'a Rgb<u8>>) -> f64 {
    let off = |(a, b): (&Rgb<u8>, &Rgb<u8>)| a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap();
    f64::from(ours.zip(expected).map(off).max().unwrap())
}

#[test]
fn embeddings() {
    let fixture = Fixture::open("dlib");
    let network = recognise::load(&fixture.folder.join("model.safetensors"), Compute::CPU_F32).unwrap();
    let chips: Vec<RgbImage> = (0..3).map(|index| picture(&fixture, &format!("fields.{index}"))).collect();
    let expected = fixture.tensor("embeddings");
    let together = network.embed(&chips).unwrap();
    let mut parity = Parity::new();
    parity.check_tensors("dlib/embeddings.batch-3", &tensor(&together), expected, EMBEDDING_LIMIT);
    let alone = network.embed(&chips[1..2]).unwrap();
    parity.check_tensors("dlib/embeddings.batch-1", &tensor(&alone), &expected.narrow(0, 1, 1), EMBEDDING_LIMIT);
    parity.finish();
    assert_eq!(network.dimension() as i64, expected.size()[1]);
    assert_eq!(network.distance_scale().unwrap().same_below, 0.6);
    assert_eq!(network.embed(&[]).unwrap().dim(), (0, network.dimension()));
    let error = network.embed(&[RgbImage::new(112, 112)]).unwrap_err();
    assert_eq!(error.to_string(), "a picture of 112 x 112 pixels was given to a network for 150 x 150");
}

#[test]
fn landmarks() {
    let fixture = Fixture::open("dlib");
    let predictor = LandmarkPredictor::load(&fixture.folder.join("model.safetensors")).unwrap();
    let photo = picture(&fixture, "photo.fields");
    let mut parity = Parity::new();
    for (number, case) in fixture.list("landmarks").iter().enumerate() {
        let ours = predictor.predict(&photo, pixel_box(case));
        parity.check_metric(
            &format!("dlib/landmarks.{number}"),
            "pixels",
            farthest(&ours, &parts(case)),
            LANDMARK_LIMIT,
        );
    }
    parity.finish();
}

#[test]
fn chips() {
    let fixture = Fixture::open("dlib");
    let photo = picture(&fixture, "photo.fields");
    let mut parity = Parity::new();
    for case in fixture.list("chips") {
        let name = case["name"].as_str().unwrap();
        let chip = face_chip(&photo, &parts(case));
        let expected = Vec::<u8>::try_from(fixture.tensor(name).reshape([-1])).unwrap();
        let expected = RgbImage::from_raw(CHIP_SIDE / 3, CHIP_SIDE / 3, expected).unwrap();
        let ours = expected.enumerate_pixels().map(|(x, y, _)| &chip[(3 * x, 3 * y)]);
        parity.check_metric(&format!("dlib/{name}"), "max_levels", levels_off(ours, expected.pixels()), CHIP_LIMIT);
    }
    parity.finish();
}

#[test]
fn a_photo() {
    let (Some(weights), Some(detector)) = (weights("dlib-face"), weights("mtcnn")) else { return };
    let file = weights.join("model.safetensors");
    let network = DlibResNet::load(&file, Compute::CPU_F32).unwrap();
    let predictor = LandmarkPredictor::load(&file).unwrap();
    let detector = Mtcnn::load(&detector, Compute::CPU_F32).unwrap();
    let folder = fixture_dir("dlib_face");
    let plain = Photo::open(&photo()).unwrap().pixels;
    let mut parity = Parity::new();
    for case in read_json(&folder.join("cases.json")).as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let photo = if name == "mirrored" { imageops::flip_horizontal(&plain) } else { plain.clone() };
        let expected = image::open(folder.join(name).with_extension("png")).unwrap().into_rgb8();
        let landmarks = predictor.predict(&photo, pixel_box(case));
        let off = farthest(&landmarks, &parts(case));
        parity.check_metric(&format!("dlib/{name}.landmarks"), "pixels", off, LANDMARK_LIMIT);
        let off = levels_off(face_chip(&photo, &parts(case)).pixels(), expected.pixels());
        parity.check_metric(&format!("dlib/{name}.chip"), "max_levels", off, CHIP_LIMIT);

        let embedding = numbers(&case["embedding"]);
        let wanted = Tensor::from_slice(&embedding).view([1, -1]);
        let ours = network.embed(&[expected]).unwrap();
        parity.check_tensors(&format!("dlib/{name}.embedding"), &tensor(&ours), &wanted, EMBEDDING_LIMIT);
        // By our own detector and box.
        let faces = detector.detect(&photo).unwrap();
        let found = network.embed(&[network.crop(&photo, &faces[0])]).unwrap();
        let distance = recognise::distance(found.row(0), ours.row(0));
        parity.check_metric(&format!("dlib/{name}.end-to-end"), "distance", distance.into(), 0.1);
    }
    parity.finish();
}

/// The narrow network's file, spoiled.
fn refused(spoil: impl FnOnce(&mut std::collections::BTreeMap<String, Tensor>)) -> FaceError {
    let mut tensors = read_safetensors(&fixture_dir("dlib").join("model.safetensors"));
    spoil(&mut tensors);
    let file = tempfile::NamedTempFile::new().unwrap();
    let tensors: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Tensor::write_safetensors(&tensors, file.path()).unwrap();
    recognise::load(Path::new(file.path()), Compute::CPU_F32).map(|_| ()).unwrap_err()
}

fn content(error: FaceError) -> WeightsError {
    match error {
        FaceError::Weights(idembed_weights::Error::Content { source, .. }) => source,
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

#[test]
fn tensors_must_be_those_of_the_network_and_the_predictor() {
    for name in ["network.mean", "network.blocks.3.conv1.bias", "network.embedding.weight", "landmarks.leaves"] {
        let error = content(refused(|tensors| assert!(tensors.remove(name).is_some())));
        assert_eq!(error.to_string(), format!("tensor `{name}` is missing"));
    }
    for name in ["network.blocks.14.conv1.weight", "landmarks.more"] {
        let error =
            content(refused(|tensors| assert!(tensors.insert(name.to_owned(), Tensor::from(1.0_f32)).is_none())));
        assert_eq!(error.to_string(), format!("tensor `{name}` belongs to no part of the network (1 such tensors)"));
    }
    for name in ["network.stem.affine.weight", "network.blocks.5.conv2.weight", "landmarks.offsets", "landmarks.pixels"]
    {
        let error = content(refused(|tensors| {
            let tensor = tensors.get_mut(name).unwrap();
            *tensor = Tensor::cat(&[&*tensor, &*tensor], 0);
        }));
        assert!(matches!(error, WeightsError::Shape { .. }), "{name}: {error}");
    }
}

#[test]
fn a_predictor_that_asks_for_what_is_not_there_is_refused() {
    for (name, value) in [
        ("landmarks.pixels", 14.0),
        ("landmarks.pixels", -1.0),
        ("landmarks.pixels", 0.5),
        ("landmarks.anchors", 5.0),
        ("landmarks.anchors", f64::NAN),
    ] {
        let error = refused(|tensors| {
            let _ = tensors.get_mut(name).unwrap().view([-1]).get(3).fill_(value);
        });
        assert!(matches!(error, FaceError::Landmarks { .. }), "{name} {value}: {error}");
    }
}

#[test]
fn any_face_gives_a_picture() {
    let network = recognise::load(&fixture_dir("dlib").join("model.safetensors"), Compute::CPU_F32).unwrap();
    let photo = Photo::open(&photo()).unwrap().pixels;
    let landmarks = Landmarks::from_points([Point::default(); 5]);
    let edges =
        [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -1e300, 1e300, -1e9, 1e9, -600.0, 0.0, 200.0, 201.0, 700.0];
    for left in edges {
        for right in edges {
            for (top, bottom) in [(left, right), (150.0, 260.0), (0.0, 0.0)] {
                let face = Face { bounds: FaceBox { left, top, right, bottom }, landmarks, score: 1.0 };
                assert_eq!(network.crop(&photo, &face).dimensions(), (CHIP_SIDE, CHIP_SIDE), "{face:?}");
            }
        }
    }
    let face = Face { bounds: FaceBox { left: 0.0, top: 0.0, right: 9.0, bottom: 9.0 }, landmarks, score: 1.0 };
    for (width, height) in [(0, 0), (1, 1), (3, 900), (900, 2)] {
        assert_eq!(network.crop(&RgbImage::new(width, height), &face).dimensions(), (CHIP_SIDE, CHIP_SIDE));
    }
}
