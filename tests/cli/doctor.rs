//! `idembed doctor`.

use crate::program::{Place, Said};

#[test]
fn everything_is_told() {
    let place = Place::new();
    let value = place.json(&["doctor"]);
    assert_eq!(value["ok"], true);
    assert_eq!(value["libtorch"]["dtypes"][0]["dtype"], "f32");
    assert_eq!(value["libtorch"]["dtypes"][0]["works"], true);
    let mini = value["models"].as_array().unwrap().iter().find(|model| model["name"] == "mini").unwrap();
    assert_eq!((&mini["usable"], &mini["side"]), (&true.into(), &128.into()));
    let networks = value["networks"].as_array().unwrap();
    for name in ["mtcnn", "bisenet", "dlib-face", "adaface-ir101", "arcface-ir101", "facenet-vggface2"] {
        assert!(networks.iter().any(|network| network["name"] == name), "{name} is not told");
    }
    let shown = place.succeeds(&["doctor"]);
    assert!(shown.contains("libtorch") && shown.contains("model mini") && shown.contains("cpu f32"), "{shown}");
}

#[test]
fn a_models_variable_that_names_nothing_does_no_harm() {
    let place = Place::new();
    let mut command = place.command(&["doctor"]);
    let said = Said::from(command.env("IDEMBED_MODELS", place.path("nowhere")).output().unwrap());
    assert_eq!(said.status, Some(0), "{}", said.stderr);
}
