//! `--embedding`: embeddings of other tools in prompts, as a start for learning, and files that are refused.

use idembed_integration_tests::fixture_dir;
use image::RgbImage;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::program::{Place, portrait, text, with_me};

/// `--embedding NAME=FILE` of a file of the fixture.
fn given(name: &str, file: &str) -> String {
    format!("--embedding={name}={}", text(&fixture_dir("embeddings").join(format!("{file}.safetensors"))))
}

fn drawn(place: &Place, out: &str, prompt: &str, flags: &[&str]) -> RgbImage {
    let out = format!("--out={out}");
    let args = ["generate", prompt, "--steps=2", "--size=64x64", &out, "--quiet"];
    place.succeeds(&[&args[..], flags].concat());
    image::open(place.path(&out[6..]).join("0.png")).unwrap().into_rgb8()
}

#[test]
fn embeddings_stand_in_prompts_as_identities_do() {
    let place = Place::new();
    let (one, many) = (given("cat", "one"), given("many", "many"));
    let plain = drawn(&place, "plain", "a photo of a man", &[]);
    let positive = drawn(&place, "positive", "a photo of a man, (<cat>:1.2)", &[&one]);
    let negative = drawn(&place, "negative", "a photo of a man", &["--negative=<many>", &many]);
    let both = drawn(&place, "both", "<cat> and <me>", &[&one, &many, &with_me(), "--negative=<many>"]);
    assert!(plain != positive && plain != negative && both != positive);
    let identities = |out: &str| place.json(&["inspect", &format!("{out}/0.png")])["identities"].clone();
    let recorded = identities("both");
    let names: Vec<&str> = recorded.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["me", "cat", "many"]);
    assert_eq!((&recorded[1]["method"], &recorded[0]["method"]), (&json!("embedding"), &json!("sefi")));
    let file = fixture_dir("embeddings").join("one.safetensors");
    assert_eq!(recorded[1]["sha256"], json!(sha256sum(&place, text(&file))));
    assert_eq!(identities("negative")[0]["name"], "many");
}

/// The hash of a file, by the system's own program.
fn sha256sum(place: &Place, file: &str) -> String {
    let output = std::process::Command::new("sha256sum").arg(file).current_dir(place.path("")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn every_vector_of_an_embedding_is_looked_at() {
    let place = Place::new();
    let many = given("many", "many");
    let args = ["attention", "a photo of <many>", "--words=<many>,photo", "--steps=5", "--size=64x64", &many];
    let value = place.json(&args);
    assert_eq!(value["words"][0]["word"], "<many>");
    // An embedding has no stages: the drawing is divided as if there were none.
    assert_eq!(value["words"][0]["stages"].as_array().unwrap().len(), 5);
}

#[test]
fn learning_starts_at_an_embedding() {
    let place = Place::new();
    let portrait = portrait();
    let learn = |name: &str, start: &str, flags: &[&str]| {
        let start = format!("--start={}", text(&fixture_dir("embeddings").join(start)));
        let name = format!("--name={name}");
        let args = ["learn", text(&portrait), "--no-face", &name, &start, "--steps=1", "--batch=1", "--size=64x64"];
        place.json(&[&args[..], flags].concat())
    };
    let learned = learn("one", "one.safetensors", &[]);
    assert_eq!(learned["started_from"].as_str().unwrap().len(), 64);
    learn("many", "many.safetensors", &["--method=textual-inversion"]);
    let inspected = place.json(&["inspect", "many.identity.safetensors"]);
    assert_eq!((&inspected["words"], &inspected["method"]), (&json!(3), &json!("textual-inversion")));
    let pair = text(&fixture_dir("embeddings").join("pair.safetensors")).to_owned();
    let start = format!("--start={pair}");
    let args = ["learn", text(&portrait), "--no-face", "--name=x", "--steps=1", "--method=textual-inversion", &start];
    place.fails(1, &args, &["vectors of 16 + 24 numbers; this model needs 128"]);
}

#[test]
fn files_that_are_no_embeddings_of_the_model_are_refused() {
    let place = Place::new();
    let write = |name: &str, tensors: &[(&str, Tensor)]| Tensor::write_safetensors(tensors, place.path(name)).unwrap();
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let refused = |file: &str, status: i32, expected: &[&str]| {
        let embedding = format!("--embedding=cat={file}");
        place.fails(status, &["generate", "a photo of <cat>", "--steps=1", "--size=64x64", &embedding], expected);
    };
    write("sd2.safetensors", &[("emb_params", random(&[2, 1024]))]);
    let widths =
        "the embedding <cat> has vectors of 1024 numbers, as Stable Diffusion 2.x takes them; this model needs 128";
    refused("sd2.safetensors", 1, &[widths, "--model"]);
    refused(text(&fixture_dir("embeddings").join("pair.safetensors")), 1, &["16 + 24 numbers; this model needs 128"]);
    write("nan.safetensors", &[("emb_params", random(&[2, 128]) * f64::NAN)]);
    refused(
        "nan.safetensors",
        1,
        &["cannot use the embedding `nan.safetensors`", "`emb_params` holds NaN or infinity"],
    );
    write("zero.safetensors", &[("emb_params", random(&[2, 128]) * 0.0)]);
    refused("zero.safetensors", 1, &["all numbers of tensor `emb_params` are 0"]);
    write("wide.safetensors", &[("emb_params", random(&[76, 128]))]);
    refused("wide.safetensors", 1, &["<cat> takes 76 tokens, but the text encoder reads 75 at once"]);
    refused(text(&fixture_dir("lora").join("kohya.safetensors")), 1, &["it is no embedding: LoRA"]);
    refused("missing.safetensors", 1, &["cannot read `missing.safetensors`"]);
    let whole = std::fs::read(place.path("sd2.safetensors")).unwrap();
    std::fs::write(place.path("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    refused("cut.safetensors", 1, &["cut.safetensors", "damaged"]);
    std::fs::write(place.path("cat.pt"), b"PK\x03\x04").unwrap();
    refused("cat.pt", 1, &["cat.pt", "pickle", "cargo xtask convert cat.pt"]);
    refused("", 2, &["the file is missing"]);

    let one = given("cat", "one");
    let twice = ["generate", "<cat>", &one, &one];
    place.fails(2, &twice, &["--embedding cat=... is given twice"]);
    let shared = ["generate", "<me>", &with_me(), &given("me", "one")];
    place.fails(2, &shared, &["the name `me` is given twice, by --identity and --embedding"]);
    for (prompt, given) in [("<cat>", format!("{one}:0.7")), ("<cat:0.7>", one.clone())] {
        place.fails(1, &["generate", prompt, &given], &["the embedding <cat> has no strength", "(<cat>:0.7)"]);
    }
    let as_identity = one.replace("--embedding", "--identity");
    place.fails(1, &["generate", "<cat>", &as_identity], &["--embedding NAME=FILE"]);
}
