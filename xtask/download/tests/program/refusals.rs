//! What must not be fetched, and what the user is told.

use serde_json::json;

use crate::place::{Place, known, model, noise};
use crate::server::{Reply, Server};

#[test]
fn a_file_with_another_sum_is_not_kept() {
    let server = Server::start(|_, _| Reply::whole(b"evil"));
    let place = Place::with(model(json!({ "w": known(b"good") }))).hub(server.at("127.0.0.1"));
    let sums = [b"evil", b"good"].map(|bytes| xtask::fingerprint::Fingerprint::of_bytes(bytes).sha256);
    place.fetch().is_error(&[&format!("has sha256 {}, listed {}", sums[0], sums[1]), "hint: "]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_file_of_another_size_is_not_even_fetched() {
    let server = Server::start(|_, _| Reply::whole(&noise(1 << 20)));
    let place = Place::with(model(json!({ "w": known(b"good") }))).hub(server.at("127.0.0.1"));
    place.fetch().is_error(&["has 1048576 bytes, listed 4"]);
    assert_eq!(place.files(), [""; 0]);
    let server = Server::start(|_, _| Reply::whole(b"longer").without_length());
    let place = place.hub(server.at("127.0.0.1"));
    place.fetch().is_error(&["has 6 bytes, listed 4"]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_file_nobody_vouches_for_must_stay_the_same() {
    let server = Server::start(|_, before| Reply::whole(if before == 0 { b"first" } else { b"other" }));
    let place = Place::with(model(json!({ "w": {} }))).hub(server.at("127.0.0.1"));
    place.fetch().is_done();
    std::fs::remove_file(place.path("models/model/w")).unwrap();
    place.fetch().is_error(&["has sha256", "listed"]);
    assert_eq!(place.files(), ["download.json"]);
}

#[test]
fn a_file_of_the_user_is_never_replaced() {
    let server = Server::start(|_, _| Reply::whole(b"theirs"));
    for listed in [known(b"theirs"), json!({})] {
        let place = Place::with(model(json!({ "w": listed }))).hub(server.at("127.0.0.1"));
        std::fs::create_dir(place.path("models/model")).unwrap();
        std::fs::write(place.path("models/model/w"), "mine").unwrap();
        place.fetch().is_error(&["is there, but is not a file that this command fetched", "hint: move it away"]);
        assert_eq!(place.read("w"), b"mine");
    }
    assert_eq!(server.seen().len(), 0);
    // The right file, put there by hand, is as good as a fetched one.
    let place = Place::with(model(json!({ "w": known(b"mine") })));
    std::fs::create_dir(place.path("models/model")).unwrap();
    std::fs::write(place.path("models/model/w"), "mine").unwrap();
    place.fetch().is_done();
}

#[test]
fn a_file_that_was_changed_since_is_noticed() {
    let server = Server::start(|_, _| Reply::whole(b"weights"));
    let place = Place::with(model(json!({ "w": {} }))).hub(server.at("127.0.0.1"));
    place.fetch().is_done();
    std::fs::write(place.path("models/model/w"), "weightz").unwrap();
    place.fetch().is_error(&["is there, but is not a file that this command fetched"]);
    // So is a manifest that means another file now.
    std::fs::write(place.path("models/model/w"), "weights").unwrap();
    place.fetch().is_done();
    place.write_manifest(json!({ "model": model(json!({ "w": known(b"newer") })) }));
    place.fetch().is_error(&["is there, but is not a file that this command fetched"]);
}

#[test]
fn a_missing_repository_leads_to_a_copy() {
    for (status, code) in [(404, "EntryNotFound"), (410, ""), (401, "RepoNotFound")] {
        let server = Server::start(move |_, _| Reply::status(status).with("X-Error-Code", code));
        let place = Place::with(model(json!({ "w": {} }))).hub(server.at("127.0.0.1"));
        let page = format!("see {}/owner/model;", server.at("127.0.0.1"));
        place.fetch().is_error(&[&status.to_string(), code, "withdrawn", &page, "--repo OWNER/NAME"]);
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_closed_repository_leads_to_token_and_terms() {
    for status in [401, 403] {
        let server = Server::start(move |_, _| Reply::status(status).with("X-Error-Code", "GatedRepo"));
        let place = Place::with(model(json!({ "w": {} }))).hub(server.at("127.0.0.1"));
        place.fetch().is_error(&[&status.to_string(), "GatedRepo", "set HF_TOKEN", "accept its terms"]);
        let place = place.env("HF_TOKEN", "secret");
        let said = place.fetch();
        said.is_error(&["accept the terms at", "with the account of your token"]);
        assert!(!said.err.contains("secret"));
    }
}

#[test]
fn a_missing_release_names_its_page() {
    let server = Server::start(|_, _| Reply::status(404));
    let mut release = model(json!({ "w": {} }));
    release["source"] = json!({ "github_release": { "repository": "owner/model", "tag": "v1" } });
    let said = Place::with(release).github(server.at("127.0.0.1")).fetch();
    said.is_error(&["404", "/owner/model/releases/tag/v1"]);
    assert!(!said.err.contains("--repo"), "{}", said.err);
}

#[test]
fn a_login_page_is_no_file() {
    let server = Server::start(|_, _| Reply::whole(b"<html>").with("Content-Type", "text/html; charset=utf-8"));
    let place = Place::with(model(json!({ "config.json": {} }))).hub(server.at("127.0.0.1"));
    place.fetch().is_error(&["answers with a web page", "hint: does this network want you to log in first?"]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_missing_network_is_told() {
    let place = Place::with(model(json!({ "w": {} })));
    place.fetch().is_error(&["cannot reach `http://127.0.0.1:1/owner", "hint: check the network", "HTTPS_PROXY"]);
    assert_eq!(place.files(), [""; 0]);
    let place = place.hub("no address at all");
    place.fetch().is_error(&["cannot reach `no address at all/owner"]);
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::start(|request, _| Reply::redirect(&request.path));
    let place = Place::with(model(json!({ "w": {} }))).hub(server.at("127.0.0.1"));
    place.fetch().is_error(&["cannot reach"]);
    assert!(server.seen().len() < 20);
}

#[test]
fn terms_are_shown_and_must_be_accepted_once() {
    let server = Server::start(|_, _| Reply::whole(b"x"));
    let mut restricted = model(json!({ "x": known(b"x") }));
    restricted["research_only"] = json!(true);
    restricted["restriction"] = json!("the photos are for research");
    restricted["terms"] = json!("https://example.org/terms");
    let place = Place::with(restricted).hub(server.at("127.0.0.1"));
    place.fetch().is_error(&[
        "model: MIT; for research only",
        "why: the photos are for research",
        "terms: https://example.org/terms",
        "hint: read the terms above; if you accept them, run the same command with --accept-licence",
    ]);
    assert_eq!(server.seen().len(), 0);
    assert!(!place.path("models/model").exists());
    place.run(&["--all"]).is_error(&["not everybody may use `model` for everything"]);
    place.run(&["model", "--accept-licence"]).is_done();
    place.fetch().is_done();
}

#[test]
fn names_and_options_are_checked_first() {
    let place = Place::with(model(json!({ "w": {} })));
    place.run(&["modell"]).is_error(&["the manifest names no model `modell`", "--list"]);
    for arguments in
        [&[][..], &["--list", "model"], &["--all", "model"], &["--all", "--repo=a/b"], &["model", "--repo=a"]]
    {
        assert_eq!(place.run(arguments).code, Some(2), "{arguments:?}");
    }
    let two = Place::new(json!({ "a": model(json!({ "w": {} })), "b": model(json!({ "w": {} })) }));
    two.run(&["a", "b", "--repo=c/d"]).is_error(&["--repo names a copy of one model"]);
    let mut release = model(json!({ "w": {} }));
    release["source"] = json!({ "github_release": { "repository": "owner/model", "tag": "v1" } });
    Place::with(release)
        .run(&["model", "--repo=c/d"])
        .is_error(&["does not come from Hugging Face", "leave --repo out"]);
    std::fs::write(place.path("models/manifest.json"), "{").unwrap();
    place.fetch().is_error(&["is no manifest"]);
}
