//! What goes well: layout, record, cache, copies, redirects.

use serde_json::json;

use crate::place::{Place, known, model, noise};
use crate::server::{Reply, Server};

#[test]
fn files_come_to_their_places_and_the_second_run_asks_for_nothing() {
    let weights = noise(300_000);
    let body = weights.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/owner/model/resolve/main/unet/weights.safetensors" => Reply::file(request, &body, "\"w\""),
        "/owner/model/resolve/main/model_index.json" => Reply::whole(b"{}"),
        _ => Reply::status(404),
    });
    let files = json!({ "model_index.json": {}, "unet/weights.safetensors": known(&weights) });
    let place = Place::with(model(files)).hub(server.at("127.0.0.1"));
    assert!(place.run(&["--list"]).out.contains("model: not there, 292.97 KiB"));
    let said = place.fetch();
    said.is_done();
    assert!(said.err.contains("nobody vouches for this file"), "{}", said.err);
    assert_eq!(place.files(), ["download.json", "model_index.json", "unet/weights.safetensors"]);
    assert_eq!(place.read("unet/weights.safetensors"), weights);
    // A folder without its index is no model yet, so the index comes last.
    assert!(server.seen().last().unwrap().path.ends_with("model_index.json"));
    place.fetch().is_done();
    assert_eq!(server.seen().len(), 2);
    assert!(place.run(&["--list"]).out.contains("model: there, "));
}

#[test]
fn a_mirror_with_a_slash_at_its_end_is_the_same() {
    let server = Server::start(
        |request, _| {
            if request.path.starts_with("//") { Reply::status(404) } else { Reply::whole(b"x") }
        },
    );
    Place::with(model(json!({ "x": known(b"x") }))).hub(server.at("127.0.0.1") + "/").fetch().is_done();
}

#[test]
fn a_copy_is_asked_instead_and_must_hold_the_same() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/some/copy/resolve/v2%2Fx/w" => Reply::whole(b"right"),
        "/bad/copy/resolve/main/w" => Reply::whole(b"wrong"),
        _ => Reply::status(404),
    });
    let place = Place::with(model(json!({ "w": known(b"right") }))).hub(server.at("127.0.0.1"));
    place.fetch().is_error(&["404", "--repo OWNER/NAME"]);
    place.run(&["model", "--repo=bad/copy"]).is_error(&["has sha256", "listed"]);
    assert_eq!(place.files(), [""; 0]);
    place.run(&["model", "--repo=some/copy@v2/x"]).is_done();
    assert_eq!(place.read("w"), b"right");
}

#[test]
fn a_relative_redirect_keeps_the_token_and_another_host_does_not_get_it() {
    let storage = Server::start(|request, _| Reply::file(request, b"weights", "\"w\""));
    let target = storage.at("localhost") + "/blob?signed";
    let hub = Server::start(move |request, _| match request.path.as_str() {
        "/owner/model/resolve/main/w" => Reply::redirect("/renamed/model/resolve/main/w"),
        _ => Reply::redirect(&target),
    });
    let place =
        Place::with(model(json!({ "w": known(b"weights") }))).hub(hub.at("127.0.0.1")).env("HF_TOKEN", "secret");
    place.fetch().is_done();
    let asked: Vec<_> = hub.seen().iter().map(|it| it.header("authorization").map(str::to_owned)).collect();
    assert_eq!(asked, [Some("Bearer secret".to_owned()), Some("Bearer secret".to_owned())]);
    let stored = storage.seen();
    assert_eq!((stored.len(), stored[0].path.as_str(), stored[0].header("authorization")), (1, "/blob?signed", None));
    assert_eq!(place.read("w"), b"weights");
}

#[test]
fn the_saved_token_is_used_for_the_hub_and_never_for_github() {
    let server = Server::start(|_, _| Reply::whole(b"x"));
    let mut release = model(json!({ "x": known(b"x") }));
    release["source"] = json!({ "github_release": { "repository": "owner/model", "tag": "v1" } });
    let models = json!({ "model": model(json!({ "x": known(b"x") })), "release": release });
    let place = Place::new(models).hub(server.at("127.0.0.1")).github(server.at("127.0.0.1"));
    std::fs::create_dir(place.path("hf")).unwrap();
    std::fs::write(place.path("hf/token"), "saved\n").unwrap();
    place.run(&["model", "release"]).is_done();
    let asked: Vec<_> =
        server.seen().iter().map(|it| (it.path.clone(), it.headers.get("authorization").cloned())).collect();
    let expected = [
        ("/owner/model/resolve/main/x".to_owned(), Some("Bearer saved".to_owned())),
        ("/owner/model/releases/download/v1/x".to_owned(), None),
    ];
    assert_eq!(asked, expected);
}

/// Lays a file out as the programs of Hugging Face do.
fn put_into_cache(place: &Place, bytes: &[u8]) {
    let repo = place.path("hf/hub/models--owner--model");
    for folder in ["blobs", "refs", "snapshots/c0ffee"] {
        std::fs::create_dir_all(repo.join(folder)).unwrap();
    }
    std::fs::write(repo.join("blobs/b"), bytes).unwrap();
    std::fs::write(repo.join("refs/main"), "c0ffee").unwrap();
    std::os::unix::fs::symlink("../../blobs/b", repo.join("snapshots/c0ffee/w")).unwrap();
}

#[test]
fn what_is_in_the_cache_is_taken_from_there() {
    let place = Place::with(model(json!({ "w": known(b"weights") })));
    put_into_cache(&place, b"weights");
    let said = place.fetch();
    said.is_done();
    assert!(said.err.contains("taken from the cache"), "{}", said.err);
    assert_eq!(place.read("w"), b"weights");
    assert!(!place.path("models/model/w").is_symlink());
}

#[test]
fn a_commit_is_found_in_the_cache_too() {
    let mut pinned = model(json!({ "w": {} }));
    pinned["source"]["hugging_face"]["revision"] = json!("c0ffee");
    let place = Place::with(pinned);
    put_into_cache(&place, b"weights");
    place.fetch().is_done();
    assert_eq!(place.read("w"), b"weights");
}

#[test]
fn a_wrong_file_in_the_cache_is_left_there() {
    let server = Server::start(|_, _| Reply::whole(b"weights"));
    let place = Place::with(model(json!({ "w": known(b"weights") }))).hub(server.at("127.0.0.1"));
    put_into_cache(&place, b"damaged");
    let said = place.fetch();
    said.is_done();
    assert!(said.err.contains("not taken from the cache"), "{}", said.err);
    assert_eq!(place.read("w"), b"weights");
    assert_eq!(std::fs::read(place.path("hf/hub/models--owner--model/blobs/b")).unwrap(), b"damaged");
}

#[test]
fn all_means_everything_that_is_not_bundled() {
    let server = Server::start(|_, _| Reply::whole(b"x"));
    let mut bundled = model(json!({ "x": known(b"x") }));
    bundled.as_object_mut().unwrap().remove("source");
    let other = model(json!({ "x": known(b"x") }));
    let place =
        Place::new(json!({ "bundled": bundled, "model": other.clone(), "other": other })).hub(server.at("127.0.0.1"));
    place.run(&["--all"]).is_done();
    assert_eq!(server.seen().len(), 2);
    assert!(place.path("models/other/x").exists() && !place.path("models/bundled").exists());
    let said = place.run(&["bundled"]);
    said.is_done();
    assert!(said.err.contains("nothing to fetch"), "{}", said.err);
}
