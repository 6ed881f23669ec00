//! Pickled weights: only the known file, never unpickled, kept as safetensors.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use xtask::fingerprint::Fingerprint;
use xtask::pickle::to_safetensors;

use crate::place::{Place, known, model};
use crate::server::{Reply, Server};

fn pickle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert").join(name)
}

/// A model of one pickled file of a release.
fn release(bytes: &[u8]) -> Value {
    let mut file = known(bytes);
    file["from"] = json!("weights.pth");
    let mut release = model(json!({ "model.safetensors": file }));
    release["source"] = json!({ "github_release": { "repository": "owner/model", "tag": "v1" } });
    release
}

#[test]
fn a_known_pickle_is_converted_once() {
    let bytes = std::fs::read(pickle("legacy.pt")).unwrap();
    let body = bytes.clone();
    let server = Server::start(move |request, _| Reply::file(request, &body, "\"1\""));
    let place = Place::with(release(&bytes)).github(server.at("127.0.0.1"));
    place.fetch().is_done();
    assert_eq!(place.files(), ["download.json", "model.safetensors"]);
    let converted = to_safetensors(&pickle("legacy.pt")).unwrap();
    assert!(place.read("model.safetensors") == converted);
    let record: Value = serde_json::from_slice(&place.read("download.json")).unwrap();
    let noted = &record["files"]["model.safetensors"];
    assert_eq!(noted["sha256"], json!(Fingerprint::of_bytes(&bytes).sha256));
    assert_eq!(noted["converted"], known(&converted));
    place.fetch().is_done();
    assert_eq!(server.seen().len(), 1);
    // What the conversion made is recognised as that, and nothing else is.
    std::fs::write(place.path("models/model/model.safetensors"), &bytes).unwrap();
    place.fetch().is_error(&["is there, but is not a file that this command fetched"]);
}

#[test]
fn an_unknown_pickle_is_refused_before_it_is_read() {
    let body = std::fs::read(pickle("hostile.pt")).unwrap();
    let listed = std::fs::read(pickle("zip.pt")).unwrap();
    let server = Server::start(move |_, _| Reply::whole(&body).without_length());
    let place = Place::with(release(&listed)).github(server.at("127.0.0.1"));
    place.fetch().is_error(&["this is not the file that the manifest means"]);
    assert_eq!(place.files(), [""; 0]);
    // Without a sum there is nothing to know it by.
    let mut unknown = release(&listed);
    unknown["files"]["model.safetensors"].as_object_mut().unwrap().remove("sha256");
    let place = Place::with(unknown).github(server.at("127.0.0.1"));
    place.fetch().is_error(&["is a pickle without a known sum"]);
}
