//! Models in one file: drawn with, learned with, inspected, and refused if they are something else.

use std::path::PathBuf;
use std::process::Command;

use idembed_integration_tests::checkpoints::checkpoint;
use idembed_integration_tests::drawn_weights::DrawnWeights;
use serde_json::Value;

use crate::program::{Place, Said, portrait, portrait_mask, text};

const FILE: &str = "tiny.safetensors";

/// A place with the small checkpoint like 1.x.
fn place() -> Place {
    let place = Place::new();
    checkpoint("sd1").write(&place.path(FILE));
    place
}

/// What `sha256sum` says.
fn sha256(path: PathBuf) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn a_model_in_one_file_draws_and_learns() {
    let place = place();
    let model = format!("--model={FILE}");
    let how = ["--steps=2", "--size=64x64", &model];
    let learned =
        place.json(&[&["learn", text(&portrait()), "--name=me", "--batch=1", "--method=sefi"], &how[..]].concat());
    let identity = learned["identity"].as_str().unwrap();
    assert_eq!(place.json(&["inspect", identity])["base_model"], "tiny");
    let me = format!("--identity=me={identity}");
    place.json(&[&["generate", "a photo of <me>, café", &me], &how[..]].concat());
    let picture = place.json(&["inspect", "out/0.png"]);
    assert_eq!(picture["model"], "tiny");
    assert_eq!(picture["model_sha256"], sha256(place.path(FILE)));
    assert_eq!(picture["prediction"], "epsilon");
    place.fails(
        1,
        &["generate", "a photo of <me>", &me, "--model=mini", "--out=other"],
        &["vectors of 64 numbers", "hint: give the model it was learned for"],
    );
}

#[test]
fn a_file_among_the_models_is_found_by_its_name() {
    let place = place();
    std::fs::create_dir(place.path("models")).unwrap();
    std::fs::rename(place.path(FILE), place.path("models").join(FILE)).unwrap();
    let said = Said::from(
        place.command(&["generate", "a cat", "--model=tiny", "--steps=1", "--size=32x32"]).output().unwrap(),
    );
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("model `tiny`") && said.stderr.contains("its files do not say"), "{}", said.stderr);
    let doctor = place.json(&["doctor"]);
    let tiny = doctor["models"].as_array().unwrap().iter().find(|model| model["name"] == "tiny").unwrap();
    assert_eq!((&tiny["usable"], &tiny["side"], &tiny["hidden"]), (&true.into(), &512.into(), &64.into()));
    place.fails(1, &["generate", "a cat", "--model=small"], &["no model `small`", "tiny"]);
}

/// The checkpoint with some tensors only, or with others beside them; shapes may differ.
fn written(place: &Place, name: &str, keep: &str, others: &[(&str, &[i64])]) {
    let mut drawn: DrawnWeights = checkpoint("sd1");
    drawn.shapes.retain(|name, _| name.starts_with(keep));
    drawn.shapes.extend(others.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())));
    drawn.write(&place.path(name));
}

const UNET: &str = "model.diffusion_model.";
const LORA: (&str, &[i64]) = ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", &[4, 8]);

#[test]
fn a_file_that_is_no_such_model_is_refused_by_name() {
    let place = Place::new();
    let refused = |name: &str, expected: &[&str]| {
        place.fails(1, &["generate", "a cat", "--steps=1", "--size=32x32", &format!("--model={name}")], expected);
    };
    written(&place, "lora.safetensors", "none", &[LORA]);
    refused("lora.safetensors", &["is no checkpoint: LoRA", "hint: give a checkpoint"]);
    written(&place, "inpaint.safetensors", "", &[("model.diffusion_model.input_blocks.0.0.weight", &[32, 9, 3, 3])]);
    refused("inpaint.safetensors", &["`inpaint` is made for inpainting"]);
    written(&place, "refiner.safetensors", UNET, &[("conditioner.embedders.0.model.ln_final.bias", &[8])]);
    refused("refiner.safetensors", &["checkpoint of SDXL refiner"]);
    written(&place, "sd3.safetensors", "none", &[("model.diffusion_model.joint_blocks.0.x.weight", &[8, 8])]);
    refused("sd3.safetensors", &["checkpoint of Stable Diffusion 3"]);
    written(&place, "unet.safetensors", UNET, &[]);
    refused("unet.safetensors", &["holds no text encoder", "--text-encoder"]);
    written(&place, "other.safetensors", "none", &[("layer.weight", &[8, 8])]);
    refused("other.safetensors", &["is no checkpoint: weights of another kind"]);

    checkpoint("sd1").write(&place.path("whole.safetensors"));
    let whole = std::fs::read(place.path("whole.safetensors")).unwrap();
    for (name, content) in [
        ("cut.safetensors", &whole[..whole.len() / 2]),
        ("zip.safetensors", b"PK\x03\x04 an archive of another program".as_slice()),
        ("empty.safetensors", b"".as_slice()),
    ] {
        std::fs::write(place.path(name), content).unwrap();
        refused(name, &[name, "damaged or is not safetensors"]);
    }
    std::fs::write(place.path("old.ckpt"), b"\x80\x02}q").unwrap();
    refused("old.ckpt", &["old.ckpt` is a pickle", "pickles are not read", "cargo xtask convert"]);
}

#[test]
fn an_inpainting_model_in_one_file_draws_with_a_mask() {
    let place = Place::new();
    written(&place, "inpaint.safetensors", "", &[("model.diffusion_model.input_blocks.0.0.weight", &[32, 9, 3, 3])]);
    checkpoint("sdxl-inpaint").write(&place.path("xl.safetensors"));
    let from = format!("--from={}", text(&portrait()));
    let inpaint = format!("--inpaint={}", text(&portrait_mask()));
    for file in ["inpaint", "xl"] {
        let model = format!("--model={file}.safetensors");
        let plain = ["generate", "a cat", "--steps=2", "--size=64x64", "--overwrite", &model];
        place.fails(1, &plain, &[&format!("`{file}` is made for inpainting")]);
        place.succeeds(&[&plain[..], &[from.as_str(), &inpaint]].concat());
    }
}

#[test]
fn parts_are_given_beside_the_file() {
    let place = place();
    let drawn = |name: &str| {
        let mut drawn = checkpoint("sd1");
        drawn.shapes.retain(|key, _| !key.starts_with("first_stage_model."));
        drawn.write(&place.path(name));
    };
    drawn("no_vae.safetensors");
    let draw = |args: &[&str]| {
        let how = ["generate", "a cat", "--steps=1", "--size=32x32", "--model=no_vae.safetensors"];
        [&how, args].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    place.fails(1, &draw(&[]), &["holds no autoencoder", "--vae"]);
    place.fails(1, &draw(&["--vae=missing.safetensors"]), &["missing.safetensors"]);
    place.fails(1, &draw(&["--vae=no_vae.safetensors"]), &["holds no autoencoder"]);
    place.fails(1, &draw(&[&format!("--vae={FILE}"), "--text-encoder=."]), &["config.json"]);
    place.succeeds(&draw(&[&format!("--vae={FILE}")]));
    place.succeeds(&["generate", "a cat", "--steps=1", "--size=32x32", "--out=whole", &format!("--model={FILE}")]);
    let pixels = |name: &str| image::open(place.path(name)).unwrap().into_rgb8();
    assert!(pixels("out/0.png") == pixels("whole/0.png"), "the same picture with the same autoencoder");
    let parts = serde_json::json!([{ "part": "autoencoder", "name": FILE, "sha256": sha256(place.path(FILE)) }]);
    assert_eq!(place.json(&["inspect", "out/0.png"])["parts"], parts);
}

#[test]
fn inspect_says_what_a_file_is() {
    let place = place();
    let value = place.json(&["inspect", FILE]);
    assert_eq!((&value["kind"], &value["family"]), (&"model in one file".into(), &"Stable Diffusion 1.x".into()));
    assert_eq!((&value["text_encoder"], &value["autoencoder"]), (&true.into(), &true.into()));
    assert_eq!(value["prediction"], "not said");
    let numbers: i64 = checkpoint("sd1").shapes.values().map(|shape| shape.iter().product::<i64>()).sum();
    assert_eq!(value["numbers"], serde_json::json!({ "F32": numbers }));
    for (name, others, key, expected) in [
        ("lora.safetensors", LORA, "form", Value::from("low rank")),
        ("vector.safetensors", ("emb_params", [2, 768].as_slice()), "width", serde_json::json!([768])),
    ] {
        written(&place, name, "none", &[others]);
        assert_eq!(place.json(&["inspect", name])[key], expected, "{name}");
    }
    let shown = place.succeeds(&["inspect", FILE]);
    assert!(shown.contains("family") && shown.contains("Stable Diffusion 1.x"), "{shown}");
}
