//! `idembed generate --from PICTURE`, with `--strength` and `--inpaint MASK`.

use idembed_integration_tests::fixture_dir;
use image::{GrayImage, Luma, RgbImage};

use crate::program::{Place, portrait, portrait_mask, text, with_me};

fn pixels(place: &Place, name: &str) -> RgbImage {
    image::open(place.path(name)).unwrap().into_rgb8()
}

/// The mean difference in grey levels, where the mask is white and elsewhere.
fn differences(a: &RgbImage, b: &RgbImage, mask: &GrayImage) -> (f64, f64) {
    let mut sums = [(0.0, 0.0); 2];
    for ((a, b), white) in a.pixels().zip(b.pixels()).zip(mask.pixels().map(|pixel| pixel[0] >= 128)) {
        let (sum, count) = &mut sums[usize::from(white)];
        *sum += (0..3).map(|channel| f64::from(a[channel].abs_diff(b[channel]))).sum::<f64>() / 3.0;
        *count += 1.0;
    }
    let [black, white] = sums.map(|(sum, count)| sum / count);
    (white, black)
}

#[test]
fn the_strength_says_how_much_of_the_picture_is_left() {
    let place = Place::new();
    let (portrait, source) = (portrait(), image::open(portrait()).unwrap().into_rgb8());
    let everywhere = GrayImage::from_pixel(source.width(), source.height(), Luma([255]));
    let mut before = 0.0;
    for strength in ["0.2", "0.5", "0.9"] {
        let (from, strength, out) =
            (format!("--from={}", text(&portrait)), format!("--strength={strength}"), format!("--out={strength}"));
        place.succeeds(&["generate", "a sketch of <me>", &with_me(), "--steps=10", &from, &strength, &out]);
        let drawn = pixels(&place, &format!("{}/0.png", out.trim_start_matches("--out=")));
        let (difference, _) = differences(&drawn, &source, &everywhere);
        assert!(difference > before, "{strength}: {difference} after {before}");
        before = difference;
    }
}

#[test]
fn what_is_black_in_the_mask_stays() {
    let place = Place::new();
    let (portrait, mask) = (portrait(), portrait_mask());
    let (from, inpaint) = (format!("--from={}", text(&portrait)), format!("--inpaint={}", text(&mask)));
    let draw =
        [&["generate", "a photo of a woman", "--steps=6"], [from.as_str(), inpaint.as_str()].as_slice()].concat();
    let value = place.json(&draw);
    assert_eq!(value["from"]["strength"], 1.0);
    let source = image::open(&portrait).unwrap().into_rgb8();
    let (white, black) = differences(&pixels(&place, "out/0.png"), &source, &image::open(&mask).unwrap().into_luma8());
    assert!(black < 0.5 * white, "{black} where it stays, {white} elsewhere");

    // The record says what was drawn from by its content, and a drawing from another picture is another one.
    let printed = place.json(&["inspect", "out/0.png"]).to_string();
    let hashes =
        [&value["from"]["sha256"], &value["from"]["mask_sha256"]].map(|hash| hash.as_str().unwrap().to_owned());
    assert!(hashes.iter().all(|hash| hash.len() == 64 && printed.contains(hash.as_str())), "{printed}");
    assert!(!printed.contains("person3"), "{printed}");
    assert_eq!(place.succeeds(&draw), "out/0.png\n");
    assert_eq!(
        place.succeeds(&["generate", "a photo of a woman", "--steps=6", &from, "--strength=1"]),
        "out/0-2.png\n"
    );
}

#[test]
fn a_picture_of_any_size_is_cut_to_what_is_drawn() {
    let place = Place::new();
    let gradient = RgbImage::from_fn(75, 133, |x, y| image::Rgb([x as u8 * 3, y as u8, 90]));
    gradient.save(place.path("odd.png")).unwrap();
    GrayImage::from_fn(40, 33, |x, _| Luma([if x < 20 { 0 } else { 255 }])).save(place.path("mask.png")).unwrap();
    let draw = |flags: &[&str]| {
        place.succeeds(&[&["generate", "a man", "--steps=2", "--overwrite", "--from=odd.png"], flags].concat());
        pixels(&place, "out/0.png").dimensions()
    };
    assert_eq!(draw(&[]), (72, 136));
    assert_eq!(draw(&["--inpaint=mask.png"]), (72, 136));
    assert_eq!(draw(&["--inpaint=mask.png", "--size=96x40"]), (96, 40));
}

#[test]
fn an_inpainting_model_draws_with_a_mask_only() {
    let place = Place::new();
    let model = format!("--model={}", text(&fixture_dir("from_picture").join("inpaint")));
    let (portrait, mask) = (portrait(), portrait_mask());
    let from = format!("--from={}", text(&portrait));
    let plain = ["generate", "a man", "--steps=2", "--size=64x64", &model];
    let expected = ["`inpaint` is made for inpainting", "hint: draw with --from PICTURE --inpaint MASK"];
    place.fails(1, &plain, &expected);
    place.fails(1, &[&plain[..], &[from.as_str()]].concat(), &expected);
    place.fails(1, &["learn", text(&portrait), "--no-face", "--name=me", "--steps=1", &model], &expected);
    let inpaint = format!("--inpaint={}", text(&mask));
    place.succeeds(&[&plain[..], &[from.as_str(), inpaint.as_str()]].concat());
    assert_eq!(pixels(&place, "out/0.png").dimensions(), (64, 64));
}

#[test]
fn bad_input_is_named() {
    let place = Place::new();
    let save = |name: &str, grey: u8| GrayImage::from_pixel(64, 64, Luma([grey])).save(place.path(name)).unwrap();
    save("black.png", 0);
    save("white.png", 255);
    std::fs::write(place.path("text.png"), "not a picture").unwrap();
    let mut speck = GrayImage::new(64, 64);
    speck.put_pixel(3, 3, Luma([255]));
    speck.save(place.path("speck.png")).unwrap();
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::copy(place.path("white.png"), place.path("out/0.png")).unwrap();

    let fails = |status: i32, flags: &[&str], expected: &[&str]| {
        place.fails(status, &[&["generate", "a man", "--steps=4"], flags].concat(), expected);
    };
    fails(2, &["--strength=0.5"], &["--from"]);
    fails(2, &["--inpaint=white.png"], &["--from"]);
    for strength in ["1.5", "-0.5", "nan", "x"] {
        fails(2, &["--from=white.png", &format!("--strength={strength}")], &["--strength", "from 0 to 1"]);
    }
    for strength in ["0", "0.24"] {
        let flag = format!("--strength={strength}");
        fails(1, &["--from=white.png", &flag], &[&format!("a strength of {strength} leaves none of 4 steps"), "0.25"]);
    }
    fails(1, &["--from=missing.png"], &["cannot draw from `missing.png`"]);
    fails(1, &["--from=text.png"], &["cannot draw from `text.png`"]);
    fails(1, &["--from=white.png", "--inpaint=missing.png"], &["`missing.png` as a mask"]);
    fails(1, &["--from=white.png", "--inpaint=text.png"], &["`text.png` as a mask"]);
    fails(1, &["--from=white.png", "--inpaint=black.png"], &["black everywhere", "hint: paint white"]);
    fails(1, &["--from=white.png", "--inpaint=white.png"], &["white everywhere", "leave --inpaint out"]);
    fails(1, &["--from=white.png", "--inpaint=speck.png"], &["no white part", "8 x 8"]);
    fails(1, &["--from=out/0.png", "--overwrite"], &["out/0.png"]);
}
