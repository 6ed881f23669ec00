//! Photos of two people, found, aligned and compared by us and by dlib.

use std::path::Path;
use std::process::Command;

use idembed_face::detect::Mtcnn;
use idembed_face::recognise::{self, distance};
use idembed_face::select::choose;
use idembed_face::{Photo, Search, search};
use idembed_integration_tests::{Parity, python, reference_faces, weights};
use idembed_weights::Compute;
use image::RgbImage;
use ndarray::aview1;

/// The photos, each with the person that it shows.
const PHOTOS: [(&str, &str); 6] = [
    ("obama.jpg", "Obama"),
    ("obama2.jpg", "Obama"),
    ("obama3.jpg", "Obama"),
    ("obama_partial_face.jpg", "Obama"),
    ("obama_partial_face2.jpg", "Obama"),
    ("biden.jpg", "Biden"),
];
/// How far a distance may be from dlib's. Another detector draws another box, which moves the landmarks by a pixel or so;
/// as much as another decoder of JPEG does, so both see the pixels that ours gives.
const LIMIT: f64 = 0.03;

#[test]
fn distances_of_photos_are_those_of_dlib() {
    let (Some(python), Some(faces)) = (python(), reference_faces()) else { return };
    let (Some(detector), Some(network)) = (weights("mtcnn"), weights("dlib-face")) else { return };
    let photos = PHOTOS.map(|(name, _)| Photo::open(&faces.join("photos").join(name)).unwrap().pixels);
    let theirs = encoded(&python, &faces.join("weights"), &photos);
    let detector = Mtcnn::load(&detector, Compute::CPU_F32).unwrap();
    let network = recognise::load(&network.join("model.safetensors"), Compute::CPU_F32).unwrap();
    let ours = photos.map(|photo| {
        let Search { picture, faces, .. } = search(&detector, photo).unwrap();
        let choice = choose(&faces, picture.width(), picture.height(), None).unwrap();
        let crop = network.crop(&picture, &faces[choice.index]);
        network.embed(&[crop]).unwrap().row(0).to_owned()
    });

    let threshold = network.distance_scale().unwrap().same_below;
    let mut parity = Parity::new();
    for (one, (name, person)) in PHOTOS.iter().enumerate() {
        for (other, (other_name, other_person)) in PHOTOS.iter().enumerate().skip(one + 1) {
            let expected = distance(aview1(&theirs[one]), aview1(&theirs[other]));
            let found = distance(ours[one].view(), ours[other].view());
            println!("{name} {other_name}: ours {found:.3}, dlib's {expected:.3}");
            assert_eq!(f64::from(found) < threshold, person == other_person, "{name} and {other_name}: {found}");
            let off = f64::from((found - expected).abs());
            parity.check_metric(&format!("reference/{name}-{other_name}"), "distance_off", off, LIMIT);
        }
    }
    parity.finish();
}

/// What dlib makes of the photos.
fn encoded(python: &Path, weights: &Path, photos: &[RgbImage]) -> Vec<Vec<f32>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/encode_faces.py");
    let folder = tempfile::tempdir().unwrap();
    let saved = photos.iter().enumerate().map(|(index, photo)| {
        let path = folder.path().join(format!("{index}.png"));
        photo.save(&path).unwrap();
        path
    });
    let output = Command::new(python).arg(script).arg(weights).args(saved).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let encodings: Vec<Vec<f32>> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(encodings.len() == photos.len() && encodings.iter().all(|one| one.len() == 128));
    encodings
}
