//! Model folders that cannot be used.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use idembed_integration_tests::tensor_file::TensorFile;
use serde_json::json;

use crate::model::{UNET, change_json, linked, replace};
use crate::program::{Place, mini};

/// Draws with a model that was spoiled, and expects these texts.
fn refused<T>(spoil: impl FnOnce(&Place) -> T, expected: &[&str]) {
    let place = Place::new();
    linked(&place);
    spoil(&place);
    place.fails(1, &["generate", "a man", "--steps=1", "--model=model"], expected);
}

const TEXT: &str = "text_encoder/model.safetensors";

#[test]
fn missing_and_damaged_weights() {
    let whole = || std::fs::read(mini().join(UNET)).unwrap();
    refused(|place| std::fs::remove_file(place.path("model").join(UNET)).unwrap(), &["unet"]);
    refused(|place| replace(place, UNET, &whole()[..1_000_000]), &["unet", "damaged", "cut short"]);
    refused(|place| replace(place, UNET, b"PK\x03\x04 a pickle"), &["unet", "damaged"]);
    refused(|place| replace(place, UNET, b""), &["unet", "damaged"]);
    refused(|place| replace(place, UNET, &[0xff; 4096]), &["unet", "damaged"]);
}

/// The tiny model of the pipeline tests with its weights pickled, as other tools leave it.
fn pickled(place: &Place) {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let to = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &to);
            } else if path.extension().is_none_or(|end| end != "safetensors") {
                std::fs::copy(&path, to).unwrap();
            }
        }
    }
    copy(&original(), &place.path("model"));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/convert/model"), &place.path("model"));
}

/// The model that the pickles were made from.
fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines/sd2v")
}

#[test]
fn pickled_weights_are_refused_with_the_command_that_converts_them() {
    let place = Place::new();
    pickled(&place);
    let generate = ["generate", "a man", "--steps=2", "--size=64x64", "--model=model"];
    let said = place.fails(1, &generate, &["text_encoder", "`pytorch_model.bin`", "pickles are not read"]);
    let (_, hint) = said.split_once("hint: `cargo xtask convert ").unwrap();
    let model = hint.split('`').next().unwrap();
    assert_eq!(Path::new(model), place.path("model").canonicalize().unwrap());
    let mut convert = Command::new(env!("CARGO"));
    convert.args(["xtask", "convert", model]).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    let output = convert.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.succeeds(&generate);
    let original = format!("--model={}", original().display());
    place.succeeds(&["generate", "a man", "--steps=2", "--size=64x64", "--out=original", &original]);
    let pixels = |name: &str| image::open(place.path(name)).unwrap().into_rgb8();
    assert!(pixels("out/0.png") == pixels("original/0.png"), "the converted model draws as the original does");
}

#[test]
fn tensors_of_another_name_shape_or_dtype() {
    let spoil = |change: fn(&mut TensorFile)| {
        move |place: &Place| {
            let path = place.path("model").join(TEXT);
            let mut file = TensorFile::read(&path);
            change(&mut file);
            file.write(&path);
        }
    };
    let name = "text_model.encoder.layers.0.mlp.fc1.weight";
    refused(spoil(|file| file.rename("text_model.encoder.layers.0.mlp.fc1.weight", "fc1")), &[name, "is missing"]);
    refused(
        spoil(|file| {
            let shape = &mut file.header["text_model.encoder.layers.0.mlp.fc1.weight"]["shape"];
            *shape = json!([shape[1], shape[0]]);
        }),
        &[name, "has shape", "expected"],
    );
    refused(
        spoil(|file| file.header["text_model.encoder.layers.0.mlp.fc1.weight"]["dtype"] = json!("I16")),
        &[name, "dtype I16"],
    );
}

#[test]
fn configurations_that_cannot_be_read() {
    for file in ["model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json"] {
        refused(|place| replace(place, file, b"{ not json"), &[file, "not a valid configuration"]);
        refused(|place| replace(place, file, b"{}"), &[file, "missing field"]);
    }
    refused(|place| replace(place, "scheduler/scheduler_config.json", b"[1"), &["scheduler_config.json"]);
    refused(|place| replace(place, "tokenizer/vocab.json", b"{"), &["tokenizer"]);
    refused(|place| replace(place, "idembed.json", b"{\"guidence\": 4}"), &["idembed.json", "guidence"]);
    let lacks = |place: &Place| {
        change_json(place, "unet/config.json", |config| {
            config.as_object_mut().unwrap().remove("cross_attention_dim");
        });
    };
    refused(lacks, &["unet/config.json", "cross_attention_dim"]);
}

#[test]
fn models_of_another_kind() {
    let class = |name: &'static str| {
        move |place: &Place| change_json(place, "model_index.json", |index| index["_class_name"] = json!(name))
    };
    refused(class("FluxInpaintPipeline"), &["hint: inpainting is supported with Stable Diffusion 1.x"]);
    refused(class("StableDiffusionXLPipeline"), &["tokenizer_2"]);
    refused(class("StableDiffusionXLInpaintPipeline"), &["tokenizer_2"]);
    refused(class("FluxPipeline"), &["FluxPipeline", "StableDiffusionPipeline"]);
    let nine = |place: &Place| change_json(place, "unet/config.json", |config| config["in_channels"] = json!(9));
    refused(nine, &["`model` is made for inpainting", "--from PICTURE --inpaint MASK"]);
    refused(|place| std::fs::remove_file(place.path("model/model_index.json")).unwrap(), &["model_index.json"]);
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    place.fails(1, &["generate", "a man", "--model=empty"], &["empty"]);
    place.fails(1, &["generate", "a man", "--model=nowhere/model"], &["no model `nowhere/model`", "mini"]);
}

#[test]
fn doctor_names_what_is_wrong() {
    let place = Place::new();
    linked(&place);
    replace(&place, "unet/config.json", b"{}");
    std::fs::create_dir(place.path("models")).unwrap();
    std::fs::rename(place.path("model"), place.path("models/broken")).unwrap();
    let value = place.json(&["doctor"]);
    let broken = value["models"].as_array().unwrap().iter().find(|model| model["name"] == "broken").unwrap();
    assert_eq!(broken["usable"], false);
    assert!(broken["problem"].as_str().unwrap().contains("unet/config.json"), "{broken}");
}
