//! Embeddings and faces cut out against facenet-pytorch and PyTorch, and files that are refused
//! (`fixtures/recognition/generate.py`).

use idembed_face::align::{ALIGNED_SIDE, ARCFACE_TEMPLATE, aligned_face};
use idembed_face::recognise::{self, Recogniser};
use idembed_face::{Face, FaceBox, FaceError, FaceResult, Landmarks, Point};
use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::{Fixture, Parity};
use idembed_weights::{Compute, WeightsError};
use image::imageops::crop_imm;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use serde_json::Value;
use tch::Tensor;

/// f32 against f64, relative to the largest number of an embedding.
const LIMIT: f64 = 1e-4;
/// Grey levels: PIL rounds after scaling one axis, too.
const PIXEL_LIMIT: f64 = 1.0;

fn load(weights: &DrawnWeights) -> FaceResult<Box<dyn Recogniser>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    weights.write(file.path());
    recognise::load(file.path(), Compute::CPU_F32)
}

fn weights(fixture: &Fixture, case: &Value) -> DrawnWeights {
    DrawnWeights::new(case, fixture.cases["seed"].as_u64().unwrap())
}

fn case<'a>(fixture: &'a Fixture, name: &str) -> &'a Value {
    fixture.list("networks").iter().find(|case| case["name"] == name).unwrap()
}

/// The pictures that the reference saw: each number of `fields` fills a square.
fn pictures(fixture: &Fixture, fields: &str) -> Vec<RgbImage> {
    let fields = fixture.tensor(fields);
    let side = fixture.cases["field"].as_u64().unwrap() as u32;
    let (width, height) = (fields.size()[2] as u32 * side, fields.size()[1] as u32 * side);
    let enlarge = |picture: i64| {
        RgbImage::from_fn(width, height, |x, y| {
            let level = |colour| fields.int64_value(&[picture, i64::from(y / side), i64::from(x / side), colour]) as u8;
            Rgb([level(0), level(1), level(2)])
        })
    };
    (0..fields.size()[0]).map(enlarge).collect()
}

fn tensor(embeddings: &Array2<f32>) -> Tensor {
    let (rows, columns) = embeddings.dim();
    Tensor::from_slice(&embeddings.iter().copied().collect::<Vec<_>>()).view([rows as i64, columns as i64])
}

#[test]
fn embeddings() {
    let fixture = Fixture::open("recognition");
    let mut parity = Parity::new();
    for case in fixture.list("networks") {
        let name = case["name"].as_str().unwrap();
        let crops = pictures(&fixture, &format!("fields.{}", case["side"]));
        let expected = fixture.tensor(&format!("{name}.embeddings"));
        let network = load(&weights(&fixture, case)).unwrap();
        let together = network.embed(&crops).unwrap();
        parity.check_tensors(&format!("recognition/{name}.batch-3"), &tensor(&together), expected, LIMIT);
        let alone = network.embed(&crops[1..2]).unwrap();
        parity.check_tensors(&format!("recognition/{name}.batch-1"), &tensor(&alone), &expected.narrow(0, 1, 1), LIMIT);
        assert_eq!(expected.size()[1] as usize, network.dimension(), "{name}");
    }
    parity.finish();
}

#[test]
fn faces_cut_out() {
    let fixture = Fixture::open("recognition");
    let mut parity = Parity::new();
    let network = load(&weights(&fixture, case(&fixture, "inception_resnet_v1"))).unwrap();
    let photo = pictures(&fixture, "box.fields").remove(0);
    for case in fixture.list("boxes") {
        let name = case["name"].as_str().unwrap();
        let edge = |index: usize| case["box"][index].as_f64().unwrap();
        let ours =
            network.crop(&photo, &face(FaceBox { left: edge(0), top: edge(1), right: edge(2), bottom: edge(3) }));
        assert_eq!(ours.dimensions(), (160, 160));
        let expected = fixture.tensor(name);
        let ours = Tensor::from_slice(ours.as_raw()).view([160, 160, 3]).slice(0, 0, 160, 5).slice(1, 0, 160, 5);
        let difference = (ours.to_kind(tch::Kind::Int) - expected).abs().max().double_value(&[]);
        parity.check_metric(&format!("recognition/{name}"), "max_levels", difference, PIXEL_LIMIT);
    }
    parity.finish();
}

/// A face with these bounds and landmarks that are no face's.
fn face(bounds: FaceBox) -> Face {
    Face { bounds, landmarks: Landmarks::from_points([Point::default(); 5]), score: 1.0 }
}

#[test]
fn any_number_of_crops() {
    let fixture = Fixture::open("recognition");
    let network = load(&weights(&fixture, case(&fixture, "adaface_18"))).unwrap();
    let crops = pictures(&fixture, "fields.112");
    assert_eq!(network.embed(&[]).unwrap().dim(), (0, network.dimension()));
    // One more than fits in a batch.
    let many: Vec<RgbImage> = crops.iter().cycle().take(17).cloned().collect();
    let embeddings = network.embed(&many).unwrap();
    assert_eq!(embeddings.dim(), (17, network.dimension()));
    for (row, embedding) in embeddings.rows().into_iter().enumerate() {
        let same = recognise::cosine(embedding, embeddings.row(row % 3));
        assert!((same - 1.0).abs() < 1e-6, "row {row}: {same}");
        let length = embedding.iter().map(|value| value * value).sum::<f32>();
        assert!((length - 1.0).abs() < 1e-6, "row {row}: {length}");
    }
    let other = recognise::cosine(embeddings.row(0), embeddings.row(1));
    assert!(other < 0.999, "the network hardly sees its input: {other}");
}

#[test]
fn a_face_is_aligned_if_it_has_landmarks() {
    let fixture = Fixture::open("recognition");
    let network = load(&weights(&fixture, case(&fixture, "adaface_18"))).unwrap();
    let photo = pictures(&fixture, "box.fields").remove(0);
    let lost = face(FaceBox { left: 100.0, top: 80.0, right: 212.0, bottom: 192.0 });
    assert_eq!(network.crop(&photo, &lost), crop_imm(&photo, 100, 80, 112, 112).to_image());
    let turned = ARCFACE_TEMPLATE.map(|point| Point::new(200.0 - 2.0 * point.y, 90.0 + 2.0 * point.x));
    let found = Face { landmarks: Landmarks::from_points(turned), ..lost };
    assert_eq!(network.crop(&photo, &found), aligned_face(&photo, &found.landmarks, ALIGNED_SIDE).unwrap().picture);
    assert_eq!(network.crop(&RgbImage::new(0, 5), &lost).dimensions(), (112, 112));
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let fixture = Fixture::open("recognition");
    let network = load(&weights(&fixture, case(&fixture, "adaface_18"))).unwrap();
    let error = network.embed(&[RgbImage::new(112, 112), RgbImage::new(112, 111)]).unwrap_err();
    assert_eq!(error.to_string(), "a picture of 112 x 111 pixels was given to a network for 112 x 112");
}

/// What is wrong with a network that was spoiled.
fn refused(name: &str, spoil: impl FnOnce(&mut DrawnWeights)) -> WeightsError {
    let fixture = Fixture::open("recognition");
    let mut weights = weights(&fixture, case(&fixture, name));
    spoil(&mut weights);
    match load(&weights) {
        Err(FaceError::Weights(idembed_weights::Error::Content { source, .. })) => source,
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for (network, name) in [
        ("inception_resnet_v1", "repeat_2.9.conv2d.bias"),
        ("inception_resnet_v1", "last_bn.running_mean"),
        ("insightface_50", "layer2.0.downsample.1.running_var"),
        ("insightface_50", "fc.bias"),
        ("insightface_100", "layer4.2.conv2.weight"),
        ("insightface_100", "features.weight"),
        ("adaface_18", "body.7.res_layer.5.bias"),
        ("cvlface_101", "model.net.body.3.shortcut_layer.0.weight"),
        ("cvlface_50", "net.output_layer.4.running_var"),
    ] {
        let error = refused(network, |weights| assert!(weights.shapes.remove(name).is_some(), "{name}"));
        assert_eq!(error.to_string(), format!("tensor `{name}` is missing"));
    }
}

#[test]
fn an_extra_tensor_is_named() {
    for (network, name) in [
        ("inception_resnet_v1", "repeat_1.5.conv2d.bias"),
        ("insightface_50", "layer4.3.conv1.weight"),
        ("adaface_18", "output_layer.4.weight"),
        ("adaface_50", "head.weight"),
        // A block that squeezes and excites is another network's.
        ("cvlface_101", "model.net.body.0.res_layer.se_block.fc1.weight"),
    ] {
        let error = refused(network, |weights| assert!(weights.shapes.insert(name.to_owned(), vec![4]).is_none()));
        assert_eq!(error.to_string(), format!("tensor `{name}` belongs to no part of the network (1 such tensors)"));
    }
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    // Which dimension is one too large; where widths follow from the file, it is another tensor's word against this one's.
    for (network, name, dimension) in [
        ("inception_resnet_v1", "last_linear.weight", 1),
        ("inception_resnet_v1", "repeat_3.0.branch1.1.conv.weight", 2),
        ("insightface_50", "layer1.0.prelu.weight", 0),
        ("insightface_100", "layer3.29.conv2.weight", 1),
        ("adaface_50", "model.output_layer.3.weight", 1),
        ("cvlface_50", "net.input_layer.0.weight", 1),
    ] {
        let (mut got, mut expected) = (Vec::new(), Vec::new());
        let error = refused(network, |weights| {
            let shape = weights.shapes.get_mut(name).unwrap();
            expected.clone_from(shape);
            shape[dimension] += 1;
            got.clone_from(shape);
        });
        assert_eq!(error.to_string(), format!("tensor `{name}` has shape {got:?}, expected {expected:?}"));
    }
}

/// CVLFace states in `config.json` beside the weights which colour comes first.
#[test]
fn the_colours_come_in_the_stated_order() {
    let fixture = Fixture::open("recognition");
    let case = fixture.list("networks").iter().find(|case| case["name"] != "inception_resnet_v1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    weights(&fixture, case).write(&file);
    let crops = pictures(&fixture, &format!("fields.{}", case["side"]));
    let swapped: Vec<RgbImage> = crops.iter().cloned().map(blue_for_red).collect();
    let embed = |order: &str, crops: &[RgbImage]| {
        let config = format!(r#"{{"conf": {{"color_space": "{order}"}}}}"#);
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        recognise::load(&file, Compute::CPU_F32).unwrap().embed(crops).unwrap()
    };
    assert_eq!(embed("BGR", &swapped), embed("RGB", &crops));
    assert_ne!(embed("RGB", &swapped), embed("RGB", &crops));
}

fn blue_for_red(mut picture: RgbImage) -> RgbImage {
    picture.pixels_mut().for_each(|pixel| pixel.0.reverse());
    picture
}
