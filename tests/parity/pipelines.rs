//! Whole pictures from prompt and seed, and models of full size, against diffusers' pipeline.

use std::path::Path;

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::device::Compute;
use idembed_diffusion::text_to_image::TextToImage;
use idembed_diffusion::{Error, StableDiffusion};
use idembed_integration_tests::{Parity, fixture_dir, mini_model, read_json, read_safetensors};
use serde_json::Value;
use tch::{Kind, Tensor};

/// The largest share of values that may differ by more than one grey level.
const LIMIT: f64 = 1e-3;

#[test]
fn pictures() {
    let folder = fixture_dir("pipelines");
    let expected = read_safetensors(&folder.join("pictures.safetensors"));
    let load = |folder: &Path| StableDiffusion::load(folder, Compute::CPU_F32).unwrap();
    let (mini, velocity) = (load(&mini_model()), load(&folder.join("velocity")));
    let mut parity = Parity::new();
    for (index, case) in read_json(&folder.join("cases.json"))["cases"].as_array().unwrap().iter().enumerate() {
        let name = case["model"].as_str().unwrap();
        let model = if name == "mini" { &mini } else { &velocity };
        let label = format!("pipelines/{index}_{name}_{}", case["scheduler"].as_str().unwrap());
        compare(&mut parity, &label, &draw(model, case), &expected[&index.to_string()]);
    }
    parity.finish();
}

/// Only where `cargo xtask parity --full` has drawn the models: they are gigabytes.
#[test]
fn full_size() {
    let folder = fixture_dir("pipelines").join("full");
    let mut parity = Parity::new();
    for name in ["sd15", "sd21base"] {
        let folder = folder.join(name);
        if !folder.is_dir() {
            println!("skipped: {name} at full size is drawn by `cargo xtask parity --full`");
            continue;
        }
        let case = read_json(&folder.join("case.json"));
        let expected = read_safetensors(&folder.join("expected.safetensors"));
        let model = StableDiffusion::load(&folder, Compute::CPU_F32).unwrap();
        let mut check = |what: &str, ours: &Tensor| {
            parity.check_tensors(&format!("full/{name}/{what}"), ours, &expected[what], 1e-4);
        };
        let states = model.text_states(case["prompt"].as_str().unwrap()).unwrap();
        check("text.states", &states);
        tch::no_grad(|| {
            let context = model.unet.project(&TextStates::shared(states)).unwrap();
            let timestep = Tensor::from_slice(&[case["unet_timestep"].as_f64().unwrap() as f32]);
            check("unet.output", &model.unet.forward(&expected["unet.latents"], &timestep, &context, None).unwrap());
        });
        compare(&mut parity, &format!("full/{name}/picture"), &draw(&model, &case), &expected["picture"]);
    }
    parity.finish();
}

/// A picture depends on its own seed, not on its batch mates.
#[test]
fn a_batch_is_the_same_pictures_one_by_one() {
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let case = |batch: u64| {
        serde_json::json!({
            "prompt": "a photo of a woman in the garden", "negative": "", "guidance": 4.0, "steps": 4, "scheduler": "euler-a",
            "width": 72, "height": 136, "seeds": [8, 9, 10], "batch": batch,
        })
    };
    let mut parity = Parity::new();
    let alone = draw(&model, &case(1));
    compare(&mut parity, "pipelines/batch_of_2", &draw(&model, &case(2)), &alone);
    compare(&mut parity, "pipelines/batch_of_3", &draw(&model, &case(3)), &alone);
    parity.finish();
}

/// bf16 and f16 draw what f32 draws, as far as their digits go.
#[test]
fn short_formats_draw_nearly_the_same() {
    let case = serde_json::json!({
        "prompt": "a closeup photo of a man on the beach", "negative": "", "guidance": 4.0, "steps": 8, "scheduler": "ddim",
        "width": 128, "height": 128, "seeds": [3],
    });
    let in_format = |kind| {
        let model = StableDiffusion::load(&mini_model(), Compute { kind, ..Compute::CPU_F32 }).unwrap();
        draw(&model, &case).to_kind(Kind::Float)
    };
    let exact = in_format(Kind::Float);
    let mut parity = Parity::new();
    for (name, kind) in [("bf16", Kind::BFloat16), ("f16", Kind::Half)] {
        let mean = (in_format(kind) - &exact).abs().mean(Kind::Float).double_value(&[]);
        parity.check_metric(&format!("pipelines/{name}"), "mean_grey_levels", mean, 2.0);
    }
    parity.finish();
}

/// `[pictures, height, width, 3]`, u8.
fn draw(model: &StableDiffusion, case: &Value) -> Tensor {
    let text = |key: &str| case[key].as_str().unwrap();
    let seeds: Vec<u64> = case["seeds"].as_array().unwrap().iter().map(|seed| seed.as_u64().unwrap()).collect();
    let request = TextToImage {
        prompt: &model.condition(text("prompt")).unwrap(),
        negative: &model.condition(text("negative")).unwrap(),
        guidance_scale: case["guidance"].as_f64().unwrap(),
        steps: case["steps"].as_u64().unwrap() as usize,
        scheduler: text("scheduler").parse().unwrap(),
        width: case["width"].as_i64().unwrap(),
        height: case["height"].as_i64().unwrap(),
        batch: case["batch"].as_u64().map_or(seeds.len(), |batch| batch as usize),
        seeds: &seeds,
    };
    let mut rows = Vec::new();
    let keep = |_, picture: idembed_diffusion::Picture| {
        let size = [i64::from(picture.height), i64::from(picture.width), 3];
        rows.push(Tensor::from_data_size(&picture.rgb, &size, Kind::Uint8));
        Ok::<(), Error>(())
    };
    request.run(model, &mut (), keep).unwrap();
    Tensor::stack(&rows, 0)
}

fn compare(parity: &mut Parity, name: &str, ours: &Tensor, expected: &Tensor) {
    assert_eq!(ours.size(), expected.size(), "{name}");
    let far = (ours.to_kind(Kind::Int) - expected.to_kind(Kind::Int)).abs().gt(1);
    parity.check_metric(name, "share_off", far.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]), LIMIT);
}
