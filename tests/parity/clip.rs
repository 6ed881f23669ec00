//! CLIP against transformers (`fixtures/clip/generate.py`).

use idembed_clip::{ClipModel, ClipPreprocessor, ClipTextModel};
use idembed_diffusion::Compute;
use idembed_integration_tests::{Fixture, Parity};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

#[test]
fn texts_and_pictures() {
    let _guard = tch::no_grad_guard();
    let fixture = Fixture::open("clip");
    let mut parity = Parity::new();
    for name in ["new", "old"] {
        let model = ClipModel::load(&fixture.folder.join(name), Compute::CPU_F32).unwrap();
        let value = |key: &str| fixture.tensor(&format!("{name}.{key}"));
        let mut check = |key: &str, ours: &Tensor| {
            parity.check_tensors(&format!("clip/{name}.{key}"), ours, value(key), LIMIT);
        };
        let ids = value("ids");
        check("states", &model.text_states(ids).unwrap());
        let (texts, pictures) = (model.text_embeds(ids).unwrap(), model.image_embeds(value("pixel_values")).unwrap());
        check("text_embeds", &texts);
        check("image_embeds", &pictures);
        check("logits", &(pictures.matmul(&texts.transpose(0, 1)) * model.logit_scale().exp()));
    }
    parity.finish();
}

/// Texts before their end do not depend on what follows, so that padding may be left out.
#[test]
fn padding_changes_nothing() {
    let _guard = tch::no_grad_guard();
    let fixture = Fixture::open("clip");
    let mut parity = Parity::new();
    let model = ClipModel::load(&fixture.folder.join("new"), Compute::CPU_F32).unwrap();
    let (ids, expected) = (fixture.tensor("new.ids"), fixture.tensor("new.text_embeds"));
    // Three words, the start and the end.
    let short = model.text_embeds(&ids.narrow(0, 0, 1).narrow(1, 0, 5)).unwrap();
    parity.check_tensors("clip/new.without_padding", &short, &expected.narrow(0, 0, 1), LIMIT);
    parity.finish();
}

#[test]
fn what_does_not_fit_is_refused() {
    let fixture = Fixture::open("clip");
    let model = ClipModel::load(&fixture.folder.join("new"), Compute::CPU_F32).unwrap();
    assert!(model.image_embeds(&Tensor::zeros([1, 3, 12, 11], (Kind::Float, Device::Cpu))).is_err());
    assert!(model.image_embeds(&Tensor::zeros([3, 12, 12], (Kind::Float, Device::Cpu))).is_err());
    assert!(model.text_states(&Tensor::zeros([1, 10], (Kind::Int64, Device::Cpu))).is_err());
    assert!(model.text_states(&Tensor::full([1, 4], 30, (Kind::Int64, Device::Cpu))).is_err());
    let text_only = ClipTextModel::load(&fixture.folder.join("new"), Compute::CPU_F32).unwrap_err();
    assert!(text_only.to_string().contains("config.json"), "{text_only}");
}

#[test]
fn prepared_pictures() {
    let fixture = Fixture::open("clip");
    let mut parity = Parity::new();
    let preprocessor = ClipPreprocessor { shortest_side: 14, ..ClipPreprocessor::openai(12) };
    // One grey level of the channel that is spread widest.
    let level = 1.0 / 255.0 / preprocessor.std.iter().copied().fold(f64::INFINITY, f64::min);
    for index in 0..fixture.cases["pictures"].as_u64().unwrap() {
        let pixels = fixture.tensor(&format!("pictures.{index}"));
        let (height, width, _) = pixels.size3().unwrap();
        let rgb = Vec::<u8>::try_from(pixels.flatten(0, -1)).unwrap();
        let ours = preprocessor.prepare(&RgbImage::from_raw(width as u32, height as u32, rgb).unwrap()).unwrap();
        let theirs = fixture.tensor(&format!("prepared.{index}"));
        let differences = (&ours - theirs).abs();
        let largest = differences.max().double_value(&[]);
        parity.check_metric(&format!("clip/prepared.{index}"), "largest", largest, 1.001 * level);
        let different = differences.gt(1e-4).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        parity.check_metric(&format!("clip/prepared.{index}"), "share_different", different, 0.01);
    }
    parity.finish();
}
