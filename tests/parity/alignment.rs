//! Similarities, warped pictures, aligned faces and turned portraits against scikit-image.

use idembed_face::align::{ALIGNED_SIDE, Outside, Similarity, aligned_face, portrait, warp};
use idembed_face::{Face, FaceBox, Landmarks, Point};
use idembed_integration_tests::{Fixture, Parity, pixels_off};
use image::RgbImage;
use serde_json::Value;
use tch::Tensor;

/// f64 on both sides; scikit-image goes through a singular value decomposition.
const MATRIX_LIMIT: f64 = 1e-9;
/// Share of the pixels that may differ by more than one grey level.
const PIXELS_LIMIT: f64 = 1e-3;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn points(value: &Value) -> Vec<Point> {
    numbers(value).chunks_exact(2).map(|pair| Point::new(pair[0], pair[1])).collect()
}

fn landmarks(case: &Value) -> Landmarks {
    Landmarks::from_points(points(&case["landmarks"]).try_into().unwrap())
}

fn side(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// The picture in a tensor `[height, width, 3]`.
fn picture(fixture: &Fixture, name: &str) -> RgbImage {
    let tensor = fixture.tensor(name);
    let size = tensor.size();
    let levels = Vec::<u8>::try_from(tensor.reshape([-1])).unwrap();
    RgbImage::from_raw(size[1] as u32, size[0] as u32, levels).unwrap()
}

fn compare_matrix(parity: &mut Parity, case: &str, ours: &Similarity, expected: &Value) {
    let ours = Tensor::from_slice(ours.matrix().as_flattened());
    parity.check_tensors(case, &ours, &Tensor::from_slice(&numbers(expected)), MATRIX_LIMIT);
}

fn compare_pixels(parity: &mut Parity, case: &str, ours: RgbImage, expected: RgbImage) {
    parity.check_metric(case, "pixels_off", pixels_off(&ours, &expected), PIXELS_LIMIT);
}

#[test]
fn estimates() {
    let fixture = Fixture::open("alignment");
    let mut parity = Parity::new();
    for (number, case) in fixture.list("estimates").iter().enumerate() {
        let ours = Similarity::estimate(&points(&case["source"]), &points(&case["target"])).unwrap();
        compare_matrix(&mut parity, &format!("alignment/estimate.{number}"), &ours, &case["matrix"]);
    }
    parity.finish();
}

#[test]
fn warped_pictures() {
    let fixture = Fixture::open("alignment");
    let mut parity = Parity::new();
    for (number, case) in fixture.list("warps").iter().enumerate() {
        let from = picture(&fixture, &format!("picture.{}", case["picture"].as_str().unwrap()));
        let matrix = numbers(&case["matrix"]);
        let transform = Similarity { a: matrix[0], b: matrix[3], tx: matrix[2], ty: matrix[5] };
        let outside = match case["outside"].as_str().unwrap() {
            "edge" => Outside::Edge,
            _ => Outside::Black,
        };
        let ours = warp(&from, &transform, side(&case["width"]), side(&case["height"]), outside);
        let name = format!("warp.{number}");
        compare_pixels(&mut parity, &format!("alignment/{name}"), ours, picture(&fixture, &name));
    }
    parity.finish();
}

#[test]
fn aligned_faces() {
    let fixture = Fixture::open("alignment");
    let mut parity = Parity::new();
    let part = picture(&fixture, "picture.part");
    for (number, case) in fixture.list("faces").iter().enumerate() {
        let name = format!("face.{number}");
        let ours = aligned_face(&part, &landmarks(case), ALIGNED_SIDE).unwrap();
        compare_matrix(&mut parity, &format!("alignment/{name}.matrix"), &ours.transform, &case["matrix"]);
        compare_pixels(&mut parity, &format!("alignment/{name}"), ours.picture, picture(&fixture, &name));
    }
    parity.finish();
}

#[test]
fn turned_portraits() {
    let fixture = Fixture::open("alignment");
    let mut parity = Parity::new();
    let part = picture(&fixture, "picture.part");
    // A portrait is framed by the landmarks alone.
    let bounds = FaceBox { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
    for (number, case) in fixture.list("portraits").iter().enumerate() {
        let name = format!("portrait.{number}");
        let face = Face { bounds, landmarks: landmarks(case), score: 1.0 };
        let ours = portrait(&part, &face, side(&case["side"])).unwrap();
        compare_matrix(&mut parity, &format!("alignment/{name}.matrix"), &ours.transform, &case["matrix"]);
        compare_pixels(&mut parity, &format!("alignment/{name}"), ours.picture, picture(&fixture, &name));
    }
    parity.finish();
}
