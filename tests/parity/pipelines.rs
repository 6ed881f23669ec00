//! Whole pictures, from prompt and seed, against `StableDiffusionPipeline` (`fixtures/pipelines/generate.py`).

use std::path::Path;

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::controlnet::Control;
use idembed_diffusion::unet::UNetInput;
use idembed_diffusion::{Compute, FromPicture, StableDiffusion, TextToImage};
use idembed_integration_tests::{
    Parity, drawing, fixture_dir, mini_model, pixels_off, read_json, read_picture, read_safetensors,
};
use image::RgbImage;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

/// Of networks at full size: the largest difference, relative to the largest expected magnitude.
const LIMIT: f64 = 1e-4;
/// Share of pixels that may differ by more than one grey level.
const PIXELS_OFF: f64 = 1e-3;

/// The models that the fixture names; true sizes are among them after `cargo xtask parity --full`.
#[test]
fn pictures() {
    let folder = fixture_dir("pipelines");
    let cases = read_json(&folder.join("cases.json"));
    let mut parity = Parity::new();
    for entry in cases["models"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let path = if name == "mini" { mini_model() } else { folder.join(entry["folder"].as_str().unwrap_or(name)) };
        let model = StableDiffusion::load(&path, Compute::CPU_F32).unwrap();
        if let Some(values) = entry["values"].as_str() {
            compare_networks(&mut parity, name, &model, &folder.join(values));
        }
        for case in entry["cases"].as_array().unwrap() {
            compare_pictures(&mut parity, &folder, &model, case);
        }
    }
    parity.finish();
}

/// A picture depends on its own seed, not on its batch mates.
#[test]
fn a_batch_is_the_same_pictures_one_by_one() {
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let case = |batch: u64| {
        json!({
            "prompt": "a photo of a woman in a garden", "negative": "", "guidance": 4.0, "steps": 4, "sampler": "euler-a",
            "width": 72, "height": 136, "seeds": [8, 9, 10], "batch": batch,
        })
    };
    let draw = |batch| draw(Path::new(""), &model, &[], &case(batch));
    let alone = draw(1);
    let mut parity = Parity::new();
    for batch in [2, 3] {
        for (index, (together, alone)) in draw(batch).iter().zip(&alone).enumerate() {
            parity.check_metric(
                &format!("pipelines/batch_of_{batch}.{index}"),
                "pixels_off",
                pixels_off(together, alone),
                PIXELS_OFF,
            );
        }
    }
    parity.finish();
}

/// bf16 and f16 draw what f32 draws, as far as their digits go.
#[test]
fn short_formats_draw_nearly_the_same() {
    let case = json!({
        "prompt": "a close-up photo of a man at the beach", "negative": "", "guidance": 4.0, "steps": 8, "sampler": "ddim",
        "width": 136, "height": 104, "seeds": [0, 1, 2],
    });
    let in_format = |kind| {
        let model = StableDiffusion::load(&mini_model(), Compute { kind, ..Compute::CPU_F32 }).unwrap();
        draw(Path::new(""), &model, &[], &case).into_iter().flat_map(RgbImage::into_raw).collect::<Vec<_>>()
    };
    let exact = in_format(Kind::Float);
    let mut parity = Parity::new();
    for (name, kind) in [("bf16", Kind::BFloat16), ("f16", Kind::Half)] {
        let differences = in_format(kind).iter().zip(&exact).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        let mean = differences / exact.len() as f64;
        parity.check_metric(&format!("pipelines/{name}"), "mean_grey_levels", mean, 2.0);
    }
    parity.finish();
}

pub(crate) fn compare_pictures(parity: &mut Parity, folder: &Path, model: &StableDiffusion, case: &Value) {
    compare_steered_pictures(parity, folder, model, &[], case);
}

/// The same, drawn with ControlNets.
pub(crate) fn compare_steered_pictures(
    parity: &mut Parity,
    folder: &Path,
    model: &StableDiffusion,
    controls: &[Control<'_>],
    case: &Value,
) {
    let text = |field: &str| case[field].as_str().unwrap();
    let ours = draw(folder, model, controls, case);
    let files = case["pictures"].as_array().unwrap();
    assert_eq!(ours.len(), files.len(), "{case}: number of pictures");
    for (index, (ours, file)) in ours.iter().zip(files).enumerate() {
        let off = pixels_off(ours, &read_picture(&folder.join(file.as_str().unwrap())));
        parity.check_metric(&format!("pipelines/{}.{index}", text("name")), "pixels_off", off, PIXELS_OFF);
    }
}

/// All pictures of a case, those that are drawn from a picture of the folder too.
fn draw(folder: &Path, model: &StableDiffusion, controls: &[Control<'_>], case: &Value) -> Vec<RgbImage> {
    let text = |field: &str| case[field].as_str().unwrap();
    let open = |field: &str| case[field].as_str().map(|file| image::open(folder.join(file)).unwrap());
    let from = open("source").map(|picture| FromPicture {
        picture: picture.into_rgb8(),
        strength: case["strength"].as_f64().unwrap(),
        mask: open("mask").map(|mask| mask.into_luma8()),
    });
    let [prompt, negative] =
        [model.condition(text("prompt")).unwrap(), model.condition_negative(text("negative")).unwrap()];
    let seeds = drawing::seeds(case);
    let batch = case["batch"].as_u64().map_or(seeds.len(), |batch| batch as usize);
    let request =
        TextToImage { from: from.as_ref(), batch, controls, ..TextToImage::new(model, &prompt, &negative, &seeds) };
    drawing::drawn(model, &drawing::as_in(case, request))
}

/// One value of each network at full size.
fn compare_networks(parity: &mut Parity, name: &str, model: &StableDiffusion, file: &Path) {
    let _guard = tch::no_grad_guard();
    let values = read_safetensors(file);
    let mut check = |part: &str, ours: &Tensor| {
        parity.check_tensors(&format!("pipelines/{name}/{part}"), ours, &values[part], LIMIT)
    };
    let states = model
        .text_encoders
        .first()
        .model
        .encode(&model.text_encoders.first().model.embed_tokens(&values["ids"]).unwrap())
        .unwrap();
    check("states", &states);
    let context = model.unet.project(&TextStates::shared(values["states"].shallow_clone())).unwrap();
    check(
        "output",
        &model.unet.forward(UNetInput::new(&values["latents"], &values["timesteps"], &context), None).unwrap(),
    );
    let latents = model.vae.encode(&values["pictures"]).unwrap();
    check("mean", &latents.mean);
    check("std", &latents.std);
    check("decoded", &model.vae.decode(&values["latents"].narrow(0, 0, 1)).unwrap());
}
