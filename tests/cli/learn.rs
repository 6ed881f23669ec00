//! `idembed learn`.

use idembed_integration_tests::weights;

use crate::program::{Place, portrait, portrait_mask, text};

#[test]
fn an_identity_is_written_and_told() {
    let place = Place::new();
    let portrait = portrait();
    let value = place.json(&["learn", "--no-face", text(&portrait), "--name=ann", "--steps=3"]);
    assert_eq!(value["identity"], "ann.identity.safetensors");
    assert_eq!(value["steps"], 3);
    for key in ["seconds", "noise_loss", "attention_loss"] {
        assert!(value[key].as_f64().is_some_and(f64::is_finite), "{key}: {}", value[key]);
    }
    let files: Vec<String> = place.files().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(files, ["ann.identity.safetensors"], "the checkpoint is gone");
    // The same wish gives the same file; it is not overwritten by accident.
    let first = std::fs::read(place.path("ann.identity.safetensors")).unwrap();
    place.fails(
        1,
        &["learn", "--no-face", text(&portrait), "--name=ann", "--steps=3"],
        &["is there already", "--force"],
    );
    place.succeeds(&["learn", "--no-face", text(&portrait), "--name=ann", "--steps=3", "--force"]);
    assert_eq!(std::fs::read(place.path("ann.identity.safetensors")).unwrap(), first);
}

#[test]
fn every_option_has_its_effect() {
    let place = Place::new();
    let (portrait, mask) = (portrait(), portrait_mask());
    let mask = format!("--mask={}", mask.display());
    let variants: [&[&str]; 12] = [
        &[],
        &["--seed=1"],
        &["--lambda=1"],
        &["--attention-target=none"],
        &["--attention-target=mask", &mask, "--lambda=1"],
        &["--attention-layers=1", "--lambda=1"],
        &["--masked-noise", &mask],
        &["--mirror"],
        &["--crop=20,10,96,96"],
        &["--stages=2"],
        &["--class=woman"],
        &["--lr=0.001"],
    ];
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for flags in variants {
        let learn =
            ["learn", "--no-face", text(&portrait), "--name=me", "--steps=3", "--batch=1", "--force", "--size=64x64"];
        place.succeeds(&[&learn, flags].concat());
        let bytes = std::fs::read(place.path("me.identity.safetensors")).unwrap();
        assert!(!seen.contains(&bytes), "{flags:?} changes nothing");
        seen.push(bytes);
    }
}

#[test]
fn a_mask_measures_leakage_and_textual_inversion_alone_has_no_attention_loss() {
    let place = Place::new();
    let (portrait, mask) = (portrait(), portrait_mask());
    let learn = ["learn", "--no-face", text(&portrait), "--name=me", "--steps=2", "--out=me", "--force"];
    let value = place.json(&[&learn[..], &["--mask", text(&mask)]].concat());
    assert!(value["leakage"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{value}");
    let value = place.json(&[&learn[..], &["--method=textual-inversion"]].concat());
    assert!(value["attention_loss"].is_null() && value["leakage"].is_null(), "{value}");
    assert_eq!((&value["stages"], &value["lambda"]), (&1.into(), &0.0.into()));
}

#[test]
fn textual_inversion_takes_the_attention_loss_where_lambda_says_so() {
    let place = Place::new();
    let portrait = portrait();
    let learn = ["learn", "--no-face", text(&portrait), "--name=me", "--steps=3", "--force", "--out=me"];
    let run = |lambda: &str| {
        let said = place.run(&[&learn[..], &["--method=textual-inversion", lambda, "--json"]].concat());
        assert!(said.status == Some(0) && !said.stderr.contains("has no effect"), "{}", said.stderr);
        let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        (value, std::fs::read(place.path("me")).unwrap())
    };
    let (without, plain) = run("--lambda=0");
    let (with, pulled) = run("--lambda=0.003");
    assert!(without["attention_loss"].is_null() && with["attention_loss"].as_f64().unwrap() > 0.0, "{with}");
    assert_eq!(with["lambda"], 0.003);
    assert_ne!(plain, pulled);
}

#[test]
fn a_report_is_one_self_contained_page() {
    let place = Place::new();
    let learn = ["learn", "--no-face", text(&portrait()), "--name=me", "--steps=3"].map(str::to_owned);
    let flags = ["--report=me.html", "--report-pictures=1"].map(str::to_owned);
    place.succeeds(&[&learn[..], &flags].concat());
    let page = std::fs::read_to_string(place.path("me.html")).unwrap();
    assert!(page.contains("Identity &lt;me&gt;") && page.contains("noise loss") && page.contains("<svg"));
    assert_eq!(page.matches("data:image/png;base64,").count(), 3, "the photo and a pair of pictures");
    assert!(!page.contains("://") && !page.contains("<script"), "nothing from outside");
}

#[test]
fn numbers_that_overflow_stop_the_run_and_keep_its_state() {
    let place = Place::new();
    let said = place.run(&["learn", "--no-face", text(&portrait()), "--name=me", "--steps=30", "--lr=1e30"]);
    said.is_clear_error(1, &["is not finite at step", "hint: try a lower --lr", "me.identity.safetensors.ckpt"]);
    assert!(place.path("me.identity.safetensors.ckpt").exists());
    assert!(!place.path("me.identity.safetensors").exists());
    let inspected = place.json(&["inspect", "me.identity.safetensors.ckpt"]);
    assert_eq!(inspected["kind"], "checkpoint");
}

/// The mean likeness of pictures of a prompt to the portrait, by the miniature's recogniser.
fn likeness(place: &Place, prompt: &str, identity: Option<&str>, folder: &str) -> f64 {
    let mut generate = vec!["generate", prompt, "--images=6", "--out", folder];
    generate.extend(identity.iter().flat_map(|file| ["--identity", file]));
    let drawn = place.json(&generate);
    let pictures: Vec<&str> =
        drawn["images"].as_array().unwrap().iter().map(|image| image["path"].as_str().unwrap()).collect();
    let portrait = portrait();
    let compared = place.json(&[&["compare", text(&portrait)][..], &pictures].concat());
    let ids = compared["pictures"].as_array().unwrap().iter().map(|picture| picture["id"].as_f64().unwrap());
    ids.sum::<f64>() / pictures.len() as f64
}

#[test]
fn a_learned_portrait_is_recognised_in_a_new_scene() {
    if weights("mtcnn").is_none() {
        return;
    }
    let place = Place::new();
    let (portrait, mask) = (portrait(), portrait_mask());
    let mask = format!("--mask={}", mask.display());
    place.succeeds(&["learn", "--no-face", text(&portrait), &mask, "--name=me", "--steps=80", "--out=me"]);
    let learned = likeness(&place, "a close-up photo of <me> in a library", Some("me=me"), "learned");
    let class = likeness(&place, "a close-up photo of person in a library", None, "class");
    // Seen: 0.60 and 0.12; pictures scatter by 0.2, so that their means of six move by 0.08.
    assert!(learned > 0.4 && learned > class + 0.2, "learned {learned}, class word {class}");
}
