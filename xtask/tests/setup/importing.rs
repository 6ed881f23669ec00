//! The README's program, in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{cargo, root, said};

/// The code of one language in the README's section about programs elsewhere.
fn code(language: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split_once("### In a program elsewhere").unwrap().1.split_once("\n## ").unwrap().0;
    section.split_once(&format!("```{language}\n")).unwrap().1.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_program_of_the_readme_is_compiled_and_starts() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("my program");
    fs::create_dir_all(program.join("src")).unwrap();
    let dependencies = code("toml").replace("path/to/idembed", root().to_str().unwrap());
    let manifest = format!("[package]\nname = \"program\"\nedition = \"2024\"\n\n{dependencies}");
    fs::write(program.join("Cargo.toml"), manifest).unwrap();
    fs::write(program.join("src/main.rs"), code("rust")).unwrap();
    // The versions that are here already.
    fs::copy(root().join("Cargo.lock"), program.join("Cargo.lock")).unwrap();

    let command = code("sh");
    let words = command.trim().strip_prefix("cargo ").unwrap().split(' ');
    let words = words.map(|word| if word == "path/to/program" { program.to_str().unwrap() } else { word });
    // With the libtorch of these tests, whichever it is.
    let mut setup = cargo(&root());
    setup.args(words).envs(std::env::var_os("LIBTORCH").map(|folder| ("LIBTORCH", folder)));
    let (success, text) = said(&mut setup);
    assert!(success, "{text}");

    // The crates that it imports are compiled once and kept.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("importing");
    let mut build = cargo(&program);
    build.args(["build", "--offline", "--target-dir"]).arg(&target).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let (success, text) = said(&mut build);
    assert!(success, "{text}");

    let (success, text) = said(Command::new(target.join("debug/program")).env_clear());
    assert!(success && ["cpu f32\n", "cuda:0 bf16\n"].contains(&text.as_str()), "{text}");
}
