//! Pictures that are drawn once more: larger, or their faces.

use crate::program::{Place, portrait, text};

/// A place with an identity that has hardly learned anything.
fn place() -> Place {
    let place = Place::new();
    let portrait = portrait();
    place.json(&["learn", text(&portrait), "--no-face", "--name=me", "--steps=1", "--batch=1", "--out=me.safetensors"]);
    place
}

fn pixels(place: &Place, name: &str) -> image::RgbImage {
    image::open(place.path(name)).unwrap().into_rgb8()
}

#[test]
fn a_picture_is_enlarged_and_says_so() {
    let place = Place::new();
    let draw = ["generate", "a photo of a woman", "--steps=4", "--size=64x72"];
    place.json(&[&draw[..], &["--out=plain"]].concat());
    let drawn = place.json(&[&draw[..], &["--hires=1.5:0.5", "--out=large"]].concat());
    assert_eq!(drawn["images"][0]["seed"], 0);
    assert_eq!(pixels(&place, "large/0.png").dimensions(), (96, 112));
    let record = place.json(&["inspect", "large/0.png"]);
    assert_eq!(record["enlarged"], serde_json::json!({ "factor": 1.5, "strength": 0.5 }));
    assert_eq!(record["size"], serde_json::json!([96, 112]));
    assert!(place.json(&["inspect", "plain/0.png"])["enlarged"].is_null());
    // What the second pass begins at is the first one's picture, enlarged.
    let [plain, large] = ["plain/0.png", "large/0.png"].map(|name| pixels(&place, name));
    let small = image::imageops::resize(&large, 64, 72, image::imageops::FilterType::Triangle);
    let far = |a: &image::RgbImage| {
        let differences = a.as_raw().iter().zip(small.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        differences.sum::<f64>() / small.as_raw().len() as f64
    };
    place.json(&[&draw[..], &["--seed=5", "--out=other"]].concat());
    assert!(far(&plain) < far(&pixels(&place, "other/5.png")), "nearer to its own first pass than to another picture");
}

#[test]
fn a_picture_is_enlarged_part_by_part() {
    let place = Place::new();
    let draw = ["generate", "a photo of a woman", "--steps=4", "--hires=1.75:0.25"];
    place.json(&[&draw[..], &["--out=whole"]].concat());
    place.json(&[&draw[..], &["--hires-tiles", "--out=tiled"]].concat());
    let [whole, tiled] = ["whole/0.png", "tiled/0.png"].map(|name| pixels(&place, name));
    assert_eq!((whole.dimensions(), tiled.dimensions()), ((224, 224), (224, 224)));
    let record = place.json(&["inspect", "tiled/0.png"]);
    assert_eq!(record["enlarged"], serde_json::json!({ "factor": 1.75, "strength": 0.25, "tiled": true }));
    let differences = || whole.as_raw().iter().zip(tiled.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean = differences().sum::<f64>() / whole.as_raw().len() as f64;
    assert!(mean > 0.1 && mean < 25.0, "another way to the same picture: {mean}");
    // With a small picture, the only part is the picture.
    let small = [&draw[..], &["--size=64x72"]].concat();
    place.json(&[&small[..], &["--out=small"]].concat());
    place.json(&[&small[..], &["--hires-tiles", "--out=one"]].concat());
    assert!(pixels(&place, "small/0.png") == pixels(&place, "one/0.png"));
    place.fails(2, &["generate", "a cat", "--hires-tiles"], &["--hires"]);
}

#[test]
fn only_the_face_is_drawn_again() {
    let place = place();
    let draw = ["generate", "a photo of <me>", "-i=me=me.safetensors", "--steps=8", "--seed=3"];
    place.json(&[&draw[..], &["--out=plain"]].concat());
    place.json(&[&draw[..], &["--face-detail=0.5", "--out=detailed"]].concat());
    let [plain, detailed] = ["plain/3.png", "detailed/3.png"].map(|name| pixels(&place, name));
    let changed = plain.pixels().zip(detailed.pixels()).filter(|(a, b)| a != b).count();
    assert!(changed > 100, "{changed}");
    // The part that is drawn again is a circle around the face.
    let (right, bottom) = (plain.width() - 1, plain.height() - 1);
    for (x, y) in [(0, 0), (right, 0), (0, bottom), (right, bottom)] {
        assert_eq!(plain.get_pixel(x, y), detailed.get_pixel(x, y), "{x} {y}");
    }
    let record = place.json(&["inspect", "detailed/3.png"]);
    assert_eq!(record["face_detail"], serde_json::json!({ "strength": 0.5 }));
    assert_eq!(record["face_prompt"], "a photo of the face of {}");
    place.json(&[&draw[..], &["--face-detail", "--face-prompt=a sketch of the face of {}", "--out=sketch"]].concat());
    assert!(pixels(&place, "sketch/3.png") != detailed);
}

#[test]
fn what_cannot_be_drawn_again_is_named() {
    let place = Place::new();
    let refused = |option: &str, expected: &[&str]| place.fails(2, &["generate", "a cat", option], expected);
    for option in ["--hires=1", "--hires=9", "--hires=1.5:0", "--hires=x"] {
        refused(option, &["such as 1.5 or 2:0.4"]);
    }
    for option in ["--face-detail=0", "--face-detail=1.5", "--face-detail=x"] {
        refused(option, &["above 0, up to 1"]);
    }
    place.fails(1, &["generate", "a cat", "--face-detail", "--face-prompt=a face"], &["one {}"]);
    place.fails(2, &["generate", "a cat", "--face-prompt=a face of {}"], &["--face-detail"]);
    // Without an identity there is nobody's face to draw.
    place.succeeds(&["generate", "a photo of a man", "--steps=1", "--face-detail"]);
}
