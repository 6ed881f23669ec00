//! `idembed export --to staged-embeddings`.

use idembed_integration_tests::read_json;
use idembed_integration_tests::tensor_file::TensorFile;
use serde_json::json;

use crate::program::{Place, identity, text};

fn export<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let first = ["export", text(identity()), "--to=staged-embeddings", "--out", out];
    first.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn each_stage_is_an_embedding() {
    let place = Place::new();
    let value = place.json(&export("new/embeddings", &[]));
    let names: Vec<String> = (1..=5).map(|number| format!("new/embeddings/me-{number}.safetensors")).collect();
    assert_eq!(value["files"], json!(names));
    assert_eq!(value["prompt"], "a photo of [[[[me-1:me-2:0.2]:me-3:0.4]:me-4:0.6]:me-5:0.8]");
    assert_eq!((&value["steps"], &value["exact"]), (&json!(null), &json!(null)));
    assert!(value["loss"].as_str().unwrap().contains("the vectors of the keys are left out"), "{value}");
    let own = TensorFile::read(identity());
    let rows: Vec<f32> =
        own.data.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect();
    for (stage, name) in names.iter().enumerate() {
        let file = TensorFile::read(&place.path(name));
        assert_eq!(file.header["emb_params"]["shape"], json!([1, 128]));
        for (index, number) in file.data.chunks_exact(4).enumerate() {
            assert_eq!(f32::from_le_bytes(number.try_into().unwrap()), rows[128 * (5 + stage) + index]);
        }
    }
    let workflow = read_json(&place.path("new/embeddings/me-comfyui.json"));
    assert_eq!(workflow["text-2"]["inputs"]["text"], "a photo of embedding:me-2");
    assert_eq!(workflow["range-2"]["inputs"]["start"], value["ranges"][1][0]);
    let notes = std::fs::read_to_string(place.path("new/embeddings/me.txt")).unwrap();
    for said in
        [value["prompt"].as_str().unwrap(), value["loss"].as_str().unwrap(), "embedding:me-5  start 0.799810  end 1"]
    {
        assert!(notes.contains(said), "{notes}");
    }
}

#[test]
fn steps_are_counted() {
    let place = Place::new();
    let more = ["--steps=25", "--prompt=<me>, a sketch", "--take=mean"];
    let value = place.json(&export("out", &more));
    assert_eq!(value["prompt"], "[[[[me-1:me-2:4]:me-3:9]:me-4:14]:me-5:19], a sketch");
    assert_eq!((&value["steps"], &value["exact"]), (&json!([5, 5, 5, 5, 5]), &json!(true)));
    assert!(value["loss"].as_str().unwrap().contains("become their mean"));
    let karras = place.json(&export("karras", &["--steps=25", "--schedule=karras"]));
    assert_ne!(karras["steps"], value["steps"]);
    let said = place.run(&export("few", &["--steps=3", "--schedule=karras"]));
    assert_eq!(said.status, Some(0));
    assert!(said.stderr.contains("steps of that run"), "{}", said.stderr);
}

#[test]
fn what_cannot_be_exported() {
    let place = Place::new();
    place.fails(1, &export("out", &["--prompt=a photo"]), &["the prompt `a photo` does not say <me>"]);
    place.fails(1, &export("out", &["--steps=2000"]), &["the number of steps is 2000"]);
    place.fails(2, &export("out", &["--steps=0"]), &["expected a whole number from 1"]);
    place.fails(2, &export("out", &["--schedule=karras"]), &["--steps"]);
    place.fails(2, &export("out", &["--steps=5", "--schedule=cosine"]), &["cosine", "karras"]);
    place.fails(2, &export("out", &["--take=both"]), &["both", "keys"]);
    let embedding = ["export", text(identity()), "--to=embedding", "--out=me.safetensors", "--take=keys"];
    place.fails(2, &embedding, &["--take is for --to staged-embeddings"]);
    std::fs::write(place.path("file"), b"").unwrap();
    place.fails(1, &export("file", &[]), &["`file` cannot be a folder"]);
    place.succeeds(&export("out", &[]));
    place.fails(1, &export("out", &[]), &["`out/me-1.safetensors` is there already", "--force"]);
    place.succeeds(&export("out", &["--force"]));

    let mut other = TensorFile::read(identity());
    other.header["__metadata__"]["train_timesteps"] = json!("500");
    other.write(&place.path("other.safetensors"));
    let said = place.run(&["export", "other.safetensors", "--to=staged-embeddings", "--out=other"]);
    assert!(said.status == Some(0) && said.stderr.contains("no workflow for ComfyUI is written"), "{}", said.stderr);
    assert!(!place.path("other/me-comfyui.json").exists() && place.path("other/me.txt").exists());
    other.write(&place.path("other/me-1.safetensors"));
    let onto = ["export", "other/me-1.safetensors", "--to=staged-embeddings", "--out=other", "--force"];
    place.fails(1, &onto, &["would be replaced, but it is read"]);
}
