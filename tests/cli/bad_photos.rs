//! Photos that cannot be learned from.

use image::{Rgb, RgbImage};

use crate::program::{Place, portrait, text};

fn refused(place: &Place, photo: &str, expected: &[&str]) {
    place.fails(1, &["learn", photo, "--name", "me", "--steps", "1"], expected);
}

#[test]
fn files_that_are_no_photo() {
    let place = Place::new();
    std::fs::write(place.path("text.png"), b"this is only a text").unwrap();
    std::fs::write(place.path("empty.jpg"), b"").unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    let whole = std::fs::read(portrait()).unwrap();
    std::fs::write(place.path("half.png"), &whole[..whole.len() / 2]).unwrap();
    refused(&place, "text.png", &["`text.png` is not a picture", "hint: save the photo as JPEG or PNG"]);
    refused(&place, "empty.jpg", &["`empty.jpg` is empty"]);
    refused(&place, "folder", &["the folder `folder` holds no picture"]);
    refused(&place, "half.png", &["`half.png`"]);
    refused(&place, "missing.png", &["cannot read the photo `missing.png`", "check the path"]);
}

#[test]
fn photos_of_impossible_sizes() {
    let place = Place::new();
    RgbImage::from_pixel(1, 1, Rgb([9, 9, 9])).save(place.path("dot.png")).unwrap();
    RgbImage::from_pixel(20_000, 40, Rgb([9, 9, 9])).save(place.path("wide.png")).unwrap();
    refused(&place, "dot.png", &["1 x 1 pixels", "at least 32"]);
    refused(&place, "wide.png", &["20000 x 40 pixels", "at most 16384"]);
}

#[test]
fn masks_that_do_not_fit() {
    let place = Place::new();
    RgbImage::from_pixel(64, 64, Rgb([255; 3])).save(place.path("small.png")).unwrap();
    RgbImage::from_pixel(128, 128, Rgb([0; 3])).save(place.path("black.png")).unwrap();
    std::fs::write(place.path("text.png"), b"text").unwrap();
    let learn = |mask: &'static str| {
        ["learn", "--no-face", text(&portrait()), "--name=me", "--steps=1", "--mask", mask].map(str::to_owned)
    };
    place.fails(1, &learn("small.png"), &["64 x 64 pixels, expected 128 x 128"]);
    place.fails(1, &learn("black.png"), &["black everywhere"]);
    place.fails(1, &learn("text.png"), &["cannot use `text.png` as a mask", "is not a picture"]);
    place.fails(1, &["attention", "a man", "--steps=1", "--mask=small.png"], &["64 x 64 pixels, expected 128 x 128"]);
}

#[test]
fn odd_photos_are_learned_from() {
    let place = Place::new();
    // Grey, tall, and smaller than the model's pictures.
    image::GrayImage::from_fn(60, 90, |x, y| image::Luma([(x * 3 + y) as u8])).save(place.path("grey.jpg")).unwrap();
    let said = place.run(&["learn", "--no-face", "grey.jpg", "--name", "me", "--steps", "1"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("grey") && said.stderr.contains("60 x 60 pixels and is enlarged"), "{}", said.stderr);
}
