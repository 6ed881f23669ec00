//! ControlNets that steer pictures.

use idembed_integration_tests::Fixture;
use idembed_integration_tests::checkpoints::controlnet;

use crate::program::{Place, portrait, text};

/// A place with the ControlNet for the miniature in the folder `net`, and a file that is none.
fn place() -> Place {
    let (place, fixture) = (Place::new(), Fixture::open("controlnet"));
    std::fs::create_dir(place.path("net")).unwrap();
    std::fs::copy(fixture.folder.join("a/config.json"), place.path("net/config.json")).unwrap();
    controlnet("a").write(&place.path("net/diffusion_pytorch_model.safetensors"));
    place
}

#[test]
fn a_picture_steers_and_is_recorded() {
    let place = place();
    let portrait = portrait();
    let draw = ["generate", "a photo of a man", "--steps=2", "--size=64x80"];
    let drawn = |out: &str, control: &[&str]| {
        place.json(&[&draw[..], control, &[&format!("--out={out}")]].concat());
        image::open(place.path(&format!("{out}/0.png"))).unwrap().into_rgb8()
    };
    let control = format!("--control=net=canny:{}", text(&portrait));
    let steered = drawn("steered", &[&control]);
    let plain = drawn("plain", &[]);
    assert!(steered != plain);
    let never = drawn("never", &[&format!("{control}:0")]);
    assert!(never == plain, "a scale of 0 changes nothing");
    let late = drawn("late", &[&format!("{control}:1,0.5,1")]);
    assert!(late != steered && late != plain);

    let record = &place.json(&["inspect", "late/0.png"])["controls"][0];
    assert_eq!((&record["name"], &record["edges"], &record["scale"]), (&"net".into(), &true.into(), &1.0.into()));
    assert_eq!((&record["start"], &record["end"]), (&0.5.into(), &1.0.into()));
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    assert!(place.json(&["inspect", "plain/0.png"])["controls"].is_null());
}

#[test]
fn the_bundled_one_is_found_by_name() {
    let place = place();
    let control = format!("--control=controlnet=canny:{}", text(&portrait()));
    place.json(&["generate", "a photo of a man", "--steps=1", "--out=out", &control]);
    let record = &place.json(&["inspect", "out/0.png"])["controls"][0];
    assert_eq!((&record["name"], &record["edges"]), (&"controlnet".into(), &true.into()));
}

#[test]
fn what_cannot_steer_is_named() {
    let place = place();
    let portrait = portrait();
    let refused = |control: String, expected: &[&str]| {
        place.fails(1, &["generate", "a man", "--steps=1", "--size=64x64", &format!("--control={control}")], expected);
    };
    let photo = text(&portrait);
    refused(format!("none={photo}"), &["there is no ControlNet `none`", "hint: give the path", "`controlnet`"]);
    refused("net=none.png".to_owned(), &["none.png"]);
    refused(format!("{photo}={photo}"), &["damaged or is not safetensors"]);
    std::fs::write(place.path("text.png"), "no picture").unwrap();
    refused("net=text.png".to_owned(), &["text.png"]);
    let weights = place.path("net/diffusion_pytorch_model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    refused(format!("net={photo}"), &["damaged or is not safetensors"]);
    std::fs::remove_file(&weights).unwrap();
    refused(format!("net={photo}"), &["no folder of a ControlNet", "hint: give a folder with config.json"]);
    place.fails(2, &["generate", "a man", &format!("--control=net={photo}:1e6")], &["expected -10 to 10"]);

    // Made for another family of models.
    let xl = Fixture::open("controlnet");
    std::fs::copy(xl.folder.join("xl/config.json"), place.path("net/config.json")).unwrap();
    std::fs::write(&weights, &whole).unwrap();
    refused(format!("net={photo}"), &["made for another family of models", "40 wide", "128"]);
    assert!(!place.path("out").exists());
}
