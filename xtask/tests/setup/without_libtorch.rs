//! A build without libtorch, in a folder with the settings of this repository and a single small package.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{cargo, root, said};

const COMMAND: &str = "error: libtorch is not there yet: run `cargo xtask setup` once";

/// A package that only greets. Its name is `xtask`, so that the alias finds it.
fn package() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for folder in [".cargo", "src"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    for file in ["config.toml", "libtorch-first"] {
        fs::copy(root().join(".cargo").join(file), place.path().join(".cargo").join(file)).unwrap();
    }
    fs::write(place.path().join("Cargo.toml"), "[package]\nname = \"xtask\"\nedition = \"2024\"\n").unwrap();
    fs::write(place.path().join("src/main.rs"), "fn main() {\n    println!(\"hello\");\n}\n").unwrap();
    place
}

fn write_header(libtorch: &Path) {
    let folder = libtorch.join("include/torch/csrc/api/include/torch");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("torch.h"), "").unwrap();
}

fn refused(command: &mut Command, expected: &str) {
    let (success, text) = said(command);
    assert!(!success && text.contains(expected) && !text.contains("hello"), "{text}");
    assert_eq!(text.matches("libtorch").count(), expected.matches("libtorch").count(), "said once: {text}");
}

#[test]
fn the_first_crate_is_not_compiled_and_the_command_is_named() {
    let place = package();
    for command in ["build", "check", "run", "test", "clippy"] {
        refused(cargo(place.path()).arg(command), COMMAND);
    }
    // What only asks cargo about the packages goes on.
    let (success, text) = said(cargo(place.path()).args(["metadata", "--format-version=1"]));
    assert!(success, "{text}");
}

#[test]
fn chores_and_those_who_insist_do_without() {
    let place = package();
    for command in [cargo(place.path()).arg("xtask"), cargo(place.path()).arg("run").env("RUSTC_WRAPPER", "")] {
        let (success, text) = said(command);
        assert!(success && text.contains("hello"), "{text}");
    }
}

#[test]
fn with_libtorch_everything_is_compiled() {
    let place = package();
    write_header(&place.path().join(".libtorch/torch"));
    let (success, text) = said(cargo(place.path()).arg("run"));
    assert!(success && text.contains("hello"), "{text}");
}

#[test]
fn a_variable_that_leads_nowhere_is_named() {
    let place = package();
    let expected =
        "error: LIBTORCH is set, but there is no such file: /nowhere/include/torch/csrc/api/include/torch/torch.h";
    refused(cargo(place.path()).arg("run").env("LIBTORCH", "/nowhere"), expected);

    let elsewhere = tempfile::tempdir().unwrap();
    write_header(elsewhere.path());
    for (variable, value) in [("LIBTORCH", elsewhere.path()), ("LIBTORCH_USE_PYTORCH", Path::new("1"))] {
        let (success, text) = said(cargo(place.path()).arg("run").env(variable, value));
        assert!(success && text.contains("hello"), "{variable}: {text}");
        fs::remove_dir_all(place.path().join("target")).unwrap();
    }
}
