//! `cargo xtask manifest`: `models/manifest.json` names every bundled file with its size and hash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hint::Hinted;
use crate::workspace;

/// Options of `cargo xtask manifest`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the sizes and hashes of the files as they are now, instead of comparing
    #[arg(long)]
    write: bool,
}

/// `models/manifest.json`: one entry for each folder of `models`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    models: BTreeMap<String, Model>,
}

/// A model: where it comes from, under what terms, and its files by path below its folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    origin: String,
    licence: String,
    files: BTreeMap<String, Fingerprint>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fingerprint {
    size: u64,
    sha256: String,
}

/// Runs the command.
///
/// # Errors
/// When the manifest and the files differ, naming each difference.
pub(crate) fn run(args: &Args) -> Result<()> {
    let models = workspace::root().join("models");
    if args.write {
        let mut manifest = read(&models)?;
        for (name, model) in &mut manifest.models {
            model.files = fingerprints(&models.join(name))?;
        }
        let path = models.join("manifest.json");
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        return fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()));
    }
    let differences = differences(&models)?;
    if differences.is_empty() {
        println!("models/manifest.json: all files as listed");
        return Ok(());
    }
    let message = format!("models/manifest.json and the files differ:\n  {}", differences.join("\n  "));
    Err(Hinted::new(message, "if the files are right, `cargo xtask manifest --write`").into())
}

fn read(models: &Path) -> Result<Manifest> {
    let path = models.join("manifest.json");
    let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is no manifest", path.display()))
}

/// One line for each file that is missing, not listed, or not as listed.
fn differences(models: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, model) in &read(models)?.models {
        let found = fingerprints(&models.join(name))?;
        for (path, listed) in &model.files {
            match found.get(path) {
                None => lines.push(format!("{name}/{path} is missing")),
                Some(fingerprint) if fingerprint.size != listed.size => {
                    lines.push(format!("{name}/{path} has {} bytes, listed {}", fingerprint.size, listed.size));
                }
                Some(fingerprint) if fingerprint != listed => {
                    lines.push(format!("{name}/{path} has sha256 {}, listed {}", fingerprint.sha256, listed.sha256));
                }
                Some(_) => {}
            }
        }
        let unlisted = found.keys().filter(|path| !model.files.contains_key(*path));
        lines.extend(unlisted.map(|path| format!("{name}/{path} is not listed")));
    }
    Ok(lines)
}

/// Size and hash of each file below `folder`, by its path there with `/`.
fn fingerprints(folder: &Path) -> Result<BTreeMap<String, Fingerprint>> {
    let mut found = BTreeMap::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let below = fingerprints(&entry.path())?;
            found.extend(below.into_iter().map(|(path, fingerprint)| (format!("{name}/{path}"), fingerprint)));
        } else {
            found.insert(name, fingerprint(&entry.path())?);
        }
    }
    Ok(found)
}

fn fingerprint(path: &Path) -> Result<Fingerprint> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Fingerprint { size: bytes.len() as u64, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_files_are_as_listed() {
        assert_eq!(differences(&workspace::root().join("models")).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named() {
        let models = tempfile::tempdir().unwrap();
        let folder = models.path().join("m/unet");
        fs::create_dir_all(&folder).unwrap();
        for name in ["same", "changed", "longer", "new"] {
            fs::write(folder.join(name), "abc").unwrap();
        }
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = |size: u64, sha256: &str| Fingerprint { size, sha256: sha256.to_owned() };
        let files = [
            ("unet/same", file(3, abc)),
            ("unet/changed", file(3, "00")),
            ("unet/longer", file(2, abc)),
            ("unet/gone", file(3, abc)),
        ];
        let files = files.map(|(path, file)| (path.to_owned(), file)).into();
        let model = Model { origin: String::new(), licence: String::new(), files };
        let manifest = Manifest { models: [("m".to_owned(), model)].into() };
        fs::write(models.path().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let expected = [
            format!("m/unet/changed has sha256 {abc}, listed 00"),
            "m/unet/gone is missing".to_owned(),
            "m/unet/longer has 3 bytes, listed 2".to_owned(),
            "m/unet/new is not listed".to_owned(),
        ];
        assert_eq!(differences(models.path()).unwrap(), expected);
    }
}
