//! Faces against `facenet_pytorch.MTCNN`, suppression against `torchvision.ops.nms` and `facenet_pytorch`'s own
//! (`fixtures/detection/generate.py`).

use std::path::Path;

use idembed_face::Face;
use idembed_face::detect::{Mtcnn, MtcnnOptions, Overlap, ScoredBox, suppress};
use idembed_integration_tests::{Parity, fixture_dir, photo, read_json, weights};
use idembed_weights::Compute;
use image::RgbImage;
use serde_json::Value;

/// Pixels. Two boxes that show O-Net the same pixels get the same score. Which of them stays is up to the last bit and,
/// in the reference, to the processor: numpy's vector sorts order equal numbers in their own way. They can lie a pixel
/// apart. Other differences are below 1e-3.
const PLACE_LIMIT: f64 = 1.0;
const SCORE_LIMIT: f64 = 1e-3;

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("the fixture lacks `{key}`"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn picture(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
}

fn options(value: &Value) -> MtcnnOptions {
    let number = |key: &str| value[key].as_f64().unwrap();
    let thresholds = numbers(&value["thresholds"]).try_into().unwrap();
    MtcnnOptions { min_face: number("min_face"), factor: number("factor"), thresholds }
}

#[test]
fn faces() {
    let Some(weights) = weights("mtcnn") else { return };
    let folder = fixture_dir("detection");
    let cases = read_json(&folder.join("cases.json"));
    let mut detector = Mtcnn::load(&weights, Compute::CPU_F32).unwrap();
    let mut parity = Parity::new();
    let whole = picture(&photo());
    for (number, case) in items(&cases, "photo").iter().enumerate() {
        detector = detector.with_options(options(&case["options"])).unwrap();
        compare(&format!("detection/photo-{number}"), &detector.detect(&whole).unwrap(), case, &mut parity);
    }
    for case in items(&cases, "variants") {
        let name = case["name"].as_str().unwrap();
        let variant = picture(&folder.join("variants").join(format!("{name}.png")));
        detector = detector.with_options(options(&case["options"])).unwrap();
        compare(&format!("detection/{name}"), &detector.detect(&variant).unwrap(), case, &mut parity);
    }
    parity.finish();
}

fn compare(case: &str, ours: &[Face], expected: &Value, parity: &mut Parity) {
    let expected = items(expected, "faces");
    let (mut place, mut score) = (0.0_f64, 0.0_f64);
    for (ours, expected) in ours.iter().zip(expected) {
        let bounds = [ours.bounds.left, ours.bounds.top, ours.bounds.right, ours.bounds.bottom];
        let points = ours.landmarks.points().into_iter().zip(items(expected, "landmarks"));
        let landmarks = points.flat_map(|(point, expected)| [point.x, point.y].into_iter().zip(numbers(expected)));
        let apart = bounds.into_iter().zip(numbers(&expected["box"])).chain(landmarks);
        place = apart.map(|(ours, expected)| (ours - expected).abs()).fold(place, f64::max);
        score = score.max((ours.score - expected["score"].as_f64().unwrap()).abs());
    }
    parity.check_metric(case, "faces_off", ours.len().abs_diff(expected.len()) as f64, 0.0);
    parity.check_metric(case, "pixels", place, PLACE_LIMIT);
    parity.check_metric(case, "score", score, SCORE_LIMIT);
}

#[test]
fn suppressed_boxes() {
    let cases = read_json(&fixture_dir("detection").join("cases.json"));
    for case in items(&cases, "suppressions") {
        let overlap = match case["overlap"].as_str().unwrap() {
            "union" => Overlap::Union,
            "smaller" => Overlap::Smaller,
            other => panic!("unknown overlap `{other}`"),
        };
        let corners = items(case, "boxes").iter().map(numbers);
        let boxes: Vec<ScoredBox> = corners
            .zip(numbers(&case["scores"]))
            .map(|(corners, score)| ScoredBox {
                corners: [corners[0], corners[1], corners[2], corners[3]].map(|corner| corner as f32),
                score: score as f32,
            })
            .collect();
        let kept = suppress(&boxes, case["threshold"].as_f64().unwrap() as f32, overlap);
        let expected: Vec<usize> = items(case, "kept").iter().map(|index| index.as_u64().unwrap() as usize).collect();
        assert_eq!(kept, expected, "{overlap:?} of {} boxes", boxes.len());
    }
}
