//! Face parsing against PyTorch, and weight files that do not fit.

use std::path::PathBuf;

use idembed_face::FaceError;
use idembed_face::parsing::{BiSeNet, Part};
use idembed_integration_tests::tensor_file::TensorFile;
use idembed_integration_tests::{Fixture, Parity, fixture_dir};
use idembed_weights::{Compute, Error, WeightsError};
use image::RgbImage;
use serde_json::json;
use tch::{Kind, Tensor};

/// f32 against f64, relative to the largest logit.
const LOGITS_LIMIT: f64 = 1e-4;
/// bf16 keeps 8 bits, and some twenty layers multiply the error; random weights more than trained ones.
const BF16_LIMIT: f64 = 2e-1;
/// The share of pixels of another class: libtorch rounds a few scaled pixels to the other side than Pillow does, and
/// near a border between two classes that decides.
const CLASSES_LIMIT: f64 = 2e-2;

fn weights() -> PathBuf {
    fixture_dir("parsing").join("bisenet.safetensors")
}

fn network() -> BiSeNet {
    BiSeNet::load(&weights(), Compute::CPU_F32).unwrap()
}

fn names(fixture: &Fixture, key: &str) -> Vec<String> {
    fixture.list(key).iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn logits() {
    let fixture = Fixture::open("parsing");
    let mut parity = Parity::new();
    for (kind, limit) in [(Kind::Float, LOGITS_LIMIT), (Kind::BFloat16, BF16_LIMIT)] {
        let compute = Compute { kind, ..Compute::CPU_F32 };
        let network = BiSeNet::load(&weights(), compute).unwrap();
        for name in names(&fixture, "logits") {
            let logits = network.logits(fixture.tensor(&format!("logits.{name}.x"))).unwrap();
            let expected = fixture.tensor(&format!("logits.{name}.expected"));
            let case = format!("parsing/logits.{name}.{}", compute.dtype_name());
            parity.check_tensors(&case, &logits, expected, limit);
        }
    }
    parity.finish();
}

/// Also for pictures that are no portraits: one pixel wide, one pixel in all, longer than the network's input.
#[test]
fn classes_of_pictures() {
    let fixture = Fixture::open("parsing");
    let network = network();
    let mut parity = Parity::new();
    for name in names(&fixture, "pictures") {
        let pixels = fixture.tensor(&format!("picture.{name}.pixels"));
        let (height, width, _) = pixels.size3().unwrap();
        let bytes = Vec::<u8>::try_from(pixels.flatten(0, -1)).unwrap();
        let picture = RgbImage::from_raw(width as u32, height as u32, bytes).unwrap();

        let classes = network.parse(&picture).unwrap();
        assert_eq!(classes.dim(), (height as usize, width as usize), "{name}");

        let expected = fixture.tensor(&format!("picture.{name}.classes"));
        let ours = Tensor::from_slice(classes.as_slice().unwrap()).reshape([height, width]);
        let off = ours.ne_tensor(expected).to_kind(Kind::Double).mean(None).double_value(&[]);
        parity.check_metric(&format!("parsing/classes.{name}"), "pixels_off", off, CLASSES_LIMIT);
    }
    parity.finish();
}

#[test]
fn a_picture_without_pixels_has_no_classes() {
    let network = network();
    for (width, height) in [(0, 0), (0, 7), (7, 0)] {
        let classes = network.parse(&RgbImage::new(width, height)).unwrap();
        assert_eq!(classes.dim(), (height as usize, width as usize));
    }
}

#[test]
fn logits_of_a_tensor_that_is_no_picture_are_refused() {
    let network = network();
    for shape in [&[3, 8, 8][..], &[1, 4, 8, 8], &[1, 3, 0, 8], &[1, 3, 8, 8, 8]] {
        let x = Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
        assert!(matches!(network.logits(&x), Err(FaceError::Torch(_))), "{shape:?}");
    }
}

/// What is wrong with a weight file that was spoiled.
fn refused(spoil: impl FnOnce(&mut TensorFile)) -> WeightsError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoiled.safetensors");
    let mut file = TensorFile::read(&weights());
    spoil(&mut file);
    file.write(&path);
    match BiSeNet::load(&path, Compute::CPU_F32) {
        Err(FaceError::Weights(Error::Content { source, path: named })) => {
            assert_eq!(named, path);
            source
        }
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let classes = Part::ALL.len();
    for (name, got, expected) in [
        ("conv_out.conv_out.weight", json!([16, classes, 1, 1]), vec![19, 16, 1, 1]),
        ("cp.arm32.bn_atten.bias", json!([2, 4]), vec![8]),
        ("ffm.conv1.weight", json!([16, 4, 1, 1]), vec![4, 16, 1, 1]),
        ("conv_out16.conv.bn.weight", json!([1, 4]), vec![4]),
        // The width is read from this one; where it makes no sense, the published shape is expected.
        ("cp.resnet.conv1.weight", json!([3, 4, 7, 7]), vec![64, 3, 7, 7]),
    ] {
        let error = refused(|file| file.header[name]["shape"] = got.clone());
        let WeightsError::Shape { name: named, got: shape, expected: wanted } = &error else {
            panic!("{name}: {error:?}");
        };
        assert_eq!((named.as_str(), json!(shape), wanted), (name, got, &expected));
        assert_eq!(error.to_string(), format!("tensor `{name}` has shape {shape:?}, expected {expected:?}"));
    }
}

#[test]
fn missing_and_extra_tensors_are_named() {
    for name in ["cp.resnet.conv1.weight", "cp.resnet.layer3.0.downsample.1.running_var", "conv_out32.conv_out.weight"]
    {
        let error = refused(|file| file.rename(name, "another"));
        assert!(matches!(&error, WeightsError::Missing(named) if named == name), "{error:?}");
    }
    let error = refused(|file| file.rename("conv_out.conv.bn.num_batches_tracked", "sp.conv1.weight"));
    assert!(matches!(&error, WeightsError::Extra { first, count: 1 } if first == "sp.conv1.weight"), "{error:?}");
}
