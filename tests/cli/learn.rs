//! `idembed learn`.

use idembed_integration_tests::weights;

use crate::program::{Place, identity, mini, portrait, portrait_mask, text};

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
    let variants: [&[&str]; 15] = [
        &[],
        &["--seed=1"],
        &["--lambda=1"],
        &["--attention-target=none"],
        &["--attention-target=mask", &mask, "--lambda=1"],
        &["--attention-layers=1", "--lambda=1"],
        &["--masked-noise", &mask],
        &["--mirror"],
        &["--optimizer=prodigy"],
        &["--rows=vectors"],
        &["--rows=vectors", "--words=2"],
        &["--crop=20,10,96,96"],
        &["--stages=2"],
        &["--class=woman"],
        &["--lr=0.001"],
    ];
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for flags in variants {
        let learn = ["learn", "--no-face", text(&portrait), "--name=me", "--method=sefi", "--steps=3", "--batch=1"];
        place.succeeds(&[&learn[..], &["--force", "--size=64x64"], flags].concat());
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
fn several_photos_of_any_size_are_one_lesson() {
    let place = Place::new();
    std::fs::create_dir(place.path("album")).unwrap();
    let second = image::open(mini().join("portraits/person3_b.png")).unwrap();
    second.resize_exact(200, 160, image::imageops::FilterType::Triangle).save(place.path("album/z.png")).unwrap();
    std::fs::copy(mini().join("portraits/person3_b.png"), place.path("album/a picture")).unwrap();
    std::fs::write(place.path("album/notes.md"), b"no picture").unwrap();
    let first = portrait();
    let learn = ["learn", text(&first), "album", "--no-face", "--name=me", "--steps=2", "--batch=1", "--size=64x64"];
    let value = place.json(&[&learn[..], &["--report=me.html", "--report-pictures=0"]].concat());
    let photos: Vec<_> =
        value["photos"].as_array().unwrap().iter().map(|photo| photo["photo"].as_str().unwrap()).collect();
    assert_eq!(photos, [text(&first), "album/a picture", "album/z.png"]);
    assert!(value["face"].is_null() && value["photos"][2]["part"] == "20,0,160,160", "{value}");
    let page = std::fs::read_to_string(place.path("me.html")).unwrap();
    assert!(page.contains("learned from 3 photos") && page.contains("part of photo 3") && page.contains("The photos"));
    assert_eq!(page.matches("data:image/png;base64,").count(), 3);

    let refused = |flags: &[&str], status: i32, expected: &[&str]| {
        place.fails(status, &[&learn[..2], &["album", "--name=you", "--steps=1"], flags].concat(), expected);
    };
    refused(&["--face=2"], 2, &["--face belongs to one photo, and there are 3"]);
    refused(&["--crop=0,0,64,64"], 2, &["--crop belongs to one photo"]);
    refused(&["--mask", text(&portrait_mask())], 2, &["a picture as --mask belongs to one photo"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.fails(1, &["learn", "empty", "--name=you"], &["the folder `empty` holds no picture", "hint: name photos"]);
    std::fs::write(place.path("album/broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    refused(&["--no-face"], 1, &["album/broken.png"]);
}

#[test]
fn a_text_beside_a_photo_is_its_prompt() {
    let place = Place::new();
    for name in ["a.png", "b.png"] {
        std::fs::copy(portrait(), place.path(name)).unwrap();
    }
    let learn = ["learn", "a.png", "b.png", "--no-face", "--name=me", "--steps=2", "--size=64x64", "--force"];
    let identity = || std::fs::read(place.path("me.identity.safetensors")).unwrap();
    let plain = (place.json(&learn), identity());
    assert!(plain.0["photos"][0]["caption"].is_null());
    std::fs::write(place.path("b.txt"), " a photo of {}\nat the  beach\n").unwrap();
    let value = place.json(&learn);
    assert_eq!(value["photos"][1]["caption"], "a photo of {} at the beach");
    assert!(value["photos"][0]["caption"].is_null() && identity() != plain.1);
    place.succeeds(&[&learn[..], &["--no-captions"]].concat());
    assert_eq!(identity(), plain.1);
    for wrong in ["a photo of ann", "", "{} and {}"] {
        std::fs::write(place.path("b.txt"), wrong).unwrap();
        place.fails(1, &learn, &["`b.txt` is no caption of a photo", "one {}", "hint: write {}", "--no-captions"]);
    }
}

#[test]
fn what_is_opaque_is_the_mask() {
    let place = Place::new();
    let mut photo = image::open(portrait()).unwrap().into_rgba8();
    let mask = image::open(portrait_mask()).unwrap().into_luma8();
    photo.enumerate_pixels_mut().for_each(|(x, y, pixel)| pixel[3] = mask[(x, y)][0]);
    photo.save(place.path("cut.png")).unwrap();
    let learn = |photo: &str, flags: &[&str]| {
        let learn =
            ["learn", photo, "--no-face", "--name=me", "--steps=2", "--size=64x64", "--masked-noise", "--force"];
        let said = place.run(&[&learn[..], flags].concat());
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        (said.stderr, std::fs::read(place.path("me.identity.safetensors")).unwrap())
    };
    // The colours are as they are stored, so that it is the photo with a file as its mask.
    let (_, by_file) = learn(text(&portrait()), &["--mask", text(&portrait_mask())]);
    for flags in [&[][..], &["--mask=alpha"]] {
        let (said, by_opacity) = learn("cut.png", flags);
        assert_eq!(by_opacity, by_file);
        assert!(said.contains("`cut.png`: what is opaque is the mask") && !said.contains("on white"), "{said}");
    }
    let (said, on_white) = learn("cut.png", &["--mask", text(&portrait_mask())]);
    assert!(on_white != by_file && said.contains("transparent parts were laid on white"), "{said}");
    let portrait = portrait();
    let opaque = ["learn", text(&portrait), "--no-face", "--name=you", "--mask=alpha"];
    place.fails(1, &opaque, &["no transparent part", "hint: leave out --mask alpha"]);
    place.fails(
        2,
        &["learn", "cut.png", "--no-face", "--name=you", "--mask=none", "--masked-noise"],
        &["needs a mask"],
    );
}

#[test]
fn a_method_that_looks_at_masks_does_without() {
    let place = Place::new();
    let (portrait, mask) = (portrait(), portrait_mask());
    let learn = |flags: &[&str]| {
        let learn = ["learn", text(&portrait), "--no-face", "--name=me", "--method=persona-magic", "--steps=2"];
        place.succeeds(&[&learn[..], &["--size=64x64", "--force"], flags].concat());
        std::fs::read(place.path("me.identity.safetensors")).unwrap()
    };
    let without = learn(&[]);
    assert_ne!(learn(&["--mask", text(&mask)]), without);
}

#[test]
fn learning_goes_on_from_an_identity() {
    let place = Place::new();
    let photo = portrait();
    let learn = ["learn", text(&photo), "--no-face", "--name=me", "--steps=1", "--size=64x64", "--force", "--out=me"];
    let start = format!("--start={}", identity().display());
    let said = place.run(&[&learn[..], &[&start, "--json"]].concat());
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("learned with sefi for `mini` in 4 steps"), "{}", said.stderr);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let expected = &place.json(&["inspect", text(identity())])["sha256"];
    assert_eq!(&value["started_from"], expected);
    assert_eq!(&place.json(&["inspect", "me"])["started_from"], expected);
    // Without a method it goes on with that of the identity.
    assert_eq!(value["method"], "sefi");
    place.succeeds(&[&learn[..], &[&start, "--method=textual-inversion"]].concat());
    assert_eq!(place.json(&["inspect", "me"])["method"], "textual-inversion");

    let wrong = ["learn", text(&photo), "--no-face", "--name=you", "--steps=1"];
    place.fails(
        1,
        &[&wrong[..], &["--start=clas"]].concat(),
        &["no identity file `clas`", "hint: --start takes class"],
    );
    place.fails(1, &[&wrong[..], &["--start", text(&photo)]].concat(), &["not a usable identity file"]);
}

#[test]
fn a_person_is_learned_as_suits_the_model() {
    let place = Place::new();
    let photo = portrait();
    let method = |out: &str, flags: &[&str]| {
        let learn = ["learn", text(&photo), "--no-face", "--name=me", "--steps=1", "--size=64x64", "--out", out];
        place.json(&[&learn[..], flags].concat())["method"].clone()
    };
    assert_eq!(method("me", &[]), "sefi-names");
    assert_eq!(method("on", &["--start=me"]), "sefi-names");
    assert_eq!(method("cat", &["--class=cat"]), "sefi");
}

#[test]
fn the_miniature_says_that_it_will_not_draw_you() {
    let said = Place::new().run(&["learn", "--no-face", text(&portrait()), "--name=me", "--steps=1"]).stderr;
    assert!(said.contains("`mini` knows drawn, invented people only"), "{said}");
    assert!(said.contains("; --model names another model\n"), "{said}");
}

#[test]
fn steps_that_cannot_be_made_are_refused() {
    let place = Place::new();
    let refused = |status, flags: &[&str], expected: &str| {
        place.fails(status, &[&["learn", "--no-face", text(&portrait()), "--name=me"], flags].concat(), &[expected]);
    };
    refused(2, &["--optimizer=sgd"], "`sgd` is not one of adamw, prodigy");
    refused(2, &["--decay=linear"], "`linear` is not one of constant, cosine");
    refused(1, &["--optimizer=prodigy", "--method=dreambooth"], "expected adamw for a method");
    assert!(!place.path("me.identity.safetensors").exists());
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
