//! `idembed compare`, and `cargo xtask eval` that sums it up.
//!
//! The recognition network has random weights: they tell no people apart, but the same face from itself they do.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::{fixture_dir, photo, read_json, weights};
use image::{Rgb, RgbImage, imageops};
use serde_json::Value;

use crate::program::{Place, text};

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
    assert_eq!(value["recogniser"], "network.safetensors");
    assert!(value["face"]["score"].as_f64().is_some_and(|score| score > 0.99));
    let compared = value["pictures"].as_array().unwrap();
    let id = |index: usize| compared[index]["id"].as_f64().unwrap();
    assert!((id(0) - 1.0).abs() < 1e-5, "a face is like itself: {}", id(0));
    assert!(id(1) < 0.9999 && compared[1]["faces"] == 1, "another picture is another: {}", id(1));
    assert_eq!((&compared[2]["faces"], id(2)), (&0.into(), 0.0));
    assert!(compared[3]["error"].as_str().unwrap().contains("is not a picture"));
    let table = place.succeeds(&args);
    assert!(table.contains("1.000") && table.contains("no face") && table.contains("not compared"), "{table}");
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
