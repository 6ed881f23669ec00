//! `idembed face`, and what `learn` makes of a found face.

use std::path::PathBuf;

use image::{Rgb, RgbImage, imageops};

use crate::program::{Place, text};

/// A real photo with one frontal face.
fn photo() -> PathBuf {
    idembed_integration_tests::photo()
}

fn detector_is_there() -> bool {
    idembed_integration_tests::weights("mtcnn").is_some()
}

#[test]
fn a_face_is_told_with_its_pictures() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let value = place.json(&["face", text(&photo()), "--out=faces"]);
    let faces = value["faces"].as_array().unwrap();
    assert_eq!((faces.len(), &value["chosen"], &value["reason"]), (1, &1.into(), &"the only face".into()));
    assert_eq!(value["concerns"].as_array().map(Vec::len), Some(0), "{value}");
    let edges: Vec<f64> = faces[0]["box"].as_array().unwrap().iter().map(|edge| edge.as_f64().unwrap()).collect();
    // What facenet-pytorch finds in this photo.
    for (edge, expected) in edges.iter().zip([181.05, 62.16, 267.75, 172.05]) {
        assert!((edge - expected).abs() < 1.0, "{edges:?}");
    }
    assert!(faces[0]["score"].as_f64().is_some_and(|score| score > 0.99));
    assert_eq!(faces[0]["landmarks"].as_array().map(Vec::len), Some(5));
    for (name, size) in
        [("overlay", (512, 512)), ("mask", (512, 512)), ("portrait", (512, 512)), ("aligned", (112, 112))]
    {
        let picture = image::open(place.path(value[name].as_str().unwrap())).unwrap();
        assert_eq!((picture.width(), picture.height()), size, "{name}");
    }
    let mask = image::open(place.path(value["mask"].as_str().unwrap())).unwrap().into_luma8();
    assert_eq!((mask[(224, 120)][0], mask[(20, 20)][0], mask[(224, 400)][0]), (255, 0, 0));
}

#[test]
fn of_several_faces_one_is_taken_and_another_can_be() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let whole = image::open(photo()).unwrap().into_rgb8();
    let small = imageops::resize(&whole, 256, 256, imageops::FilterType::Triangle);
    let mut two = RgbImage::from_pixel(768, 512, Rgb([128; 3]));
    imageops::overlay(&mut two, &whole, 0, 0);
    imageops::overlay(&mut two, &small, 512, 100);
    two.save(place.path("two.png")).unwrap();
    let larger = place.json(&["face", "two.png"]);
    assert_eq!(larger["faces"].as_array().map(Vec::len), Some(2));
    let bounds = |value: &serde_json::Value| {
        value["faces"][value["chosen"].as_u64().unwrap() as usize - 1]["box"][0].as_f64().unwrap()
    };
    assert!(bounds(&larger) < 512.0, "{larger}");
    let other = (3 - larger["chosen"].as_u64().unwrap()).to_string();
    let smaller = place.json(&["face", "two.png", "--face", &other]);
    assert!(bounds(&smaller) > 512.0, "{smaller}");
    place.fails(1, &["face", "two.png", "--face=3", "--out=x"], &["3", "2 faces", "hint: "]);
}

#[test]
fn no_face_says_what_was_tried_and_what_helps() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    RgbImage::from_fn(200, 150, |x, y| Rgb([(x * 7 + y * 13) as u8; 3])).save(place.path("texture.png")).unwrap();
    let expected = [
        "`texture.png`",
        "no face was found in the photo",
        "as it is (200 x 150 pixels)",
        "enlarged 2 times",
        "--no-face",
    ];
    place.fails(1, &["face", "texture.png", "--out=x"], &expected);
    place.fails(1, &["learn", "texture.png", "--name=me", "--steps=1"], &expected);
    place.succeeds(&["learn", "texture.png", "--name=me", "--steps=1", "--no-face"]);
    RgbImage::new(1500, 32).save(place.path("black.png")).unwrap();
    place.fails(1, &["face", "black.png", "--out=x"], &["`black.png`", "no face was found"]);
    RgbImage::new(1, 5000).save(place.path("line.png")).unwrap();
    place.fails(1, &["face", "line.png", "--out=x"], &["1 x 5000 pixels", "at least 32"]);
}

/// What facenet-pytorch finds in the part of the photo that the forms show, before it is coded.
const UPRIGHT: [f64; 4] = [87.10, 62.52, 171.45, 175.34];

#[test]
fn a_face_that_fills_its_photo_is_found_and_learned_as_it_is() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let whole = image::open(photo()).unwrap().into_rgb8();
    imageops::crop_imm(&whole, 190, 98, 70, 70).to_image().save(place.path("tight.png")).unwrap();
    let learn = ["learn", "tight.png", "--name=me", "--steps=1", "--batch=1"];
    place.fails(1, &learn, &["larger than the photo", "hint: --no-face learns the photo as it is"]);
    place.succeeds(&[&learn[..], &["--no-face"]].concat());
}

/// Intersection over union of two boxes `[left, top, right, bottom]`.
fn overlap(a: &[f64], b: &[f64]) -> f64 {
    let area = |edges: [f64; 4]| (edges[2] - edges[0]).max(0.0) * (edges[3] - edges[1]).max(0.0);
    let own = |edges: &[f64]| area([edges[0], edges[1], edges[2], edges[3]]);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    shared / (own(a) + own(b) - shared)
}

#[test]
fn a_folder_of_all_forms_that_phones_and_labs_give() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let forms = idembed_integration_tests::fixture_dir("photos").join("forms");
    let mut photos: Vec<PathBuf> = std::fs::read_dir(forms).unwrap().map(|entry| entry.unwrap().path()).collect();
    let whole = image::open(photo()).unwrap().into_rgb8();
    let part = imageops::crop_imm(&whole, 96, 0, 256, 256).to_image();
    let made = [
        ("face.bmp", part.clone()),
        ("deflated.tiff", part.clone()),
        ("turned-90.png", imageops::rotate90(&part)),
        ("turned-180.jpg", imageops::rotate180(&part)),
        ("turned-270.webp", imageops::rotate270(&part)),
        ("chin-to-brow.png", imageops::crop_imm(&whole, 190, 98, 70, 70).to_image()),
    ];
    for (name, picture) in made {
        picture.save(place.path(name)).unwrap();
        photos.push(place.path(name));
    }
    let names: Vec<&str> = photos.iter().map(|photo| text(photo)).collect();
    let said = place.run(&[&["face", "--json", "--out=faces"], &names[..]].concat());
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    for expected in
        ["1 of 11 photos", "is of the format AVIF", "magick photo.avif photo.png", "turned by 270 degrees", "CMYK"]
    {
        assert!(said.stderr.contains(expected), "{expected}: {}", said.stderr);
    }
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    for found in report["photos"].as_array().unwrap() {
        let name = found["photo"].as_str().unwrap().rsplit('/').next().unwrap();
        if name == "face.avif" {
            assert!(found["error"].as_str().unwrap().contains("AVIF"), "{found}");
            continue;
        }
        let (turned, expected) = match name {
            "turned-90.png" => (270, UPRIGHT),
            "turned-180.jpg" => (180, UPRIGHT),
            "turned-270.webp" => (90, UPRIGHT),
            // What cannot be seen of the face is guessed.
            "chin-to-brow.png" => (0, [-8.1, -32.7, 76.0, 75.6]),
            _ => (0, UPRIGHT),
        };
        assert_eq!((&found["turned"], found["faces"].as_array().map(Vec::len)), (&turned.into(), Some(1)), "{found}");
        let edges: Vec<f64> =
            found["faces"][0]["box"].as_array().unwrap().iter().map(|edge| edge.as_f64().unwrap()).collect();
        let overlap = overlap(&edges, &expected);
        // The coding of a file moves the edges of a box by a few pixels.
        assert!(overlap > 0.9, "{name}: {edges:?} overlaps by {overlap:.3}");
        // The overlay shows the photo upright, where no mask colours it.
        let overlay = image::open(place.path(found["overlay"].as_str().unwrap())).unwrap().into_rgb8();
        if name == "chin-to-brow.png" {
            assert_eq!(overlay.dimensions(), (70, 70));
            continue;
        }
        let (shown, corner) = (overlay[(4, 4)], part[(4, 4)]);
        let near = shown.0.iter().zip(corner.0).all(|(shown, is)| shown.abs_diff(is) < 40);
        assert!(near, "{name}: {shown:?} for {corner:?}");
    }
}

#[test]
fn a_turned_photo_is_learned_from_upright() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let whole = image::open(photo()).unwrap().into_rgb8();
    imageops::rotate90(&whole).save(place.path("turned.png")).unwrap();
    let upright = place.json(&["learn", text(&photo()), "--name=a", "--steps=1", "--batch=1"]);
    let turned = place.json(&["learn", "turned.png", "--name=b", "--steps=1", "--batch=1"]);
    assert_eq!((&upright["face"]["turned"], &turned["face"]["turned"]), (&0.into(), &270.into()));
    assert_eq!((&upright["face"]["box"], &upright["noise_loss"]), (&turned["face"]["box"], &turned["noise_loss"]));

    // What is opaque is turned with it.
    let mut half = image::DynamicImage::ImageRgb8(whole).into_rgba8();
    half.enumerate_pixels_mut().filter(|(x, ..)| *x >= 224).for_each(|(.., pixel)| pixel[3] = 0);
    half.save(place.path("half.png")).unwrap();
    imageops::rotate90(&half).save(place.path("half-turned.png")).unwrap();
    let [upright, turned] = ["half.png", "half-turned.png"]
        .map(|photo| place.json(&["learn", photo, "--name=c", "--steps=1", "--batch=1", "--masked-noise", "--force"]));
    assert_eq!((&turned["face"]["turned"], &upright["noise_loss"]), (&270.into(), &turned["noise_loss"]));
    assert!(upright["leakage"].as_f64().is_some() && upright["leakage"] == turned["leakage"], "{turned}");
}

#[test]
fn one_bad_photo_does_not_keep_the_others_from_their_result() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    std::fs::write(place.path("text.png"), b"this is only a text").unwrap();
    let said = place.run(&["face", text(&photo()), "text.png", "--json"]);
    assert_eq!(said.status, Some(1));
    assert!(said.stderr.contains("1 of 2 photos"), "{}", said.stderr);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(value["photos"][0]["faces"].as_array().map(Vec::len), Some(1));
    assert!(value["photos"][1]["error"].as_str().unwrap().contains("is not a picture"));
}

#[test]
fn learning_takes_the_face_and_measures_leakage_against_its_mask() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    let photo = photo();
    let learn = ["learn", text(&photo), "--name=me", "--method=sefi", "--steps=2", "--batch=1", "--force"];
    let value = place.json(&learn);
    assert!(value["leakage"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{value}");
    assert_eq!(value["face"]["landmarks"].as_array().map(Vec::len), Some(5), "{value}");
    let with_mask = |flags: &[&str]| {
        place.succeeds(&[&learn, flags].concat());
        std::fs::read(place.path("me.identity.safetensors")).unwrap()
    };
    let found = with_mask(&[]);
    assert_ne!(found, with_mask(&["--no-face"]), "another part of the photo is learned");
    assert_ne!(found, with_mask(&["--masked-noise"]), "the noise loss counts only inside the mask");
    assert_ne!(found, with_mask(&["--attention-target=mask"]), "the attention is pulled into the mask");
    place.fails(1, &[&learn[..], &["--mask=ellipse", "--no-face"]].concat(), &["no face is looked for"]);
    place.fails(1, &[&learn[..], &["--mask=parsing"]].concat(), &["(bisenet)", "cargo xtask download bisenet"]);
}

#[test]
fn parsing_masks_the_parts_that_are_asked_for() {
    if !detector_is_there() {
        return;
    }
    let place = Place::new();
    // A parser with random weights: all parts together cover the whole picture, unlike the ellipse.
    std::fs::create_dir_all(place.path("networks/bisenet")).unwrap();
    let weights = idembed_integration_tests::fixture_dir("parsing").join("bisenet.safetensors");
    std::fs::copy(weights, place.path("networks/bisenet/model.safetensors")).unwrap();
    let photo = photo();
    let learned = |flags: &[&str]| {
        let args = ["learn", text(&photo), "--name=me", "--steps=1", "--batch=1", "--masked-noise", "--force"];
        let mut command = place.command(&[&args[..], flags].concat());
        let output = command.env("IDEMBED_MODELS", place.path("networks")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(place.path("me.identity.safetensors")).unwrap()
    };
    let everything = "background,skin,brows,eyes,glasses,ears,earring,nose,mouth,lips,neck,necklace,clothes,hair,hat";
    assert_ne!(learned(&[]), learned(&["--mask=parsing", "--mask-parts", everything]));
    let unknown = ["learn", text(&photo), "--name=me", "--mask=parsing", "--mask-parts=skin,chin"];
    place.fails(2, &unknown, &["chin", "brows"]);
}
