//! An output that is an input is refused, whatever the paths say, and nothing is lost.

use std::os::unix::fs::symlink;

use crate::program::{Place, identity, portrait, portrait_mask, text};

const REFUSED: &[&str] = &["would be replaced, but it is read", "hint: write to another file"];

#[test]
fn an_identity_is_not_exported_onto_itself() {
    let place = Place::new();
    std::fs::copy(identity(), place.path("me")).unwrap();
    symlink(place.path("me"), place.path("link")).unwrap();
    std::fs::hard_link(place.path("me"), place.path("second")).unwrap();
    std::fs::create_dir(place.path("below")).unwrap();
    let before = std::fs::read(place.path("me")).unwrap();
    for (from, to) in [("me", "me"), ("me", "link"), ("link", "me"), ("me", "second"), ("me", "below/../me")] {
        place.fails(1, &["export", from, "--to=embedding", "--force", "--out", to], REFUSED);
    }
    assert_eq!(std::fs::read(place.path("me")).unwrap(), before);
    assert!(place.path("link").is_symlink());
}

#[test]
fn what_is_learned_does_not_replace_photo_mask_or_state() {
    let place = Place::new();
    std::fs::copy(portrait(), place.path("photo.png")).unwrap();
    std::fs::copy(portrait_mask(), place.path("mask.png")).unwrap();
    let before = std::fs::read(place.path("photo.png")).unwrap();
    let refused = |flags: &[&str]| {
        let learn = ["learn", "photo.png", "--no-face", "--name=me", "--steps=1", "--force", "--mask=mask.png"];
        place.fails(1, &[&learn[..], flags].concat(), REFUSED);
    };
    refused(&["--out=photo.png"]);
    refused(&["--out=./photo.png"]);
    refused(&["--out=mask.png"]);
    std::fs::write(place.path("photo.txt"), b"a drawing of {}").unwrap();
    refused(&["--out=photo.txt"]);
    std::fs::copy(identity(), place.path("before")).unwrap();
    refused(&["--out=before", "--start=before"]);
    refused(&["--report=photo.png"]);
    refused(&["--resume=photo.png", "--out=photo.png"]);
    // FILE.ckpt beside the output is written, too.
    std::fs::rename(place.path("mask.png"), place.path("me.ckpt")).unwrap();
    let learn = ["learn", "photo.png", "--no-face", "--name=me", "--steps=1", "--force", "--mask=me.ckpt", "--out=me"];
    place.fails(1, &learn, REFUSED);
    assert_eq!(std::fs::read(place.path("photo.png")).unwrap(), before);
}

#[test]
fn pictures_do_not_replace_what_they_are_made_from() {
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::copy(identity(), place.path("out/0.png")).unwrap();
    let me = "--identity=me=out/0.png";
    place.fails(1, &["generate", "<me>", me, "--steps=1", "--overwrite"], REFUSED);
    place.fails(1, &["generate", "<me>", me, "--steps=1", "--seed=5", "--grid=out/0.png"], REFUSED);

    // A mask that has the name of a heat map; the picture itself is no loss.
    let place = Place::new();
    std::fs::copy(portrait_mask(), place.path("0-man.png")).unwrap();
    let before = std::fs::read(place.path("0-man.png")).unwrap();
    let said = place.run(&["attention", "a man", "--words=man", "--steps=1", "--mask=0-man.png", "--out=."]);
    said.is_clear_error(1, REFUSED);
    assert_eq!(std::fs::read(place.path("0-man.png")).unwrap(), before);
}

#[test]
fn a_photo_is_not_replaced_by_the_overlay_of_another() {
    let place = Place::new();
    for name in ["a.png", "a-overlay.png"] {
        std::fs::copy(portrait(), place.path(name)).unwrap();
    }
    let photos = ["a.png", "a-overlay.png"].map(|name| place.path(name));
    let [first, second] = photos.each_ref().map(|path| text(path));
    place.fails(1, &["face", first, second, "--out=."], REFUSED);
}
