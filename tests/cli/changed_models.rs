//! Model files that are cut short or changed while the program computes with them.
//!
//! With `--dtype=f16` the bundled weights are used where they lie in their mapped file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use idembed_integration_tests::checkpoints::{checkpoint, controlnet};
use idembed_integration_tests::fixture_dir;

use crate::model::{UNET, linked, replace};
use crate::program::{Place, Said, mini, portrait, text};
use crate::running::Running;

const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const STATE: &str = "me.identity.safetensors.ckpt";

/// The bundled model with a U-Net file of its own, whose path is given.
fn model(place: &Place) -> PathBuf {
    linked(place);
    replace(place, UNET, &std::fs::read(mini().join(UNET)).unwrap())
}

fn drawing<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", "a man", "--model=model", "--out=.", "--batch=1", "--steps=10", "--size=64x64"], more].concat()
}

/// Does something to the U-Net's file once a file of the run is there; gives what the run said in the end.
fn disturbed(place: &Place, args: &[&str], once: &str, disturb: impl FnOnce(&Path)) -> Said {
    disturbed_at(place, &place.path("model").join(UNET), args, once, disturb)
}

/// The same with any file.
fn disturbed_at(place: &Place, file: &Path, args: &[&str], once: &str, disturb: impl FnOnce(&Path)) -> Said {
    let mut run = Running::start(place, args);
    run.wait_for_file(&place.path(once));
    disturb(file);
    run.ends()
}

fn cut_short(file: &Path) {
    File::options().write(true).open(file).unwrap().set_len(4096).unwrap();
}

/// Writes other numbers of the same length in place.
fn change(file: &Path) {
    let length = file.metadata().unwrap().len();
    File::options().write(true).open(file).unwrap().write_all_at(&[0x3c; 65536], length / 2).unwrap();
}

/// Checks that what is there beside the model are pictures, whole and in order, and nothing else.
fn has_whole_pictures_only(place: &Place) {
    let files = place.files().into_iter().filter(|path| !path.starts_with("model"));
    let count = files.map(|path| assert!(image::open(place.path(text(&path))).is_ok(), "{path:?}")).count();
    assert!((0..count).all(|seed| place.path(&format!("{seed}.png")).exists()));
}

#[test]
fn drawing_with_a_file_that_is_cut_short() {
    let place = Place::new();
    model(&place);
    let args = drawing(&["--images=500", "--dtype=f16", "--json"]);
    let said = disturbed(&place, &args, "0.png", cut_short);
    said.is_clear_error(1, &["cannot read `", UNET, "cut short while it was in use", "hint: put the whole file back"]);
    assert_eq!(said.stdout, "");
    has_whole_pictures_only(&place);
}

#[test]
fn drawing_with_a_file_that_changes() {
    let place = Place::new();
    model(&place);
    let args = drawing(&["--images=500", "--dtype=f16", "--json"]);
    let said = disturbed(&place, &args, "0.png", change);
    said.is_clear_error(1, &[UNET, "was changed while it was in use", "hint: run the command again"]);
    assert_eq!(said.stdout, "");
    has_whole_pictures_only(&place);
}

/// A model in one file, an autoencoder and a ControlNet beside a model are watched as a folder's files are.
#[test]
fn drawing_with_parts_in_one_file() {
    let steered = format!("--control=net.safetensors={}", text(&portrait()));
    for (file, flag, dtype) in [
        ("tiny.safetensors", "--model=tiny.safetensors", "--dtype=f32"),
        ("vae.safetensors", "--vae=vae.safetensors", "--dtype=f16"),
        ("net.safetensors", &steered, "--dtype=f32"),
    ] {
        for (disturb, expected) in [
            (
                cut_short as fn(&Path),
                &["cannot read `", "cut short while it was in use", "hint: put the whole file back"][..],
            ),
            (change, &["was changed while it was in use", "hint: run the command again"]),
        ] {
            let place = Place::new();
            let path = place.path(file);
            match file {
                "tiny.safetensors" => checkpoint("sd1").write(&path),
                "net.safetensors" => controlnet("a").write(&path),
                _ => std::fs::write(&path, std::fs::read(mini().join(VAE)).unwrap()).unwrap(),
            }
            let args = ["generate", "a man", "--out=.", "--batch=1", "--steps=4", "--size=64x64", "--images=500"];
            let said = disturbed_at(&place, &path, &[&args[..], &[flag, dtype]].concat(), "0.png", disturb);
            said.is_clear_error(1, &[&[file], expected].concat());
        }
    }
}

/// What a LoRA adds is added while the model is loaded.
#[test]
fn a_lora_is_not_needed_once_it_was_added() {
    let args = ["generate", "a man", "--out=.", "--batch=1", "--steps=4", "--size=64x64", "--images=3"];
    for disturb in [change, cut_short] {
        let place = Place::new();
        let file = place.path("lora.safetensors");
        std::fs::write(&file, std::fs::read(fixture_dir("lora").join("early.safetensors")).unwrap()).unwrap();
        let args = [&args[..], &["--lora=lora.safetensors", "--dtype=f32"]].concat();
        let said = disturbed_at(&place, &file, &args, "0.png", disturb);
        assert_eq!(said.status, Some(0), "{}", said.stderr);
    }
}

#[test]
fn a_file_that_is_no_longer_in_use_may_do_as_it_likes() {
    // In f32 these weights are converted while they are loaded.
    let place = Place::new();
    model(&place);
    let said = disturbed(&place, &drawing(&["--images=3", "--dtype=f32"]), "0.png", cut_short);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    // And a new file of the same name is not the one that is mapped.
    let place = Place::new();
    let unet = model(&place);
    std::fs::copy(&unet, place.path("model/new")).unwrap();
    let take_over = |unet: &Path| std::fs::rename(place.path("model/new"), unet).unwrap();
    let said = disturbed(&place, &drawing(&["--images=3", "--dtype=f16"]), "0.png", take_over);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
}

/// Disturbs a run that learns, expects these texts, and goes on with the file as it was.
fn disturbed_while_learning(disturb: fn(&Path), expected: &[&str]) {
    let photo = portrait();
    let flags = |steps: &'static str| {
        let run = ["learn", "--no-face", text(&photo), "--name=me", "--model=model", "--dtype=f16"];
        [&run[..], &["--size=64x64", "--batch=1", "--steps", steps]].concat()
    };
    let place = Place::new();
    let unet = model(&place);
    let before = place.files();
    let said = disturbed(&place, &flags("5000"), STATE, disturb);
    said.is_clear_error(1, expected);
    assert_eq!(said.stdout, "");
    let left: Vec<_> = place.files().difference(&before).cloned().collect();
    assert_eq!(left, [Path::new(STATE)], "the state, whole, and nothing else");

    std::fs::copy(mini().join(UNET), unet).unwrap();
    let other = [flags("4999"), vec!["--resume", STATE]].concat();
    place.fails(1, &other, &["the checkpoint was made with steps 5000, this run has 4999"]);
}

#[test]
fn learning_with_a_file_that_is_cut_short() {
    disturbed_while_learning(cut_short, &["cannot read `", UNET, "cut short while it was in use"]);
}

#[test]
fn learning_with_a_file_that_changes() {
    let expected =
        ["the model changed at step", "was changed while it was in use", UNET, "before that step is in", STATE];
    disturbed_while_learning(change, &expected);
}

#[test]
fn a_bus_error_that_has_nothing_to_do_with_weights_kills() {
    let place = Place::new();
    model(&place);
    let mut run = Running::start(&place, &drawing(&["--images=500"]));
    run.wait_for_file(&place.path("0.png"));
    run.signal("BUS");
    let said = run.ends();
    assert!(said.status.is_none() && !said.stderr.contains("error"), "{said:?}");
}
