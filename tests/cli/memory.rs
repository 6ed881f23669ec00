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
