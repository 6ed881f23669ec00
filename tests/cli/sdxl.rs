//! SDXL: drawn with, learned with, exported for other tools, and kept apart from other models.

use idembed_integration_tests::checkpoints::checkpoint;
use idembed_integration_tests::read_safetensors;

use crate::program::{Place, Said, portrait, text};

const FILE: &str = "xl.safetensors";

fn place() -> Place {
    let place = Place::new();
    checkpoint("sdxl").write(&place.path(FILE));
    place
}

#[test]
fn a_face_is_learned_drawn_and_exported() {
    let place = place();
    let model = format!("--model={FILE}");
    let portrait = portrait();
    let learn = ["learn", text(&portrait), "--name=me", "--batch=1", "--steps=2", "--size=16x16", &model];
    let identity = place.json(&learn)["identity"].as_str().unwrap().to_owned();
    let file = read_safetensors(&place.path(&identity));
    assert_eq!(file["k.0"].size()[1], 64);
    assert_eq!(file["k.1"].size()[1], 128);
    let me = format!("--identity=me={identity}");
    let draw = ["generate", "a photo of <me>", &me, "--steps=2", &model];
    let said = Said::from(place.command(&[&draw[..], &["--size=32x48"]].concat()).output().unwrap());
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("not trained on pictures as small or large as 32x48"), "{}", said.stderr);
    assert!(said.stderr.contains("is 832x1216"), "{}", said.stderr);
    assert_eq!(place.json(&["inspect", "out/0.png"])["model"], "xl");

    place.json(&["export", &identity, "--to=embedding", "--out=for_others.safetensors"]);
    let exported = read_safetensors(&place.path("for_others.safetensors"));
    assert_eq!(exported["clip_l"].size(), [1, 64]);
    assert_eq!(exported["clip_g"].size(), [1, 128]);
    let kind = place.json(&["inspect", "for_others.safetensors"]);
    assert_eq!(kind["width"], serde_json::json!([128, 64]));

    // What others read stands in prompts, too: here with a weight, in the second of two chunks.
    let long = format!("{} (<me>:1.2)", "a photo of a man, ".repeat(20));
    let embedding = ["generate", &long, "--embedding=me=for_others.safetensors", "--steps=2", "--size=32x32", &model];
    place.succeeds(&[&embedding[..], &["--out=embedded"]].concat());
    let about = place.json(&["inspect", "embedded/0.png"]);
    assert_eq!((&about["identities"][0]["method"], &about["weighted"]), (&"embedding".into(), &true.into()));

    // It belongs to this model alone.
    place.fails(1, &["generate", "a photo of <me>", &me, "--model=mini", "--out=other"], &["text encoder"]);
}

#[test]
fn the_model_is_told_by_its_tensors() {
    let place = place();
    let value = place.json(&["inspect", FILE]);
    assert_eq!((&value["kind"], &value["family"]), (&"model in one file".into(), &"SDXL".into()));
    std::fs::create_dir(place.path("models")).unwrap();
    std::fs::rename(place.path(FILE), place.path("models").join(FILE)).unwrap();
    let doctor = place.json(&["doctor"]);
    let xl = doctor["models"].as_array().unwrap().iter().find(|model| model["name"] == "xl").unwrap();
    assert_eq!((&xl["usable"], &xl["side"], &xl["hidden"]), (&true.into(), &256.into(), &192.into()));
}
