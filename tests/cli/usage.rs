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
    place.fails(2, &["generate", "a man", "--eta=1.5"], &["1.5", "from 0 to 1"]);
    place.fails(1, &["generate", "a man", "--scheduler=heun", "--eta=0.5"], &["eta is 0.5", "only ddim", "heun"]);
    place.fails(2, &["generate", "a man", "--device", "gpu"], &["auto, cpu, cuda, cuda:N"]);
    place.fails(2, &["generate", "a man", "--dtype", "int8"], &["auto, f32, bf16, f16"]);
    place.fails(1, &["generate", "a man", "--steps", "1001"], &["1001", "expected 1 to 1000"]);
    let portrait = portrait();
    let learn = |flags: &[&'static str]| [&["learn", "--no-face", text(&portrait), "--name", "me"], flags].concat();
    place.fails(2, &learn(&["--steps", "0"]), &["--steps"]);
    place.fails(2, &learn(&["--lr", "0"]), &["number above 0"]);
    place.fails(2, &learn(&["--lambda", "-1"]), &["--lambda"]);
    place.fails(2, &learn(&["--crop", "1,2,3"]), &["X,Y,W,H"]);
    place.fails(2, &learn(&["--method", "ip-adapter"]), &["sefi, sefi-names, textual-inversion"]);
    place.fails(2, &learn(&["--attention-target", "mask"]), &["--attention-target mask needs a mask", "--mask FILE"]);
    place.fails(2, &learn(&["--masked-noise"]), &["--masked-noise needs a mask"]);
    place.fails(1, &learn(&["--crop", "0,0,200,50"]), &["reaches outside the picture, which is 128 x 128"]);
    place.fails(1, &learn(&["--template", "a photo"]), &["one {}"]);
    place.fails(
        1,
        &learn(&["--stages", "2", "--learned-stages", "2-3"]),
        &["learned stages is 2-3", "within the number"],
    );
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
    let said = place.run(&["generate", &long, "--steps", "1", "--plain-prompt"]);
    assert!(said.status == Some(0) && said.stderr.contains("its end was cut off"), "{}", said.stderr);
    let cut = ["generate", &format!("{long} <me>"), &with_me(), "--plain-prompt"];
    place.fails(1, &cut, &["comes after that", "shorten the prompt"]);
}

#[test]
fn syntax_of_other_tools_is_named() {
    let place = Place::new();
    let prompt = "a photo of (<me>:1.3) [smiling], <lora:x:1> BREAK at the beach";
    let said = place.run(&["generate", prompt, &with_me(), "--steps=1", "--negative=(red:2) <me>", "--plain-prompt"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    for warning in [
        "warning: `(<me>:1.3)` is drawn as plain text",
        "warning: `<lora:x:1>` is drawn as plain text",
        "warning: `BREAK` is drawn as plain text",
        "warning: in the negative prompt, `(red:2)` is drawn as plain text",
    ] {
        assert!(said.stderr.contains(warning), "no `{warning}` in:\n{}", said.stderr);
    }
    // What is read is not warned of.
    let odd = "[man:woman:0.5] in a {red|blue} hat";
    let said =
        place.run(&["generate", &format!("{prompt}, {odd}"), &with_me(), "--steps=1", "--negative=(red:2) <me> AND"]);
    let warned =
        said.stderr.lines().filter_map(|line| line.strip_prefix("warning: ")?.split_once(" is drawn as plain text"));
    let warned: Vec<&str> = warned.map(|(place, _)| place).collect();
    let expected = ["`[man:woman:0.5]`", "`<lora:x:1>`", "`red|blue`", "in the negative prompt, `AND`"];
    assert_eq!((said.status, warned), (Some(0), expected.to_vec()), "{}", said.stderr);
}

#[test]
fn flags_without_effect_are_said() {
    let place = Place::new();
    let portrait = portrait();
    let ignored = |flags: &[&str]| -> Vec<String> {
        let learn = ["learn", text(&portrait), "--no-face", "--name=me", "--steps=1", "--batch=1", "--size=64x64"];
        let said = place.run(&[&learn[..], &["--force"], flags].concat());
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let lines = said.stderr.lines().filter_map(|line| line.strip_prefix("warning: --"));
        lines.filter_map(|line| Some(line.split_once(" has no effect")?.0.to_owned())).collect()
    };
    let loss = ["--attention-layers=1", "--attention-norm=absolute", "--attention-reduction=mean", "--detach-query"];
    let all = ["attention-layers", "detach-query", "attention-norm", "attention-reduction"];
    assert!(ignored(&loss).is_empty());
    assert_eq!(ignored(&[&loss[..], &["--lambda=0"]].concat()), all);
    assert_eq!(ignored(&[&loss[..], &["--method=textual-inversion"]].concat()), all);
    assert_eq!(ignored(&["--attention-target=none", "--lambda=0.1"]), ["lambda"]);
    assert_eq!(ignored(&["--attention-target=reference", "--lambda=0"]), ["attention-target"]);
    assert_eq!(ignored(&["--mask-parts=skin"]), ["mask-parts"]);
    let mask = crate::program::portrait_mask();
    let masked = ["--attention-target=mask", "--mask", text(&mask)];
    assert_eq!(ignored(&[&masked[..], &loss].concat()), ["attention-norm", "attention-reduction"]);

    let said = place.run(&["generate", "a man", "--steps=1", "--guidance=1", "--negative=red"]);
    assert!(said.stderr.contains("warning: --negative has no effect"), "{}", said.stderr);
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
