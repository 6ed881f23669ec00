//! Identity files that cannot be used.

use idembed_integration_tests::tensor_file::TensorFile;
use serde_json::json;

use crate::program::{Place, identity, text};

/// Writes a changed copy of a good identity file.
fn changed(place: &Place, name: &str, change: impl FnOnce(&mut TensorFile)) {
    let mut file = TensorFile::read(identity());
    change(&mut file);
    file.write(&place.path(name));
}

fn refused(place: &Place, file: &str, expected: &[&str]) {
    place.fails(1, &["generate", "a photo of <me>", "--steps=1", "-i", &format!("me={file}")], expected);
    place.fails(1, &["export", file, "--to=embedding", "--out=embedding.safetensors"], expected);
}

#[test]
fn damaged_identity_files() {
    let place = Place::new();
    let metadata = |key: &'static str, value: &'static str| {
        move |file: &mut TensorFile| file.header["__metadata__"][key] = json!(value)
    };
    changed(&place, "later", metadata("format", "idembed-identity/4"));
    refused(&place, "later", &["its format is `idembed-identity/4`, expected `idembed-identity/3`", "later version"]);
    changed(&place, "stages", metadata("stages", "7"));
    refused(&place, "stages", &["shape [5, 128], expected [7, 128]"]);
    changed(&place, "no-number", metadata("hidden", "many"));
    refused(&place, "no-number", &["hidden = `many`"]);
    changed(&place, "misshapen", |file| file.header["k.0"]["shape"] = json!([128, 5]));
    refused(&place, "misshapen", &["tensor `k.0` has shape [128, 5], expected [5, 128]"]);
    changed(&place, "other-name", |file| file.rename("v.0", "w"));
    refused(&place, "other-name", &["tensor `v.0` is missing"]);
    changed(&place, "nan", |file| file.data[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    refused(&place, "nan", &["NaN or infinity"]);
    changed(&place, "no-format", |file| {
        file.header["__metadata__"].as_object_mut().unwrap().remove("format");
    });
    refused(&place, "no-format", &["the metadata lack `format`"]);

    let whole = std::fs::read(identity()).unwrap();
    std::fs::write(place.path("half"), &whole[..whole.len() / 2]).unwrap();
    refused(&place, "half", &["damaged or is not safetensors"]);
    std::fs::write(place.path("text"), b"some text").unwrap();
    refused(&place, "text", &["damaged or is not safetensors"]);
    std::fs::create_dir(place.path("folder")).unwrap();
    refused(&place, "folder", &["cannot read `folder`"]);
    refused(&place, "missing", &["cannot read `missing`"]);
}

#[test]
fn identities_for_another_model() {
    let place = Place::new();
    let other = "0123456789abcdef".repeat(4);
    changed(&place, "other", |file| file.header["__metadata__"]["text_encoder_sha256"] = json!(other));
    let draw = ["generate", "a photo of <me>", "--steps=1", "-i", "me=other"];
    let error = place.fails(1, &draw, &["was learned for the text encoder", &other, "--force"]);
    let own = TensorFile::read(identity()).header["__metadata__"]["text_encoder_sha256"].clone();
    assert!(error.contains(own.as_str().unwrap()), "both fingerprints are named: {error}");
    place.succeeds(&[&draw[..], &["--force"]].concat());

    // Half as wide: no force helps.
    changed(&place, "narrow", |file| {
        file.header["__metadata__"]["hidden"] = json!("64");
        for name in ["k.0", "v.0"] {
            file.header[name]["shape"] = json!([10, 64]);
        }
        file.header["__metadata__"]["stages"] = json!("10");
    });
    let narrow = ["generate", "a photo of <me>", "--steps=1", "--force", "-i", "me=narrow"];
    place.fails(1, &narrow, &["vectors of 64 numbers, this model needs 128"]);
}

#[test]
fn an_identity_serves_under_any_name() {
    let place = Place::new();
    let given = format!("someone={}", text(identity()));
    place.succeeds(&["generate", "<someone>, <someone> in a forest", "--steps=1", "-i", &given]);
}
