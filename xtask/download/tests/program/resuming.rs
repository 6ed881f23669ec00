//! Cut connections: what was received is kept, and only what fits is gone on with.

use serde_json::{Value, json};

use crate::place::{Place, known, model, noise};
use crate::server::{Reply, Server};

const SIZE: usize = 400_000;

fn ranges(server: &Server) -> Vec<Option<String>> {
    server.seen().iter().map(|request| request.header("range").map(str::to_owned)).collect()
}

fn place(file: Value, server: &Server) -> Place {
    Place::with(model(json!({ "w": file }))).hub(server.at("127.0.0.1"))
}

#[test]
fn a_cut_transfer_goes_on_in_the_same_run() {
    for file in [known(&noise(SIZE)), json!({})] {
        let body = noise(SIZE);
        let server = Server::start(move |request, before| {
            let reply = Reply::file(request, &body, "\"1\"");
            if before < 2 { reply.cut_after(150_000 - 50_000 * before) } else { reply }
        });
        let place = place(file, &server);
        place.fetch().is_done();
        assert_eq!(place.read("w"), noise(SIZE));
        assert_eq!(place.files(), ["download.json", "w"]);
        let expected = [None, Some("bytes=150000-".to_owned()), Some("bytes=250000-".to_owned())];
        assert_eq!(ranges(&server), expected);
    }
}

#[test]
fn a_run_that_gave_up_is_gone_on_with_by_the_next() {
    for (file, etag) in [(known(&noise(SIZE)), ""), (json!({}), "\"1\"")] {
        let body = noise(SIZE);
        let broken = Server::start(move |request, before| {
            Reply::file(request, &body, etag).cut_after(if before == 0 { 150_000 } else { 0 })
        });
        let place = place(file, &broken);
        place.fetch().is_error(&["was cut", "hint: run the same command again; it goes on where it stopped"]);
        assert!(!place.path("models/model/w").exists());
        assert_eq!(place.read("w.part"), noise(SIZE)[..150_000]);

        let body = noise(SIZE);
        let whole = Server::start(move |request, _| Reply::file(request, &body, etag));
        let place = place.hub(whole.at("127.0.0.1"));
        place.fetch().is_done();
        assert_eq!(place.read("w"), noise(SIZE));
        assert_eq!(place.files(), ["download.json", "w"]);
        assert_eq!(ranges(&whole), [Some("bytes=150000-".to_owned())]);
    }
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let body = noise(SIZE);
    let server = Server::start(move |_, before| match before {
        0 => Reply::whole(&body).cut_after(150_000),
        _ => Reply::whole(&body),
    });
    let place = place(known(&noise(SIZE)), &server);
    place.fetch().is_done();
    assert_eq!(place.read("w"), noise(SIZE));
    assert_eq!(ranges(&server), [None, Some("bytes=150000-".to_owned())]);
}

#[test]
fn without_a_sum_and_a_version_nothing_is_gone_on_with() {
    let body = noise(SIZE);
    let server = Server::start(move |request, before| {
        let reply = Reply::file(request, &body, "");
        if before == 0 { reply.cut_after(150_000) } else { reply }
    });
    let place = place(json!({}), &server);
    place.fetch().is_done();
    assert_eq!(place.read("w"), noise(SIZE));
    assert_eq!(ranges(&server), [None, None]);
}

#[test]
fn a_file_that_changed_in_between_is_fetched_anew() {
    // Once by a server that heeds If-Range, and once by one that only tells the new version.
    for heeds in [true, false] {
        let (old, new) = (noise(SIZE), noise(SIZE + 7)[7..].to_vec());
        let server = Server::start(move |request, before| match before {
            0 => Reply::file(request, &old, "\"old\"").cut_after(150_000),
            _ if heeds => Reply::file(request, &new, "\"new\""),
            _ => {
                let mut request = request.clone();
                request.headers.remove("if-range");
                Reply::file(&request, &new, "\"new\"")
            }
        });
        let place = place(json!({}), &server);
        place.fetch().is_done();
        assert_eq!(place.read("w"), noise(SIZE + 7)[7..]);
        assert_eq!(server.seen()[1].header("if-range"), Some("\"old\""));
        assert_eq!(server.seen().len(), if heeds { 2 } else { 3 });
    }
}

#[test]
fn a_beginning_that_does_not_fit_is_dropped() {
    let body = noise(SIZE);
    let server = Server::start(move |request, _| Reply::file(request, &body, "\"1\""));
    for length in [1000, SIZE, SIZE + 1] {
        let place = place(known(&noise(SIZE)), &server);
        std::fs::create_dir(place.path("models/model")).unwrap();
        std::fs::write(place.path("models/model/w.part"), vec![0; length]).unwrap();
        place.fetch().is_done();
        assert_eq!(place.read("w"), noise(SIZE));
    }
}

#[test]
fn a_whole_file_that_was_not_put_in_its_place_is_not_sent_again() {
    let body = noise(SIZE);
    let server = Server::start(move |request, _| Reply::file(request, &body, "\"1\""));
    // With its size listed nobody is asked; without, the server says that there is nothing beyond it.
    let mut without_size = known(&noise(SIZE));
    without_size.as_object_mut().unwrap().remove("size");
    for (file, requests) in [(known(&noise(SIZE)), 0), (without_size, 1)] {
        let place = place(file, &server);
        std::fs::create_dir(place.path("models/model")).unwrap();
        std::fs::write(place.path("models/model/w.part"), noise(SIZE)).unwrap();
        place.fetch().is_done();
        assert_eq!(place.read("w"), noise(SIZE));
        assert_eq!(server.seen().len(), requests);
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = Server::start(|_, before| if before < 2 { Reply::status(503) } else { Reply::whole(b"x") });
    place(known(b"x"), &server).fetch().is_done();
    let server = Server::start(|_, _| Reply::status(503));
    place(known(b"x"), &server).fetch().is_error(&["503", "hint: the server is busy"]);
    assert_eq!(server.seen().len(), 4);
}
