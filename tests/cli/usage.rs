//! Calls that are wrong before anything is done: status 2, or 1 where a file has to be looked at.

use crate::program::{Place, identity, portrait, text, with_me};

#[test]
fn sizes_and_steps_out_of_range() {
    let place = Place::new();
    place.fails(2, &["generate", "a man", "--size", "500x500"], &["496x496 and 504x504"]);
    place.fails(2, &["generate", "a man", "--size", "512"], &["such as 512x512"]);
    place.fails(2, &["generate", "a man", "--steps", "0"], &["--steps", "whole number from 1"]);
    place.fails(2, &["generate", "a man", "--images", "0"], &["--images"]);
    place.fails(2, &["generate", "a man", "--guidance", "nan"], &["--guidance"]);
    place.fails(2, &["generate", "a man", "--scheduler", "plms"], &["plms", "euler-a"]);
    place.fails(2, &["generate", "a man", "--device", "gpu"], &["auto, cpu, cuda, cuda:N"]);
    place.fails(2, &["generate", "a man", "--dtype", "int8"], &["auto, f32, bf16, f16"]);
    place.fails(1, &["generate", "a man", "--steps", "1001"], &["1001", "expected 1 to 1000"]);
    let portrait = portrait();
    let learn = |flags: &[&'static str]| [&["learn", "--no-face", text(&portrait), "--name", "me"], flags].concat();
    place.fails(2, &learn(&["--steps", "0"]), &["--steps"]);
    place.fails(2, &learn(&["--lr", "0"]), &["number above 0"]);
    place.fails(2, &learn(&["--lambda", "-1"]), &["--lambda"]);
    place.fails(2, &learn(&["--crop", "1,2,3"]), &["X,Y,W,H"]);
    place.fails(2, &learn(&["--method", "dreambooth"]), &["sefi, textual-inversion"]);
    place.fails(2, &learn(&["--attention-target", "mask"]), &["--attention-target mask needs a mask", "--mask FILE"]);
    place.fails(2, &learn(&["--masked-noise"]), &["--masked-noise needs a mask"]);
    place.fails(1, &learn(&["--crop", "0,0,200,50"]), &["reaches outside the picture, which is 128 x 128"]);
    place.fails(1, &learn(&["--template", "a photo"]), &["one {}"]);
    place.fails(1, &learn(&["--stages", "5", "--method", "textual-inversion"]), &["stages"]);
    place.fails(1, &learn(&["--class", " "]), &["class"]);
    place.fails(2, &["learn", text(&portrait), "--name", "a b"], &["letters, digits"]);
}

#[test]
fn missing_and_unknown_words() {
    let place = Place::new();
    place.fails(2, &["learn"], &["--name <NAME>", "<PHOTO>"]);
    place.fails(2, &["export", "a", "--to", "lora", "--out", "b"], &["embedding"]);
    place.fails(2, &["generate", "a man", "--identity", "me"], &["NAME=FILE"]);
    place.fails(2, &["generate", "a <a>", "-i", "a=x", "-i", "a=y"], &["given twice"]);
    assert_eq!(place.run(&["paint"]).status, Some(2));
    assert_eq!(place.run::<&str>(&[]).status, Some(2));
}

#[test]
fn identities_in_the_prompt() {
    let place = Place::new();
    place.fails(
        1,
        &["generate", "a photo of <me>"],
        &["<me>, but no identity was given", "hint: ", "--identity me=FILE"],
    );
    place.fails(1, &["generate", "a photo of <you>", &with_me()], &["<you>, but only <me> was given"]);
    let said = place.run(&["generate", "a photo of a man", &with_me(), "--steps", "1"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("warning: the identity `me` was given, but"), "{}", said.stderr);
    let long = "word ".repeat(90);
    let said = place.run(&["generate", &long, "--steps", "1"]);
    assert!(said.status == Some(0) && said.stderr.contains("its end was cut off"), "{}", said.stderr);
    place.fails(1, &["generate", &format!("{long} <me>"), &with_me()], &["comes after that", "shorten the prompt"]);
}

#[test]
fn outputs_that_cannot_be() {
    let place = Place::new();
    std::fs::write(place.path("file"), b"").unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    place.fails(1, &["generate", "a man", "--out", "file/below"], &["`file` is a file"]);
    place.fails(1, &["attention", "a man", "--out", "file"], &["is a file"]);
    place.fails(1, &["demo", "--out", "file"], &["is a file"]);
    place.fails(1, &["generate", "a man", "--grid", "nowhere/grid.png"], &["there is no folder `nowhere`"]);
    let portrait = portrait();
    let learn = |out: &'static str| ["learn", text(&portrait), "--name", "me", "--out", out];
    place.fails(1, &learn("nowhere/me"), &["there is no folder"]);
    place.fails(1, &learn("folder"), &["it is a folder"]);
    place.fails(1, &learn("file"), &["`file` is there already", "--force"]);
    let export = ["export", text(identity()), "--to", "embedding", "--out", "file"];
    place.fails(1, &export, &["`file` is there already"]);
}
