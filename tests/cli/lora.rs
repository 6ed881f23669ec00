//! `--lora`: what is drawn with it, what pictures say of it, and files that are refused.

use idembed_integration_tests::fixture_dir;
use serde_json::json;

use crate::program::{Place, text};

#[test]
fn a_lora_changes_the_picture_as_strongly_as_asked() {
    let place = Place::new();
    let file = fixture_dir("lora").join("kohya.safetensors");
    let draw = |out: &str, strength: Option<&str>| {
        let lora = strength.map(|strength| format!("--lora={}{strength}", text(&file)));
        let out = format!("--out={out}");
        let args = ["generate", "a man in a garden", "--steps=2", "--size=64x64", &out];
        place.succeeds(&args.into_iter().chain(lora.as_deref()).collect::<Vec<_>>());
        image::open(place.path(&out[6..]).join("0.png")).unwrap().into_rgb8()
    };
    let (plain, none, full, half) =
        (draw("plain", None), draw("none", Some(":0")), draw("full", Some("")), draw("half", Some(":0.5")));
    assert!(plain == none && plain != full && plain != half && full != half);
    let parts = |out: &str| place.json(&["inspect", &format!("{out}/0.png")])["parts"].clone();
    let part = &parts("half")[0];
    assert_eq!((&part["part"], &part["name"], &part["strength"]), (&"LoRA".into(), &"kohya".into(), &0.5.into()));
    assert_eq!(part["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((parts("full")[0]["strength"].clone(), parts("plain")), (json!(1.0), json!(null)));
}

#[test]
fn a_file_that_is_no_lora_of_the_model_is_refused() {
    let place = Place::new();
    let refused = |lora: &str, status: i32, expected: &[&str]| {
        place.fails(status, &["generate", "a man", "--steps=1", &format!("--lora={lora}")], expected);
    };
    refused("missing.safetensors", 1, &["cannot read `missing.safetensors`"]);
    refused("", 2, &["expected FILE or FILE:STRENGTH"]);
    let file = fixture_dir("lora").join("kohya.safetensors");
    refused(&format!("{}:1e6", text(&file)), 1, &["strength", "expected -100 to 100"]);
    let tensors = fixture_dir("lora").join("tensors.safetensors");
    refused(text(&tensors), 1, &["cannot use the LoRA", "it is no LoRA"]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(place.path("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    refused("cut.safetensors", 1, &["cut.safetensors", "damaged"]);
}
