//! ControlNet against diffusers (`fixtures/controlnet/generate.py`), and networks and pictures that do not fit.

use std::path::{Path, PathBuf};

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::controlnet::{Control, ControlNet};
use idembed_diffusion::unet::UNetInput;
use idembed_diffusion::{Compute, Error, StableDiffusion};
use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::{Fixture, Parity, mini_model, read_picture};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::pipelines::compare_steered_pictures;

/// Relative to the largest expected magnitude.
const LIMIT: f64 = 1e-4;

/// Writes a net of the fixture into a folder of its own.
fn written(fixture: &Fixture, name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture.folder.join(name).join("config.json"), folder.path().join("config.json")).unwrap();
    let described = &fixture.cases["nets"][name];
    let drawn = DrawnWeights::new(described, described["seed"].as_u64().unwrap());
    drawn.write(&folder.path().join("diffusion_pytorch_model.safetensors"));
    folder
}

fn load(path: &Path) -> Result<ControlNet, Error> {
    ControlNet::load(path, Compute::CPU_F32)
}

/// A picture as a network sees it.
fn seen(path: &Path) -> Tensor {
    let picture = read_picture(path);
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let bytes = Tensor::from_slice(&picture.into_raw()).view([1, height, width, 3]);
    bytes.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0
}

fn base(fixture: &Fixture, name: &str) -> PathBuf {
    match name {
        "mini" => mini_model(),
        // Not one that was drawn afresh: the networks are shaped as this one.
        "sdxl" => Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sdxl/model"),
        full => fixture.folder.join(full),
    }
}

#[test]
fn pictures() {
    let fixture = Fixture::open("controlnet");
    let mut parity = Parity::new();
    for case in fixture.list("cases") {
        let controls = case["controls"].as_array().unwrap();
        let number = |control: &Value, field: &str| control[field].as_f64().unwrap();
        let folders: Vec<tempfile::TempDir> =
            controls.iter().map(|control| written(&fixture, control["net"].as_str().unwrap())).collect();
        let model = StableDiffusion::load(&base(&fixture, case["model"].as_str().unwrap()), Compute::CPU_F32).unwrap();
        let nets: Vec<ControlNet> = folders.iter().map(|folder| load(folder.path()).unwrap()).collect();
        let pictures: Vec<Tensor> =
            controls.iter().map(|control| seen(&fixture.folder.join(control["picture"].as_str().unwrap()))).collect();
        let controls: Vec<Control<'_>> = controls
            .iter()
            .zip(nets.iter().zip(&pictures))
            .map(|(control, (net, picture))| Control {
                net,
                picture,
                scale: number(control, "scale"),
                start: number(control, "start"),
                end: number(control, "end"),
            })
            .collect();
        compare_steered_pictures(&mut parity, &fixture.folder, &model, &controls, case);
    }
    parity.finish();
}

/// The net in the names of the original code, with a prefix before them or without.
fn original(fixture: &Fixture, folder: &Path, strip: bool) -> PathBuf {
    let mut drawn = DrawnWeights::new(&fixture.cases["original"], fixture.cases["seed"].as_u64().unwrap());
    let path = folder.join("net.safetensors");
    if !strip {
        drawn.write(&path);
        return path;
    }
    let tensors: Vec<(String, Tensor)> = std::mem::take(&mut drawn.shapes)
        .into_iter()
        .map(|(name, shape)| (name["control_model.".len()..].to_owned(), drawn.draw(&name, &shape)))
        .collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    path
}

#[test]
fn one_file_in_the_original_names() {
    let fixture = Fixture::open("controlnet");
    let _guard = tch::no_grad_guard();
    let mut parity = Parity::new();
    for strip in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let net = load(&original(&fixture, folder.path(), strip)).unwrap();
        let context = net.project(&TextStates::shared(fixture.tensor("states").shallow_clone())).unwrap();
        let hint = net.hint(fixture.tensor("picture")).unwrap();
        let input = UNetInput::new(fixture.tensor("latents"), fixture.tensor("timesteps"), &context);
        let residuals = net.forward(input, &hint, fixture.cases["original"]["scale"].as_f64().unwrap()).unwrap();
        assert_eq!(Some(residuals.skips.len() as u64), fixture.cases["original"]["skips"].as_u64());
        for (index, skip) in residuals.skips.iter().enumerate() {
            let expected = fixture.tensor(&format!("skip.{index}"));
            parity.check_tensors(&format!("controlnet/{strip}.skip.{index}"), skip, expected, LIMIT);
        }
        parity.check_tensors(&format!("controlnet/{strip}.middle"), &residuals.middle, fixture.tensor("middle"), LIMIT);
    }
    parity.finish();
}

#[test]
fn what_does_not_fit_is_named() {
    let fixture = Fixture::open("controlnet");
    let _guard = tch::no_grad_guard();
    let folder = written(&fixture, "a");
    let net = load(folder.path()).unwrap();
    let picture = |height, width| Tensor::rand([1, 3, height, width], (Kind::Float, Device::Cpu));
    let error = net.hint(&picture(60, 64)).unwrap_err().to_string();
    assert!(error.contains("divisible by 8"), "{error}");
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let context = net.project(&model.text_states("a man").unwrap()).unwrap();
    let (latents, times) = (Tensor::zeros([1, 4, 8, 8], (Kind::Float, Device::Cpu)), Tensor::from_slice(&[5.0f32]));
    let hint = net.hint(&picture(64, 72)).unwrap();
    let error = net.forward(UNetInput::new(&latents, &times, &context), &hint, 1.0).unwrap_err().to_string();
    assert!(error.contains("1 or 1 pictures, of 8 x 8 latents"), "{error}");
    // States of another model's width.
    let narrow = TextStates::shared(Tensor::zeros([1, 77, 20], (Kind::Float, Device::Cpu)));
    assert!(matches!(net.project(&narrow), Err(Error::Shape { what: "key states", .. })));

    let changed = |change: &dyn Fn(&mut Value)| {
        let path = folder.path().join("config.json");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("config.json"), config.to_string()).unwrap();
        let weights = "diffusion_pytorch_model.safetensors";
        std::fs::copy(folder.path().join(weights), other.path().join(weights)).unwrap();
        load(other.path()).unwrap_err().to_string()
    };
    let set = |name: &'static str, value: Value| changed(&move |config| config[name] = value.clone());
    for (name, value, expected) in [
        ("global_pool_conditions", Value::from(true), "global_pool_conditions is set"),
        ("controlnet_conditioning_channel_order", "gbr".into(), "expected \"rgb\" or \"bgr\""),
        ("conditioning_embedding_out_channels", Value::from(vec![0]), "no list of 1 to 8 numbers"),
        ("conditioning_channels", 4.into(), "expected 3 (RGB)"),
        ("mid_block_type", "UNetMidBlock2D".into(), "mid_block_type"),
        ("block_out_channels", Value::from(vec![32, 64]), "differ in length"),
    ] {
        let error = set(name, value);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error = load(&mini_model().join("unet")).unwrap_err();
    assert!(matches!(error, Error::Weights { .. }), "{error:?}");
    let error = load(&mini_model().join("unet/diffusion_pytorch_model.safetensors")).unwrap_err().to_string();
    assert!(error.contains("is no ControlNet: U-Net in diffusers layout"), "{error}");
}
