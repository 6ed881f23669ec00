//! What the U-Net predicts: read from the scheduler's file, or said with `--prediction`, and always told.

use image::RgbImage;

use crate::model::{change_json, linked};
use crate::program::{Place, portrait, text};

const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Draws with the changed model; gives the picture and what was said.
fn draw(place: &Place, flags: &[&str]) -> (RgbImage, String) {
    let generate = ["generate", "a man", "--steps=2", "--model=model", "--overwrite"];
    let said = place.run(&[&generate[..], flags].concat());
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    (image::open(place.path("out/0.png")).unwrap().into_rgb8(), said.stderr)
}

fn recorded(place: &Place) -> String {
    place.json(&["inspect", "out/0.png"])["prediction"].as_str().unwrap().to_owned()
}

#[test]
fn a_silent_scheduler_means_epsilon_and_the_flag_means_what_a_file_would() {
    let place = Place::new();
    linked(&place);
    let (epsilon, said) = draw(&place, &[]);
    assert!(said.contains("predicts epsilon\n"), "{said}");
    assert_eq!(recorded(&place), "epsilon");

    change_json(&place, SCHEDULER, |json| drop(json.as_object_mut().unwrap().remove("prediction_type")));
    let (silent, said) = draw(&place, &[]);
    assert!(said.contains("predicts epsilon (its files do not say)"), "{said}");
    assert_eq!(silent, epsilon);
    let (flagged, said) = draw(&place, &["--prediction=v"]);
    assert!(said.contains("predicts v_prediction as --prediction says"), "{said}");
    assert_eq!(recorded(&place), "v_prediction");

    change_json(&place, SCHEDULER, |json| json["prediction_type"] = "v_prediction".into());
    let (filed, said) = draw(&place, &[]);
    assert!(said.contains("predicts v_prediction\n"), "{said}");
    assert_eq!(flagged, filed);
    assert_ne!(filed, epsilon);
    assert_eq!(draw(&place, &["--prediction=epsilon"]).0, epsilon);
}

#[test]
fn what_is_learned_says_what_was_predicted() {
    let place = Place::new();
    let portrait = portrait();
    let learn = ["learn", text(&portrait), "--no-face", "--name=me", "--steps=2", "--batch=1", "--size=64x64"];
    let identity = |flags: &[&str]| {
        let value = place.json(&[&learn[..], &["--force"], flags].concat());
        (
            value["prediction"].as_str().unwrap().to_owned(),
            std::fs::read(place.path("me.identity.safetensors")).unwrap(),
        )
    };
    let (epsilon, of_epsilon) = identity(&[]);
    let (v, of_v) = identity(&["--prediction=v"]);
    assert_eq!((epsilon.as_str(), v.as_str()), ("epsilon", "v_prediction"));
    assert_ne!(of_epsilon, of_v);
    let inspected = place.json(&["inspect", "me.identity.safetensors"]);
    assert_eq!(inspected["prediction_type"], "v_prediction");
    place.fails(2, &["generate", "a man", "--prediction=sample"], &["`sample` is not one of epsilon, v"]);
}
