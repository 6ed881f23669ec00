//! `idembed inspect` and `idembed export`.

use idembed_integration_tests::read_json;
use idembed_integration_tests::tensor_file::TensorFile;

use crate::program::{Place, identity, mini, text, with_me};

#[test]
fn an_identity_says_what_it_was_learned_from() {
    let place = Place::new();
    let value = place.json(&["inspect", text(identity())]);
    assert_eq!(value["kind"], "identity");
    assert_eq!(value["name"], "me");
    assert_eq!(value["class"], "person");
    assert_eq!(value["method"], "sefi");
    assert_eq!(value["base_model"], "mini");
    assert_eq!((&value["stages"], &value["steps"], &value["hidden"]), (&5.into(), &4.into(), &128.into()));
    let shown = place.succeeds(&["inspect", text(identity())]);
    assert!(shown.contains("class                person\n"), "{shown}");
}

#[test]
fn a_picture_says_how_it_was_made() {
    let place = Place::new();
    place.succeeds(&["generate", "a photo of <me>, 100%", &with_me(), "--steps=2", "--seed=9", "--negative=blue"]);
    let value = place.json(&["inspect", "out/9.png"]);
    assert_eq!(value["kind"], "picture");
    assert_eq!(value["prompt"], "a photo of <me>, 100%");
    assert_eq!(value["negative"], "blue");
    assert_eq!((&value["seed"], &value["steps"]), (&9.into(), &2.into()));
    assert_eq!(value["size"], serde_json::json!([128, 128]));
    let hash = place.json(&["inspect", text(identity())])["sha256"].clone();
    assert_eq!(value["identities"][0]["sha256"], hash);
    let manifest = read_json(&mini().join("../manifest.json"));
    let listed = &manifest["models"]["mini"]["files"]["unet/diffusion_pytorch_model.safetensors"]["sha256"];
    assert_eq!(&value["model_sha256"], listed);
    let shown = place.succeeds(&["inspect", "out/9.png"]);
    assert!(shown.contains("size          128 x 128\n"), "{shown}");
}

#[test]
fn what_is_neither_is_refused() {
    let place = Place::new();
    let folder = mini().join("controlnet");
    let file = "controlnet/diffusion_pytorch_model.safetensors` looks at its weights";
    place.fails(1, &["inspect", text(&folder)], &["is a folder", file]);
    place.fails(1, &["inspect", text(&mini())], &["is a folder", "give one of the files in it"]);
    std::fs::write(place.path("text"), b"some text").unwrap();
    place.fails(1, &["inspect", "text"], &["`text` is neither an identity file nor a picture"]);
    place.fails(1, &["inspect", "missing"], &["cannot read `missing`"]);
    let plain = mini().join("portraits/person1_a.png");
    place.fails(1, &["inspect", text(&plain)], &["does not say how it was made"]);
    let weights = mini().join("judge/model.safetensors");
    place.fails(1, &["inspect", text(&weights)], &["not a usable identity file"]);
}

#[test]
fn an_embedding_is_one_vector() {
    let place = Place::new();
    let value = place.json(&["export", text(identity()), "--to=embedding", "--out=me.safetensors"]);
    assert_eq!((&value["file"], &value["vectors"]), (&"me.safetensors".into(), &10.into()));
    assert!(value["loss"].as_str().unwrap().contains("become their mean"), "{value}");
    let file = TensorFile::read(&place.path("me.safetensors"));
    assert_eq!(file.header["emb_params"]["shape"], serde_json::json!([1, 128]));
    assert_eq!(file.data.len(), 4 * 128);
    let said = place.run(&["export", text(identity()), "--to=embedding", "--out=again.safetensors"]);
    assert_eq!(said.stdout, "again.safetensors\n");
    assert!(said.stderr.contains("become their mean"), "what is lost is said: {}", said.stderr);
}
