//! Faces in pictures that lie on their side, are cut close, or show none, against what `facenet_pytorch.MTCNN` finds in the
//! upright photo.

use idembed_face::detect::Mtcnn;
use idembed_face::{Face, Point, Search, Turn, View, search};
use idembed_integration_tests::{photo, weights};
use idembed_weights::Compute;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rand::Rng;
use rand::SeedableRng;

/// What facenet-pytorch finds in the photo.
const BOX: [f64; 4] = [181.05, 62.16, 267.75, 172.05];
const LANDMARKS: [[f64; 2]; 5] =
    [[205.01, 101.73], [246.76, 103.71], [224.67, 128.96], [201.72, 139.25], [245.27, 141.86]];

fn detector() -> Option<Mtcnn> {
    Some(Mtcnn::load(&weights("mtcnn")?, Compute::CPU_F32).unwrap())
}

fn astronaut() -> RgbImage {
    image::open(photo()).unwrap().into_rgb8()
}

/// The largest distance of the box's edges from the expected ones, and that of the landmarks, in the photo's pixels; `face` is
/// in those of a part that begins at `corner` and is enlarged `times` times.
fn distances(face: &Face, corner: [f64; 2], times: f64) -> (f64, f64) {
    let bounds = face.bounds;
    let edges = [(bounds.left, 0), (bounds.top, 1), (bounds.right, 0), (bounds.bottom, 1)];
    let edge = edges.iter().zip(BOX).map(|((at, axis), expected)| (at / times + corner[*axis] - expected).abs());
    let point = face.landmarks.points();
    let point = point.iter().zip(LANDMARKS).map(|(point, [x, y])| {
        Point::new(point.x / times + corner[0], point.y / times + corner[1]).distance(Point::new(x, y))
    });
    (edge.fold(0.0, f64::max), point.fold(0.0, f64::max))
}

#[test]
fn a_photo_that_was_turned_is_turned_back() {
    let Some(detector) = detector() else { return };
    let back = [(Turn::Quarter, Turn::ThreeQuarters), (Turn::Half, Turn::Half), (Turn::ThreeQuarters, Turn::Quarter)];
    for (turned, expected) in back {
        let Search { picture, faces, view, .. } = search(&detector, turned.of(&astronaut())).unwrap();
        assert_eq!((view, faces.len()), (View { turned: expected, ..View::PLAIN }, 1), "{turned}");
        assert!(picture == astronaut(), "the photo stays turned back");
        let (edge, point) = distances(&faces[0], [0.0, 0.0], 1.0);
        assert!(edge < 1.0 && point < 1.0, "{turned}: {faces:?}");
    }
}

#[test]
fn a_large_photo_that_was_turned_is_read_in_full() {
    let Some(detector) = detector() else { return };
    let large = imageops::resize(&astronaut(), 1536, 1536, FilterType::CatmullRom);
    let found = search(&detector, Turn::Half.of(&large)).unwrap();
    assert_eq!((found.view, found.faces.len()), (View { turned: Turn::Half, ..View::PLAIN }, 1));
    let (edge, point) = distances(&found.faces[0], [0.0, 0.0], 3.0);
    assert!(edge < 3.0 && point < 2.0, "{:?}", found.faces);
}

#[test]
fn a_face_from_chin_to_brow_is_found_with_a_margin() {
    let Some(detector) = detector() else { return };
    let crops =
        [[183, 95, 266, 170], [190, 98, 260, 168], [195, 100, 255, 165], [185, 90, 265, 172], [192, 96, 256, 176]];
    for [left, top, right, bottom] in crops {
        for times in [1, 2, 4, 9] {
            let crop = imageops::crop_imm(&astronaut(), left, top, right - left, bottom - top).to_image();
            let (width, height) = (times * crop.width(), times * crop.height());
            let crop = imageops::resize(&crop, width, height, FilterType::CatmullRom);
            let found = search(&detector, crop.clone()).unwrap();
            assert!(found.view.padded && found.view.turned == Turn::None, "{:?}", found.attempts);
            assert!(found.picture == crop && found.faces.len() == 1);
            let (edge, point) = distances(&found.faces[0], [f64::from(left), f64::from(top)], f64::from(times));
            // Brow and chin may lie outside of the picture, so the box is a guess to a tenth of its height.
            assert!(edge < 12.0 && point < 5.0, "{left} x {times}: {edge} {point} {:?}", found.faces);
        }
    }
}

#[test]
fn pictures_without_a_face_show_none_in_any_view() {
    let Some(detector) = detector() else { return };
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let mut noise = |side: u32| RgbImage::from_fn(side, side, |_, _| Rgb(random.random()));
    let mut pictures: Vec<RgbImage> = (0..4).map(|_| noise(256)).collect();
    for side in [4, 8, 16, 32, 64] {
        pictures.push(imageops::resize(&noise(side), 320, 320, FilterType::CatmullRom));
    }
    pictures.push(RgbImage::from_fn(300, 200, |x, y| Rgb([(x * 7 + y * 13) as u8, (x * y) as u8, (x ^ y) as u8])));
    // Flag, suit, shuttle, wall.
    for [x, y, width, height] in [[0, 180, 512, 332], [0, 0, 160, 512], [290, 0, 222, 512], [256, 250, 256, 262]] {
        pictures.push(imageops::crop_imm(&astronaut(), x, y, width, height).to_image());
    }
    for (number, picture) in pictures.into_iter().enumerate() {
        let found = search(&detector, picture).unwrap();
        assert_eq!(found.faces, [], "picture {number}, {}", found.view);
    }
}
