//! `idembed compare`, and `cargo xtask eval` that sums it up.
//!
//! The recognition network has random weights: they tell no people apart, but the same face from itself they do.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use idembed_clip::ClipScorer;
use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::{fixture_dir, photo, read_json, weights};
use idembed_weights::Compute;
use image::{Rgb, RgbImage, imageops};
use serde_json::Value;

use crate::program::{Place, mini, portrait, text, with_me};

/// A place with a recognition network of random weights and four pictures; `None` without the detector.
fn prepared() -> Option<(Place, Vec<PathBuf>)> {
    weights("mtcnn")?;
    let place = Place::new();
    let cases = read_json(&fixture_dir("recognition").join("cases.json"));
    let narrow = cases["networks"].as_array().unwrap().iter().find(|case| case["name"] != "inception_resnet_v1");
    DrawnWeights::new(narrow.unwrap(), 0).write(&place.path("network.safetensors"));

    let folder = place.path("pictures");
    std::fs::create_dir(&folder).unwrap();
    let whole = image::open(photo()).unwrap().into_rgb8();
    whole.save(folder.join("1-same.png")).unwrap();
    imageops::flip_horizontal(&whole).save(folder.join("2-mirrored.png")).unwrap();
    RgbImage::from_fn(90, 70, |x, y| Rgb([(x * 5 + y * 3) as u8; 3])).save(folder.join("3-nobody.png")).unwrap();
    std::fs::write(folder.join("4-text.png"), b"this is only a text").unwrap();
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    Some((place, pictures))
}

#[test]
fn faces_are_compared_and_what_cannot_be_is_said() {
    let Some((place, pictures)) = prepared() else { return };
    let photo = photo();
    let mut args = vec!["compare", text(&photo)];
    args.extend(pictures.iter().map(|path| text(path)));
    args.push("--recogniser=network.safetensors");
    let value = place.json(&args);
    assert_eq!((&value["recogniser"], &value["scale"]), (&"network.safetensors".into(), &Value::Null));
    assert!(value["face"]["score"].as_f64().is_some_and(|score| score > 0.99));
    let compared = value["pictures"].as_array().unwrap();
    let id = |index: usize| compared[index]["id"].as_f64().unwrap();
    assert!((id(0) - 1.0).abs() < 1e-5, "a face is like itself: {}", id(0));
    assert!(value.get("distance_scale").is_none() && compared[0].get("distance").is_none(), "{value}");
    assert!(id(1) < 0.9999 && compared[1]["faces"] == 1, "another picture is another: {}", id(1));
    assert_eq!((&compared[2]["faces"], id(2)), (&0.into(), 0.0));
    assert!(compared[3]["error"].as_str().unwrap().contains("is not a picture"));
    let table = place.succeeds(&args);
    assert!(table.contains("1.000") && table.contains("no face") && table.contains("not compared"), "{table}");
}

#[test]
fn photos_are_compared_by_the_network_that_everyone_may_use() {
    let Some((place, pictures)) = prepared() else { return };
    if weights("dlib-face").is_none() {
        return;
    }
    let photo = photo();
    let mut args = vec!["compare", text(&photo)];
    args.extend(pictures.iter().map(|path| text(path)));
    let value = place.json(&args);
    assert_eq!((&value["recogniser"], &value["scale"]["same_above"]), (&"dlib-face".into(), &0.91.into()));
    assert_eq!(value["distance_scale"]["same_below"], 0.6);
    let compared = value["pictures"].as_array().unwrap();
    let distance = |index: usize| compared[index]["distance"].as_f64().unwrap();
    assert!(distance(0) < 1e-5 && (1e-3..0.6).contains(&distance(1)), "{} {}", distance(0), distance(1));
    assert!(compared[2]["id"] == 0.0 && compared[2].get("distance").is_none(), "{value}");
    let said = place.run(&args);
    assert!(said.stdout.contains("1.000  distance 0.000"), "{}", said.stdout);
    let scale = "same person usually at a distance below 0.60, strangers above it (the threshold it was trained with)";
    assert!(said.stderr.contains("the network `dlib-face` compares") && said.stderr.contains(scale), "{}", said.stderr);
}

#[test]
fn pictures_that_name_their_prompt_are_compared_with_it() {
    if weights("mtcnn").is_none() {
        return;
    }
    let (place, me) = (Place::new(), with_me());
    place.succeeds(&["generate", "a photo of <me> at the beach", &me, "--steps=4", "--out=drawn"]);
    let (photo, drawn) = (portrait(), place.path("drawn/0.png"));
    let value = place.json(&["compare", text(&photo), text(&drawn), text(&photo)]);
    let scorer = ClipScorer::load(&mini().join("clip"), Compute::CPU_F32).unwrap();
    let picture = image::open(&drawn).unwrap().into_rgb8();
    let expected = scorer.score(&[picture], &["a photo of person at the beach"]).unwrap().double_value(&[0, 0]);
    let found = value["pictures"][0]["prompt"].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    assert_eq!(value["clip"], "mini");
    assert!(value["pictures"][1].get("prompt").is_none(), "the portrait's file names none: {value}");
    let table = place.succeeds(&["compare", text(&photo), text(&drawn)]);
    assert!(table.contains(&format!("prompt {found:.3}")), "{table}");
}

/// Both portraits of a person that the miniature has never seen.
fn portraits(person: usize) -> [PathBuf; 2] {
    ["a", "b"].map(|letter| mini().join(format!("portraits/person{person}_{letter}.png")))
}

#[test]
fn the_scale_of_the_miniature_fits_its_portraits() {
    if weights("mtcnn").is_none() {
        return;
    }
    let place = Place::new();
    let people = 1..=8;
    let second: Vec<PathBuf> = people.clone().map(|person| portraits(person)[1].clone()).collect();
    let (mut same, mut strangers) = (Vec::new(), Vec::new());
    let mut scale = Value::Null;
    for person in people {
        let [photo, _] = portraits(person);
        let mut args = vec!["compare", "--recogniser=mini", text(&photo)];
        args.extend(second.iter().map(|path| text(path)));
        let mut value = place.json(&args);
        for (index, picture) in value["pictures"].as_array().unwrap().iter().enumerate() {
            let list = if index + 1 == person { &mut same } else { &mut strangers };
            list.push(picture["id"].as_f64().unwrap());
        }
        scale = value["scale"].take();
    }
    let [same_above, strangers_below] = ["same_above", "strangers_below"].map(|key| scale[key].as_f64().unwrap());
    let above = same.iter().filter(|id| **id > same_above).count();
    let below = strangers.iter().filter(|id| **id < strangers_below).count();
    println!("{above} of {} pairs of one person, {below} of {} pairs of two: {scale}", same.len(), strangers.len());
    assert!(above >= 7 && below >= 48, "usually is 95 %: {same:?} {strangers:?}");
}

#[test]
fn pictures_of_the_miniature_are_compared_by_its_own_network() {
    if weights("mtcnn").is_none() {
        return;
    }
    let place = Place::new();
    place.succeeds(&["generate", "a close-up photo of <me> in a garden", &with_me(), "--seed=3"]);
    // The photo says nothing about a model.
    let photo = portrait();
    let compare = ["compare", text(&photo), "out/3.png"];
    let value = place.json(&compare);
    assert_eq!(value["recogniser"], "mini");
    assert_eq!(value["recogniser_because"], "`mini` drew the pictures, and it is that model's own");
    assert!(value["pictures"][0]["id"].is_number(), "{value}");
    let named = place.json(&[&compare[..], &["--recogniser=mini"]].concat());
    assert_eq!(named["pictures"], value["pictures"]);
    let own = mini().join("recogniser/model.safetensors");
    let by_file = place.json(&[&compare[..], &["--recogniser", text(&own)]].concat());
    assert_eq!((&by_file["pictures"], &by_file["scale"]), (&value["pictures"], &value["scale"]));

    let said = place.run(&compare);
    let above = value["scale"]["same_above"].as_f64().unwrap();
    let scale = format!("same person usually above {above:.2}, strangers usually below ");
    assert!(said.stderr.contains("the network `mini` compares") && said.stderr.contains(&scale), "{}", said.stderr);
    let mut eval = Command::new(env!("CARGO"));
    eval.args(["xtask", "eval", "--photo", text(&photo), "--pictures"]).arg(place.path("out"));
    eval.arg("--out").arg(place.path("report")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = eval.env("OMP_NUM_THREADS", "1").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains(" by mini\n") && table.contains(&scale), "{table}");
}

#[test]
fn a_network_that_is_not_there_is_named_with_where_to_get_it() {
    let place = Place::new();
    let photo = photo();
    let compare = |flag: &'static str| ["compare", text(&photo), text(&photo), flag].map(str::to_owned);
    let expected = ["there is no recognition network `nobody`", "cargo xtask download"];
    place.fails(1, &compare("--recogniser=nobody"), &expected);
    place.fails(2, &["compare", text(&photo)], &["<PICTURE>"]);
}

#[test]
fn a_folder_is_evaluated() {
    let Some((place, pictures)) = prepared() else { return };
    let photo = photo();
    let mut eval = Command::new(env!("CARGO"));
    eval.args(["xtask", "eval", "--json", "--photo", text(&photo), "--pictures"]).arg(pictures[0].parent().unwrap());
    eval.arg("--out").arg(place.path("report")).arg("--recogniser").arg(place.path("network.safetensors"));
    eval.current_dir(env!("CARGO_MANIFEST_DIR")).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
    let output = eval.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    for figure in ["id", "detect"] {
        let [low, mean, high] = ["low", "mean", "high"].map(|key| value[figure][key].as_f64().unwrap());
        assert!(low <= mean && mean <= high && value[figure]["n"] == 3, "{value}");
    }
    assert!((value["detect"]["mean"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{value}");
    assert_eq!((&value["faces_missing"], &value["unreadable"]), (&1.into(), &1.into()));
    let lines = std::fs::read_to_string(place.path("report/pictures.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 4);
    let page = std::fs::read_to_string(place.path("report/index.html")).unwrap();
    assert!(page.contains("1-same.png") && page.contains("data:image/png;base64,"));
}
