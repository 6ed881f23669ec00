//! Requests to stop: learning keeps its state, and going on ends where an unbroken run does; all else ends at once.

use std::path::PathBuf;
use std::time::Duration;

use crate::program::{Place, portrait, text};
use crate::running::Running;

const OUT: &str = "me.identity.safetensors";
const STATE: &str = "me.identity.safetensors.ckpt";
/// A fraction of a long step, and far more than an end at once takes on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);

fn learn(flags: &[&str]) -> Vec<String> {
    let portrait = portrait();
    let learn = ["learn", "--no-face", text(&portrait), "--name=me"];
    [&learn[..], flags].concat().into_iter().map(str::to_owned).collect()
}

fn flags(steps: &str) -> Vec<String> {
    learn(&["--size=64x64", "--batch=1", "--steps", steps])
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
    let mut run = Running::start(&place, &flags(steps));
    run.wait_for_file(&place.path(STATE));
    run.signal("INT");
    run.wait_for("stopping after this step");
    let said = run.ends();
    said.is_clear_error(1, &["stopped after", "of 200 steps", &format!("--resume {STATE} goes on from here")]);
    assert!(!place.path(OUT).exists());

    // The unfinished run is neither lost by starting anew nor mixed up with another.
    place.fails(1, &flags(steps), &["holds an unfinished run", "--resume", "--force"]);
    let mut other = flags("199");
    other.extend(["--resume".to_owned(), STATE.to_owned()]);
    place.fails(1, &other, &["the checkpoint was made with steps 200, this run has 199"]);
    goes_on_to_the_same_end(&place, steps);
}

#[test]
fn a_finished_run_that_kept_its_state_goes_on() {
    let place = Place::new();
    let with = |steps: &str, more: &[&str]| [flags(steps), more.iter().map(|&flag| flag.to_owned()).collect()].concat();
    let value = place.json(&with("3", &["--keep-state"]));
    assert_eq!((&value["steps"], &value["state"]), (&3.into(), &STATE.into()));
    assert_eq!(place.files(), [OUT, STATE].map(PathBuf::from).into());
    // Neither is lost by accident.
    place.fails(1, &with("5", &["--out=other", "--resume=none"]), &["cannot read `none`"]);
    std::fs::rename(place.path(OUT), place.path("first")).unwrap();
    place.fails(1, &flags("3"), &["holds the state of a run of 3 steps", "--resume", "--force"]);
    let value = place.json(&with("5", &["--resume", STATE, "--out=longer"]));
    assert_eq!((&value["steps"], &value["steps_here"]), (&5.into(), &2.into()));
    assert_eq!(place.files(), ["first", "longer", STATE].map(PathBuf::from).into());
    goes_on_to_the_same_end(&place, "5");
}

#[test]
fn kill_9_costs_a_few_steps_only() {
    let place = Place::new();
    // Far more steps than fit between the first state and the signal.
    let steps = "60";
    let mut run = Running::start(&place, &flags(steps));
    run.wait_for_file(&place.path(STATE));
    run.signal("KILL");
    assert_eq!(run.ends().status, None);
    assert!(place.path(STATE).exists() && !place.path(OUT).exists());
    goes_on_to_the_same_end(&place, steps);
}

#[test]
fn a_second_request_ends_learning_within_its_step() {
    let place = Place::new();
    // Such a step takes minutes on one thread.
    let mut run = Running::start(&place, &learn(&["--size=512x512", "--batch=8", "--steps=2"]));
    run.wait_for_file(&place.path(STATE));
    run.signal("INT");
    run.wait_for("stopping after this step; once more to stop at once");
    run.signal("INT");
    let said = run.ends_within(AT_ONCE);
    said.is_clear_error(1, &["error: stopped\n"]);
    assert_eq!(place.files(), [STATE].map(PathBuf::from).into());
}

#[test]
fn drawing_stops_within_its_step() {
    for (command, signal) in [("generate", "INT"), ("attention", "TERM")] {
        let place = Place::new();
        let mut run = Running::start(&place, &[command, "a man", "--steps=2", "--size=2048x2048", "--out=."]);
        run.wait_for("drawing at 2048x2048 takes about");
        run.signal(signal);
        let said = run.ends_within(AT_ONCE);
        said.is_clear_error(1, &["error: stopped\n"]);
        assert!(place.files().is_empty() && said.stdout.is_empty());
    }
}

#[test]
fn the_demonstration_stops_while_it_draws() {
    let place = Place::new();
    let mut run = Running::start(&place, &["demo", "--steps=1", "--out=."]);
    run.wait_for("learned 1 steps");
    run.signal("INT");
    let said = run.ends_within(AT_ONCE);
    said.is_clear_error(1, &["error: stopped\n"]);
    assert_eq!(place.files().len(), 1, "the identity alone: {:?}", place.files());
}

#[test]
fn looking_for_faces_stops_between_photos() {
    if idembed_integration_tests::weights("mtcnn").is_none() {
        return;
    }
    let place = Place::new();
    let photo = idembed_integration_tests::photo();
    let photos = vec![text(&photo); 200];
    let args = [&["face"], &photos[..]].concat();
    let mut run = Running::start(&place, &args);
    run.wait_for("the only face");
    run.signal("TERM");
    let said = run.ends_within(AT_ONCE);
    said.is_clear_error(1, &["error: stopped\n"]);
    let half_written = |file: &PathBuf| file.extension().is_some_and(|end| end != "png");
    assert!(!place.files().iter().any(half_written), "{:?}", place.files());
}

#[test]
fn a_state_that_cannot_be_used_is_refused() {
    let place = Place::new();
    std::fs::write(place.path("text.ckpt"), b"not a checkpoint").unwrap();
    let resume = |file: &str| [flags("5"), vec!["--resume".to_owned(), file.to_owned()]].concat();
    place.fails(1, &resume("text.ckpt"), &["not a usable checkpoint"]);
    place.fails(1, &resume("missing.ckpt"), &["cannot read `missing.ckpt`"]);
    let identity = text(crate::program::identity()).to_owned();
    place.fails(1, &resume(&identity), &["idembed-identity/2", "idembed-checkpoint/2"]);
}
