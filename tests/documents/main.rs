//! The README against the tree: its commands, its code map, its links; and the packages, each whole by itself.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The word after each occurrence of `before`, wherever it is written as code.
fn words_after(text: &str, before: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect::<String>();
    text.split(before).skip(1).map(name).filter(|name| !name.is_empty() && !name.starts_with('-')).collect()
}

/// The names of the Rust files in a folder, without the ending.
fn modules(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "rs")).map(|path| stem(&path)).collect()
}

/// The command that a file is named for.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().replace('_', "-")
}

#[test]
fn every_command_of_idembed_is_in_the_readme_and_the_other_way_round() {
    let table = readme().split_once("## Commands").unwrap().1.split_once("## How").unwrap().0.to_owned();
    let mut written = modules("crates/idembed-cli/src/commands");
    written.remove("mod");
    assert_eq!(words_after(&table, "`idembed "), written);
}

#[test]
fn every_xtask_of_the_readme_exists() {
    let known = modules("xtask/src");
    for command in words_after(&readme(), "cargo xtask ") {
        assert!(
            known.contains(&command),
            "README names `cargo xtask {command}`, but xtask/src/{command}.rs is not there"
        );
    }
}

#[test]
fn the_program_of_the_readme_is_the_first_example() {
    let example = fs::read_to_string(root().join("crates/idembed-studio/examples/learn_and_draw.rs")).unwrap();
    let readme = readme();
    let program = readme.split_once("```rust\n").unwrap().1.split_once("```").unwrap().0;
    for line in program.lines().filter(|line| !line.contains("let path")) {
        assert!(example.lines().any(|other| other == line), "the example lacks `{line}`");
    }
}

/// The folders with a `Cargo.toml` below one, relative to the root.
fn packages(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(below)).unwrap() {
        let entry = entry.unwrap();
        let folder = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.path().join("Cargo.toml").is_file() {
            found.push(folder);
        } else if entry.path().is_dir() {
            found.extend(packages(&folder));
        }
    }
    found
}

#[test]
fn the_code_map_names_every_crate() {
    let readme = readme();
    let map = readme.split_once("## Code map").unwrap().1.split_once("\n## ").unwrap().0;
    for folder in packages("crates") {
        let manifest = fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap();
        let name = manifest.split_once("name = \"").unwrap().1.split_once('"').unwrap().0;
        assert!(map.contains(&format!("[`{name}`]({folder})")), "the code map lacks {name}, which is in {folder}");
    }
}

#[test]
fn every_link_into_the_tree_leads_somewhere() {
    for target in readme().split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()) {
        if !target.contains("://") && !target.starts_with('#') {
            assert!(root().join(&target).exists(), "README links to `{target}`, which is not there");
        }
    }
}

/// A wish that the judge does not know would end an evaluation.
#[test]
fn the_protocol_of_the_miniature_wishes_for_what_its_judge_knows() {
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(root().join(path)).unwrap()).unwrap() };
    let factors = read("models/mini/judge/factors.json");
    let protocol = read("crates/idembed-eval/protocols/miniature.json");
    let mut wished = 0;
    for prompt in protocol["sets"].as_array().unwrap().iter().flat_map(|set| set["prompts"].as_array().unwrap()) {
        for (name, class) in prompt.get("wishes").and_then(Value::as_object).into_iter().flatten() {
            let factor = factors.as_array().unwrap().iter().find(|factor| factor["name"] == **name);
            let classes = factor.unwrap_or_else(|| panic!("no factor `{name}`: {prompt}"))["classes"].as_array();
            assert!(classes.unwrap().contains(class), "no class {class}: {prompt}");
            wished += 1;
        }
    }
    assert!(wished > 28, "{wished} wishes");
}

#[test]
fn every_package_is_whole_by_itself() {
    for folder in packages("crates").into_iter().chain(packages("xtask")).chain(["xtask".into(), "tests".into()]) {
        let folder = root().join(folder);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&folder).args(["package", "--list", "--allow-dirty", "--offline"]);
        let output = cargo.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} cannot be packaged: {said}", folder.display());
        let files: Vec<&str> = str::from_utf8(&output.stdout).unwrap().lines().collect();
        for file in &files {
            let made = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"].contains(file);
            assert!(made || folder.join(file).exists(), "{} takes {file} from elsewhere", folder.display());
        }
        assert_eq!(files.contains(&"build.rs"), folder.join("build.rs").exists(), "{}", folder.display());
    }
}
