//! A disk without room.

use serde_json::json;

use crate::place::{Place, known, model, noise};
use crate::server::{Reply, Server};

/// More than any disk has.
const EXBIBYTE: u64 = 1 << 60;

#[test]
fn too_little_room_is_told_before_anything_is_fetched() {
    let server = Server::start(|_, _| Reply::whole(b"").without_length().with("Content-Length", &EXBIBYTE.to_string()));
    let mut listed = known(b"");
    listed["size"] = json!(EXBIBYTE);
    // Once the manifest knows the size, and once only the server does.
    for (file, requests) in [(listed, 0), (json!({}), 1)] {
        let place = Place::with(model(json!({ "w": file }))).hub(server.at("127.0.0.1"));
        place.fetch().is_error(&["needs 1.00 EiB free in", "hint: free some space"]);
        assert!(!place.path("models/model/w").exists());
        assert_eq!(server.seen().len(), requests);
    }
}

#[test]
fn a_write_that_breaks_off_is_explained_and_what_came_is_kept() {
    let server = Server::start(|_, _| Reply::whole(&noise(1 << 20)).without_length());
    let file = json!({ "sha256": known(&noise(1 << 20))["sha256"] });
    let place = Place::with(model(json!({ "w": file }))).hub(server.at("127.0.0.1")).limit(256);
    place.fetch().is_error(&["takes no file as large", "cannot write `", "File too large", "hint: move the folder"]);
    assert!(!place.path("models/model/w").exists());
    assert_eq!(place.read("w.part"), noise(1 << 20)[..256 << 10]);
}
