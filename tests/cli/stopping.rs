//! Ctrl-C and kill -9 while learning: the state is kept, and going on ends where an unbroken run does.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, Said, portrait, text};

const OUT: &str = "me.identity.safetensors";
const STATE: &str = "me.identity.safetensors.ckpt";

fn flags(steps: &str) -> Vec<String> {
    ["learn", "--no-face", text(&portrait()), "--name=me", "--size=64x64", "--batch=1", "--steps", steps]
        .map(str::to_owned)
        .to_vec()
}

fn start(place: &Place, args: &[String]) -> Child {
    let mut command = place.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the run has begun to learn.
fn wait_for_state(place: &Place, child: &mut Child) {
    let started = Instant::now();
    while !place.path(STATE).exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
        assert!(started.elapsed() < Duration::from_secs(120), "the run does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Goes on from the state and compares with a run that was never stopped.
fn goes_on_to_the_same_end(place: &Place, steps: &str) {
    let mut resumed = flags(steps);
    resumed.extend(["--resume".to_owned(), STATE.to_owned()]);
    place.succeeds(&resumed);
    assert!(!place.path(STATE).exists(), "the state is removed at the end");
    let unbroken = Place::new();
    unbroken.succeeds(&flags(steps));
    assert_eq!(std::fs::read(place.path(OUT)).unwrap(), std::fs::read(unbroken.path(OUT)).unwrap());
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let place = Place::new();
    let steps = "200";
    let mut child = start(&place, &flags(steps));
    wait_for_state(&place, &mut child);
    signal(&child, "-INT");
    let said = Said::from(child.wait_with_output().unwrap());
    said.is_clear_error(1, &["stopped after", "of 200 steps", &format!("--resume {STATE} goes on from here")]);
    assert!(!place.path(OUT).exists());

    // The unfinished run is neither lost by starting anew nor mixed up with another.
    place.fails(1, &flags(steps), &["holds an unfinished run", "--resume", "--force"]);
    let mut other = flags("201");
    other.extend(["--resume".to_owned(), STATE.to_owned()]);
    place.fails(1, &other, &["the checkpoint was made with steps 200, this run has 201"]);
    goes_on_to_the_same_end(&place, steps);
}

#[test]
fn kill_9_costs_a_few_steps_only() {
    let place = Place::new();
    let steps = "60";
    let mut child = start(&place, &flags(steps));
    wait_for_state(&place, &mut child);
    signal(&child, "-KILL");
    child.wait().unwrap();
    if place.path(STATE).exists() {
        goes_on_to_the_same_end(&place, steps);
    } else {
        println!("skipped: the run was over before it was killed");
    }
}

#[test]
fn ctrl_c_while_drawing_leaves_whole_pictures_only() {
    let place = Place::new();
    let args = ["generate", "a man", "--steps=900", "--out=."].map(str::to_owned);
    let child = start(&place, &args);
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "-INT");
    let said = Said::from(child.wait_with_output().unwrap());
    said.is_clear_error(1, &["stopped"]);
    assert!(place.files().is_empty());
}

#[test]
fn a_state_that_cannot_be_used_is_refused() {
    let place = Place::new();
    std::fs::write(place.path("text.ckpt"), b"not a checkpoint").unwrap();
    let resume = |file: &str| [flags("5"), vec!["--resume".to_owned(), file.to_owned()]].concat();
    place.fails(1, &resume("text.ckpt"), &["not a usable checkpoint"]);
    place.fails(1, &resume("missing.ckpt"), &["cannot read `missing.ckpt`"]);
    let identity = text(crate::program::identity()).to_owned();
    place.fails(1, &resume(&identity), &["idembed-identity/1", "idembed-checkpoint/1"]);
}
