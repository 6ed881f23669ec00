//! `idembed generate`.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use image::RgbImage;

use crate::program::{Place, Said, mini, text, with_me};

fn pixels(place: &Place, name: &str) -> RgbImage {
    image::open(place.path(name)).unwrap().into_rgb8()
}

#[test]
fn pictures_are_named_by_their_seeds_and_printed() {
    let place = Place::new();
    let printed =
        place.succeeds(&["generate", "a photo of a man", "--steps=2", "--images=2", "--seed=7", "--grid=grid.png"]);
    assert_eq!(printed, "out/7.png\nout/8.png\n");
    assert_eq!(pixels(&place, "out/7.png").dimensions(), (128, 128));
    assert!(pixels(&place, "grid.png").width() > 2 * 128);
    assert_ne!(pixels(&place, "out/7.png"), pixels(&place, "out/8.png"));
}

#[test]
fn json_names_pictures_and_settings() {
    let place = Place::new();
    let value =
        place.json(&["generate", "a photo of <me>", &with_me(), "--steps=2", "-n2", "--size=64x96", "--out=a/b"]);
    assert_eq!(value["images"][0]["path"], "a/b/0.png");
    assert_eq!(value["images"][1]["seed"], 1);
    assert_eq!(value["guidance"], 4.0);
    assert_eq!(value["identities"][0]["name"], "me");
    assert_eq!(pixels(&place, "a/b/1.png").dimensions(), (64, 96));
}

#[test]
fn a_seed_gives_the_same_picture_in_any_batch() {
    let place = Place::new();
    let draw = |flags: &[&str]| place.succeeds(&[&["generate", "a woman at the beach", "--steps=3"], flags].concat());
    draw(&["-n3", "--batch=3", "--out=together"]);
    draw(&["-n3", "--batch=2", "--out=in-two"]);
    draw(&["--seed=2", "--out=alone"]);
    let alone = pixels(&place, "alone/2.png");
    for other in ["together/2.png", "in-two/2.png"] {
        let other = pixels(&place, other);
        let furthest = alone.iter().zip(other.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(furthest <= Some(1), "{furthest:?} grey levels apart");
    }
}

#[test]
fn pictures_made_otherwise_are_kept() {
    let place = Place::new();
    let draw = |prompt: &str, flags: &[&str]| place.succeeds(&[&["generate", prompt, "--steps=1"], flags].concat());
    assert_eq!(draw("a man", &[]), "out/0.png\n");
    let first = std::fs::read(place.path("out/0.png")).unwrap();
    assert_eq!(draw("a woman", &[]), "out/0-2.png\n");
    assert_eq!(draw("a man", &[]), "out/0.png\n");
    assert_eq!(std::fs::read(place.path("out/0.png")).unwrap(), first, "the same wish gives the same bytes");
    assert_eq!(draw("a man", &["--dtype=bf16"]), "out/0-3.png\n");
    assert_eq!(draw("a woman", &["--overwrite"]), "out/0.png\n");
}

#[test]
fn a_cache_that_cannot_be_used_bothers_nobody() {
    let place = Place::new();
    std::fs::write(place.path("file"), b"").unwrap();
    let mut hashes = Vec::new();
    // None, one in a file's place, and a folder that is filled and then used.
    for cache in ["", "file", "cache", "cache"] {
        let mut command = place.command(&["generate", "a man", "--steps=1", "--json"]);
        command.env("XDG_CACHE_HOME", place.path(cache)).env("HOME", "");
        if cache.is_empty() {
            command.env_remove("XDG_CACHE_HOME");
        }
        let said = Said::from(command.output().unwrap());
        assert_eq!((said.status, said.stderr.contains("warning")), (Some(0), false), "{}", said.stderr);
        let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        hashes.push(value["model_sha256"].as_str().unwrap().to_owned());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0] && hash.len() == 64), "{hashes:?}");
    assert_eq!(std::fs::read_dir(place.path("cache/idembed/sha256")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 1, "the same picture keeps its name");
}

#[test]
fn a_folder_may_have_any_name() {
    let place = Place::new();
    let folder = OsStr::from_bytes(b"\xff \"out\"\n");
    let args = ["generate", "a \"man\"\n<3", "--steps=1", "--json", "--out"].map(OsStr::new);
    let printed = place.succeeds(&[&args[..], &[folder]].concat());
    let value: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value["images"][0]["seed"], 0);
    assert_eq!(std::fs::read_dir(place.path("").join(folder)).unwrap().count(), 1);
}

#[test]
fn samplers_and_negative_prompts_make_a_difference() {
    let place = Place::new();
    let mut seen: Vec<RgbImage> = Vec::new();
    let samplers = "ddim dpmpp-2m dpmpp-2m-karras dpmpp-2m-sde dpmpp-sde unipc euler euler-a heun pndm lcm";
    for scheduler in samplers.split(' ') {
        let out = format!("--out={scheduler}");
        place.succeeds(&["generate", "a man", "--steps=4", "--scheduler", scheduler, &out]);
        seen.push(pixels(&place, &format!("{scheduler}/0.png")));
    }
    place.succeeds(&["generate", "a man", "--steps=4", "--scheduler=ddim", "--eta=0.5", "--out=eta"]);
    seen.push(pixels(&place, "eta/0.png"));
    place.succeeds(&["generate", "a man", "--steps=4", "--negative=red", "--out=negative"]);
    seen.push(pixels(&place, "negative/0.png"));
    place.succeeds(&["generate", "a man", "--steps=4", "--guidance=1", "--out=unguided"]);
    seen.push(pixels(&place, "unguided/0.png"));
    for (index, picture) in seen.iter().enumerate() {
        assert!(!seen[..index].contains(picture), "picture {index} is there twice");
    }
}

#[test]
fn a_model_is_found_by_name_and_by_folder() {
    let place = Place::new();
    let models = mini().parent().unwrap().to_owned();
    std::fs::create_dir(place.path("models")).unwrap();
    std::os::unix::fs::symlink(mini(), place.path("models/other")).unwrap();
    std::fs::create_dir(place.path("below")).unwrap();
    let draw = |model: &str| {
        let mut command = place.command(&["generate", "a man", "--steps=1", "--model", model]);
        Said::from(command.current_dir(place.path("below")).output().unwrap())
    };
    for model in ["other", "mini", text(&mini()), "../models/other"] {
        let said = draw(model);
        assert_eq!(said.status, Some(0), "{model}: {}", said.stderr);
    }
    draw("sd99").is_clear_error(1, &["no model `sd99`", "mini, other"]);
    let mut command = place.command(&["generate", "a man", "--steps=1", "--model=mini"]);
    let said = Said::from(command.env("IDEMBED_MODELS", models).output().unwrap());
    assert_eq!(said.status, Some(0), "{}", said.stderr);
}

#[test]
fn quiet_is_quiet_and_a_closed_pipe_is_no_error() {
    let place = Place::new();
    let said = place.run(&["generate", "a man", "--steps=1", "--quiet"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out/0.png\n", ""));

    let mut command = place.command(&["generate", "a man", "--steps=1", "-n2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
}
