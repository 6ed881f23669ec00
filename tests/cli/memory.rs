//! What work will need is said before it begins, and what cannot fit is refused.

use crate::program::{Place, portrait, text};

/// How far a forecast may be from what was measured, as a factor.
const CLOSE: f64 = 1.4;

fn is_close(value: &serde_json::Value) {
    let number = |key: &str| value[key].as_f64().unwrap();
    let ratio = number("expected_memory_mib") / number("peak_memory_mib");
    assert!((1.0 / CLOSE..CLOSE).contains(&ratio), "{value}");
}

#[test]
fn forecasts_of_memory_come_close() {
    let place = Place::new();
    is_close(&place.json(&["generate", "a man", "--steps=1", "--size=768x512"]));
    is_close(&place.json(&["generate", "a man", "--steps=1", "-n4", "--batch=4", "--size=256x256"]));
    let portrait = portrait();
    let learn = ["learn", text(&portrait), "--no-face", "--name=me", "--steps=1", "--force"];
    for flags in [["--size=256x256", "--batch=1"], ["--size=128x128", "--batch=8"], ["--size=256x256", "--lambda=0"]] {
        is_close(&place.json(&[&learn[..], &flags].concat()));
    }
}

/// Of all passes, the one that takes most counts: here the parts of the second are larger than the first.
#[test]
fn later_passes_count() {
    let place = Place::new();
    let expected = |flags: &[&str]| {
        let args = [&["generate", "a man", "--steps=2", "--size=64x64"], flags].concat();
        place.json(&args)["expected_memory_mib"].as_u64().unwrap()
    };
    let [first, parts, whole] = [expected(&[]), expected(&["--hires=4", "--hires-tiles"]), expected(&["--hires=4"])];
    assert!(first < parts && parts < whole, "{first}, {parts}, {whole}");
    assert_eq!(
        expected(&["--hires=1.1", "--hires-tiles", "--images=16", "--batch=16"]),
        expected(&["--images=16", "--batch=16"])
    );
}

/// What was said before a run of `attention`, in MiB.
fn said(place: &Place, prompt: &str) -> u64 {
    let args = ["attention", prompt, "--words=man", "--steps=1", "--size=128x128", "--out=maps"];
    let said = place.run(&args).stderr;
    let (_, needed) = said.split_once(" takes about ").unwrap();
    needed.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn prompts_of_several_chunks_take_more() {
    let place = Place::new();
    assert!(said(&place, &"a man in a garden, ".repeat(100)) > said(&place, "a man"));
}

#[test]
fn what_cannot_fit_is_refused_with_what_would() {
    let place = Place::new();
    let large = ["--size=4096x4096", "--batch=10000"];
    let images = ["generate", "a man", "--steps=1", "--images=10000"];
    place.fails(1, &[&images[..], &large].concat(), &["drawing at 4096x4096, 10000 at a time, takes", "would fit"]);
    let portrait = portrait();
    let learn = ["learn", text(&portrait), "--no-face", "--name=me"];
    place.fails(1, &[&learn[..], &large].concat(), &["learning at 4096x4096", "this machine has", "would fit"]);
}

#[test]
fn large_pictures_are_decoded_in_parts() {
    let place = Place::new();
    let draw = |size: &str, out: &str, more: &[&str]| {
        let (size, out) = (format!("--size={size}"), format!("--out={out}"));
        place.json(&[&["generate", "a photo of a man", "--steps=1", "--guidance=1", &size, &out], more].concat());
        image::open(place.path(&format!("{}/0.png", &out["--out=".len()..]))).unwrap().into_rgb8()
    };
    let low = ["--low-memory"];
    assert!(draw("64x72", "small", &[]) == draw("64x72", "small_low", &low), "what fits into one part is the same");
    let [whole, parts] = [draw("640x520", "whole", &[]), draw("640x520", "parts", &low)];
    let differences = whole.as_raw().iter().zip(parts.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean = differences.sum::<f64>() / whole.as_raw().len() as f64;
    assert!(whole != parts && mean < 8.0, "{mean}");
    assert_eq!(place.json(&["inspect", "parts/0.png"])["tiled"], true);
    assert!(place.json(&["inspect", "whole/0.png"])["tiled"].is_null());
}
