//! A disk without room.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::place::{Place, known, model, noise};
use crate::server::{Reply, Server};

/// A file system in memory with little room, as the model's folder.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(place: &Place) -> Option<Self> {
        let path = place.path("models/model");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        println!("skipped: only root may mount a small file system");
        None
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let _ = Command::new("umount").arg(path).status();
    }
}

#[test]
fn too_little_room_is_told_before_anything_is_fetched() {
    let server = Server::start(|_, _| Reply::whole(&noise(1 << 20)));
    // Once the manifest knows the size, and once only the server does.
    for (file, requests) in [(known(&noise(1 << 20)), 0), (json!({}), 1)] {
        let place = Place::with(model(json!({ "w": file }))).hub(server.at("127.0.0.1"));
        let Some(_disk) = TinyDisk::mount(&place) else { return };
        place.fetch().is_error(&["needs 1.00 MiB free in", "hint: free some space"]);
        assert!(!place.path("models/model/w").exists());
        assert_eq!(server.seen().len(), requests);
    }
}

#[test]
fn a_disk_that_fills_up_on_the_way_is_explained_and_what_came_is_kept() {
    let server = Server::start(|_, _| Reply::whole(&noise(1 << 20)).without_length());
    let place =
        Place::with(model(json!({ "w": { "sha256": known(&noise(1 << 20))["sha256"] } }))).hub(server.at("127.0.0.1"));
    let Some(_disk) = TinyDisk::mount(&place) else { return };
    place.fetch().is_error(&["is full", "cannot write `", "No space left", "hint: free some space"]);
    assert!(!place.path("models/model/w").exists());
    assert!(!place.read("w.part").is_empty());
}
