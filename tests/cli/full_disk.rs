//! A write that breaks off: a clear error, and nothing half-written.
//!
//! A limit on the size of files stands in for a full disk, which only root may make. Both end a write in its middle;
//! what is said of either is the business of the hints' own tests.

use std::ffi::OsStr;
use std::process::Command;

use crate::program::{Place, Said, portrait, text};

/// Runs the program where no file may grow beyond 16 KiB.
fn run_without_room<I: AsRef<OsStr>>(place: &Place, args: &[I]) -> Said {
    let program = place.command(args);
    let mut shell = Command::new("sh");
    // In units of 512 bytes. Without the trap, the signal that comes with the error ends the program.
    shell.args(["-c", r#"ulimit -f 32 && trap "" XFSZ && exec "$0" "$@""#]).arg(program.get_program());
    shell.args(program.get_args()).current_dir(program.get_current_dir().unwrap());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Said::from(shell.output().unwrap())
}

#[test]
fn pictures_are_whole_or_not_there() {
    let place = Place::new();
    let said = run_without_room(&place, &["generate", "a man", "--steps=1", "--out=drawn", "--size=256x256"]);
    said.is_clear_error(1, &["cannot write `drawn/0.png`", "File too large", "hint: make room on the disk"]);
    assert!(place.files().iter().all(|path| path == "drawn"), "{:?}", place.files());
}

#[test]
fn an_identity_is_whole_or_not_there() {
    let place = Place::new();
    let said =
        run_without_room(&place, &["learn", "--no-face", text(&portrait()), "--name=me", "--steps=1", "--out=me"]);
    said.is_clear_error(1, &["cannot write `me.ckpt`", "File too large", "hint: make room on the disk"]);
    assert_eq!(place.files().len(), 0, "{:?}", place.files());
}
