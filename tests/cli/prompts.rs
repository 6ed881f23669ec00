//! Weights and chunks in prompts, identities in negative prompts, `--clip-skip`.

use image::RgbImage;
use serde_json::{Value, json};

use crate::program::{Place, with_me};

/// Draws two steps into a folder of its own; gives the picture and what it says of itself.
fn drawn(place: &Place, out: &str, prompt: &str, flags: &[&str]) -> (RgbImage, Value) {
    let out = format!("--out={out}");
    let args = ["generate", prompt, "--steps=2", "--size=64x64", &out, "--quiet"];
    place.succeeds(&[&args[..], flags].concat());
    let file = format!("{}/0.png", &out[6..]);
    (image::open(place.path(&file)).unwrap().into_rgb8(), place.json(&["inspect", &file]))
}

#[test]
fn weights_change_the_picture_unless_they_are_text() {
    let place = Place::new();
    let (plain, about) = drawn(&place, "plain", "a man in a garden", &[]);
    assert_eq!((&about["weighted"], &about["clip_skip"]), (&json!(null), &json!(null)));
    let (weighted, about) = drawn(&place, "weighted", "a (man:1.5) in a garden", &[]);
    assert_eq!((&about["weighted"], &about["prompt"]), (&json!(true), &json!("a (man:1.5) in a garden")));
    let (as_text, about) = drawn(&place, "text", "a (man:1.5) in a garden", &["--plain-prompt"]);
    assert_eq!(about["weighted"], json!(null));
    let (escaped, _) = drawn(&place, "escaped", r"a \(man:1.5\) in a garden", &[]);
    assert!(plain != weighted && as_text != weighted && as_text != plain);
    assert_eq!(as_text, escaped);
    // All weights alike: the mean is brought back, but what frames the text keeps its own.
    let (one, _) = drawn(&place, "one", "(a man in a garden:1)", &[]);
    assert_eq!(one, plain);
}

#[test]
fn long_prompts_are_read_to_their_end() {
    let place = Place::new();
    let long = "a photo of a man in a garden, ".repeat(12);
    let (short, _) = drawn(&place, "cut", &long, &["--plain-prompt"]);
    let (whole, about) = drawn(&place, "whole", &long, &[]);
    let (longer, _) = drawn(&place, "longer", &format!("{long} at the beach"), &[]);
    assert!(short != whole && whole != longer && about["weighted"] == json!(true));
    let (negative, _) = drawn(&place, "negative", "a man", &[&format!("--negative={long}")]);
    let (divided, _) = drawn(&place, "divided", "a man BREAK in a garden", &["--guidance=1"]);
    assert_ne!(negative, divided);
    // Without guidance the negative prompt has no say, however long it is.
    let (alone, _) = drawn(&place, "alone", "a man", &["--guidance=1"]);
    let (unguided, _) = drawn(&place, "unguided", "a man", &["--guidance=1", &format!("--negative={long}")]);
    assert_eq!(alone, unguided);
}

#[test]
fn identities_in_brackets_and_in_the_negative_prompt() {
    let place = Place::new();
    let (plain, _) = drawn(&place, "plain", "a photo of <me>", &[&with_me()]);
    let (weighted, _) = drawn(&place, "weighted", "a photo of (<me>:1.3)", &[&with_me()]);
    let (negative, about) = drawn(&place, "negative", "a photo of a man", &[&with_me(), "--negative=(<me>:1.2), red"]);
    let (without, _) = drawn(&place, "without", "a photo of a man", &["--negative=red"]);
    assert!(plain != weighted && negative != without);
    assert_eq!(about["identities"][0]["name"], "me");
    place.fails(1, &["generate", "a man", "--negative=<you>", "--steps=1"], &["<you>, but no identity was given"]);
}

#[test]
fn layers_of_the_text_encoder_can_be_left_out() {
    let place = Place::new();
    let (all, _) = drawn(&place, "1", "a man", &["--clip-skip=1"]);
    let (plain, _) = drawn(&place, "plain", "a man", &[]);
    let (skipped, about) = drawn(&place, "2", "a man", &["--clip-skip=2"]);
    assert!(all == plain && all != skipped && about["clip_skip"] == json!(2));
    let said = place.run(&["inspect", "2/0.png"]);
    assert!(said.stdout.contains("clip skip"), "{}", said.stdout);
    // The miniature's text encoder has three layers.
    place.fails(
        1,
        &["generate", "a man", "--steps=1", "--clip-skip=4"],
        &["3 layers of the text encoder", "N from 1 to 3"],
    );
    place.fails(2, &["generate", "a man", "--clip-skip=0"], &["whole number from 1"]);
}

#[test]
fn odd_prompts_are_drawn_or_refused() {
    let place = Place::new();
    let refused = |prompt: &str, expected: &[&str]| {
        place.fails(1, &["generate", prompt, "--steps=1", "--size=64x64"], expected);
    };
    refused("a (red hat:1e6)", &["the weight of `red hat` is 1000000, expected -100 to 100", "--plain-prompt"]);
    refused("(x:nan)", &["`x` is NaN"]);
    refused(&format!("{}x{}", "(".repeat(10_000), ")".repeat(10_000)), &["the weight of `x` is inf"]);
    for (index, prompt) in
        ["()", "((((", "a) b( [", &"(".repeat(10_000), &"[]".repeat(5_000), "(a:0) [b|c]"].iter().enumerate()
    {
        drawn(&place, &index.to_string(), prompt, &["--guidance=1"]);
    }
}

#[test]
fn words_are_found_in_weighted_prompts_and_later_chunks() {
    let place = Place::new();
    let prompt = "a photo of (<me>:1.3) in a [red] hat BREAK (at the \\(beach\\):1.2)";
    let value = place.json(&["attention", prompt, &with_me(), "--steps=2", "--size=64x64", "--out=maps"]);
    let words: Vec<&str> =
        value["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(words, ["photo", "<me>", "red", "hat", "beach"]);
    assert!(value["words"].as_array().unwrap().iter().all(|word| word["mean"].as_f64().unwrap() > 0.0));
}
