//! The whole cascade with networks that know nothing: their random boxes reach every edge that real ones hardly touch.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tch::Tensor;
use tempfile::TempDir;

use super::*;

const PNET: &[(&str, &[i64])] = &[
    ("conv1", &[10, 3, 3, 3]),
    ("prelu1", &[10]),
    ("conv2", &[16, 10, 3, 3]),
    ("prelu2", &[16]),
    ("conv3", &[32, 16, 3, 3]),
    ("prelu3", &[32]),
    ("conv4_1", &[2, 32, 1, 1]),
    ("conv4_2", &[4, 32, 1, 1]),
];
const RNET: &[(&str, &[i64])] = &[
    ("conv1", &[28, 3, 3, 3]),
    ("prelu1", &[28]),
    ("conv2", &[48, 28, 3, 3]),
    ("prelu2", &[48]),
    ("conv3", &[64, 48, 2, 2]),
    ("prelu3", &[64]),
    ("dense4", &[128, 576]),
    ("prelu4", &[128]),
    ("dense5_1", &[2, 128]),
    ("dense5_2", &[4, 128]),
];
const ONET: &[(&str, &[i64])] = &[
    ("conv1", &[32, 3, 3, 3]),
    ("prelu1", &[32]),
    ("conv2", &[64, 32, 3, 3]),
    ("prelu2", &[64]),
    ("conv3", &[64, 64, 3, 3]),
    ("prelu3", &[64]),
    ("conv4", &[128, 64, 2, 2]),
    ("prelu4", &[128]),
    ("dense5", &[256, 1152]),
    ("prelu5", &[256]),
    ("dense6_1", &[2, 256]),
    ("dense6_2", &[4, 256]),
    ("dense6_3", &[10, 256]),
];

/// Numbers between -1 and 1, the same for the same seed.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, shape: &[i64], spread: f64) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_: i64| self.next()).collect();
        Tensor::from_slice(&values).view(shape) * spread
    }
}

/// Random parameters of the network, and one tensor more if it is named.
fn write(folder: &Path, stem: &str, layers: &[(&str, &[i64])], extra: Option<&str>, numbers: &mut Numbers) {
    let mut tensors = Vec::new();
    for (layer, shape) in layers {
        let inputs: i64 = shape[1..].iter().product();
        // Activations keep their size; scores fall on both sides of the thresholds, boxes in and out of the picture.
        let spread = if layer.starts_with("prelu") { 0.5 } else { (4.5 / inputs as f64).sqrt() };
        tensors.push((format!("{layer}.weight"), numbers.tensor(shape, spread)));
        if !layer.starts_with("prelu") {
            tensors.push((format!("{layer}.bias"), numbers.tensor(&shape[..1], 0.2)));
        }
    }
    tensors.extend(extra.map(|name| (name.to_owned(), Tensor::from(0.0_f32))));
    Tensor::write_safetensors(&tensors, folder.join(format!("{stem}.safetensors"))).unwrap();
}

fn random_weights(seed: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed);
    for (stem, layers) in [("pnet", PNET), ("rnet", RNET), ("onet", ONET)] {
        write(folder.path(), stem, layers, None, &mut numbers);
    }
    folder
}

fn load(folder: &Path) -> FaceResult<Mtcnn> {
    Mtcnn::load(folder, Compute::CPU_F32)
}

fn noise(width: u32, height: u32, numbers: &mut Numbers) -> RgbImage {
    RgbImage::from_fn(width, height, |_, _| image::Rgb([(); 3].map(|()| (numbers.next() * 128.0 + 128.0) as u8)))
}

fn picture() -> impl Strategy<Value = RgbImage> {
    let size = prop_oneof![
        8 => (1..90_u32, 1..90_u32),
        1 => prop_oneof![Just((1, 1)), Just((1, 300)), Just((300, 1)), Just((12, 12)), Just((20, 20)), Just((21, 700))],
    ];
    (size, 0..3, any::<u32>()).prop_map(|((width, height), content, seed)| {
        let mut numbers = Numbers(seed);
        let [_, a, b, c] = seed.to_be_bytes();
        RgbImage::from_fn(width, height, |x, y| match content {
            0 => image::Rgb([a, b, c]),
            1 => {
                image::Rgb([x * u32::from(a) / width, y * u32::from(b) / height, u32::from(c)].map(|value| value as u8))
            }
            _ => image::Rgb([(); 3].map(|()| (numbers.next() * 128.0 + 128.0) as u8)),
        })
    })
}

#[test]
fn any_picture_gets_an_answer() {
    let options = MtcnnOptions { min_face: 12.0, factor: 0.6, thresholds: [0.3, 0.3, 0.3] };
    let mut found = 0;
    // Tests run beside each other; libtorch's threads would wait for the cores and for each other.
    tch::set_num_threads(1);
    for seed in 0..4 {
        let weights = random_weights(seed);
        let detector = load(weights.path()).unwrap().with_options(options).unwrap();
        let faces = std::cell::Cell::new(0);
        let check = |picture: RgbImage| {
            for face in detector.detect(&picture).unwrap() {
                let bounds = face.bounds;
                prop_assert!(bounds.left <= bounds.right && bounds.top <= bounds.bottom, "{face:?}");
                prop_assert!(
                    [bounds.left, bounds.top, bounds.right, bounds.bottom].iter().all(|edge| edge.is_finite())
                );
                prop_assert!(face.landmarks.points().iter().all(|point| point.x.is_finite() && point.y.is_finite()));
                prop_assert!((0.3..=1.0).contains(&face.score));
                faces.set(faces.get() + 1);
            }
            Ok(())
        };
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(24) }).run(&picture(), check).unwrap();
        found += faces.get();
    }

    assert!(found > 0, "no network took anything for a face: nothing was checked");
}

#[test]
fn a_picture_smaller_than_the_smallest_face_has_none() {
    let weights = random_weights(1);
    let options = MtcnnOptions { thresholds: [0.0; 3], ..MtcnnOptions::default() };
    let detector = load(weights.path()).unwrap().with_options(options).unwrap();
    let faces = |width, height| detector.detect(&noise(width, height, &mut Numbers(1))).unwrap().len();
    assert_eq!((faces(19, 400), faces(400, 19), faces(0, 0)), (0, 0, 0));
    // With these thresholds, every proper box is a face once there is room for one.
    assert!(faces(20, 400) > 0);
}

#[test]
fn cutting_into_bands_changes_nothing() {
    // 1100 pixels on a side are several bands at the first size; the lower half alone is cut elsewhere.
    let weights = random_weights(0);
    let detector = load(weights.path()).unwrap();
    let size = pyramid::scales(1100, 1100, &detector.options)[0];
    assert!(size.bands().count() > 1);
    let picture = RgbImage::from_fn(1100, 1100, |x, y| image::Rgb([x * y, x * 3, x + y * 7].map(|value| value as u8)));
    let forward = |rows| {
        let pixels = area::scale_rows(&picture, (size.width, size.height), rows);
        let x = pixels.into_tensor(Device::Cpu).unwrap();
        tch::no_grad(|| detector.proposal.forward(&x)).unwrap().0.scores
    };
    let whole = forward(0..size.height);
    let bands: Vec<f32> = size.bands().flat_map(|band| forward(band.rows)).collect();
    assert_eq!(bands.len(), whole.len());
    let apart = bands.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn weights_must_fit_exactly() {
    let weights = random_weights(0);
    assert!(load(weights.path()).is_ok());
    let error = load(&weights.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("`pnet.safetensors` is missing"), "{error}");

    write(weights.path(), "rnet", RNET, Some("dense9.weight"), &mut Numbers(0));
    let error = load(weights.path()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("rnet.safetensors"), "{error}");
    assert_eq!(cause, "tensor `dense9.weight` belongs to no part of the network (1 such tensors)");

    write(weights.path(), "rnet", &RNET[..9], None, &mut Numbers(0));
    let error = load(weights.path()).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "tensor `dense5_2.weight` is missing");
}

#[test]
fn options_are_checked() {
    let weights = random_weights(0);
    let bad = MtcnnOptions { min_face: 0.5, ..MtcnnOptions::default() };
    let error = load(weights.path()).unwrap().with_options(bad).unwrap_err();
    assert_eq!(error.to_string(), "the detector's option `min_face` is 0.5; expected at least 1 pixel");
}
