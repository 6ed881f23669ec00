//! Several processes that want the same file.

use std::time::Duration;

use serde_json::json;

use crate::place::{Place, Said, known, model, noise};
use crate::server::{Reply, Server};

#[test]
fn the_others_wait_and_find_it_done() {
    let body = noise(100_000);
    let server =
        Server::start(move |request, _| Reply::file(request, &body, "\"1\"").after(Duration::from_millis(700)));
    let place = Place::with(model(json!({ "w": known(&noise(100_000)) }))).hub(server.at("127.0.0.1"));
    let running: Vec<_> = (0..4).map(|_| place.start(&["model"])).collect();
    let said: Vec<Said> = running.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect();
    said.iter().for_each(Said::is_done);
    assert_eq!(server.seen().len(), 1);
    let waited = said.iter().filter(|said| said.err.contains("another command is at work there; waiting for it"));
    assert_eq!(waited.count(), 3);
    assert_eq!(place.read("w"), noise(100_000));
}

#[test]
fn a_process_that_is_killed_leaves_its_part_to_the_next() {
    let body = noise(100_000);
    let server = Server::start(move |request, before| match before {
        // Announces more than it sends, and keeps the connection open for as long as the test runs.
        0 => Reply::file(request, &body, "\"1\"").hang_after(60_000),
        _ => Reply::file(request, &body, "\"1\""),
    });
    let place = Place::with(model(json!({ "w": known(&noise(100_000)) }))).hub(server.at("127.0.0.1"));
    let mut killed = place.start(&["model"]);
    let part = place.path("models/model/w.part");
    while std::fs::metadata(&part).map_or(0, |it| it.len()) < 60_000 {
        assert!(killed.try_wait().unwrap().is_none(), "the program ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!place.path("models/model/w").exists());
    place.fetch().is_done();
    assert_eq!(server.seen()[1].header("range"), Some("bytes=60000-"));
    assert_eq!(place.read("w"), noise(100_000));
}
