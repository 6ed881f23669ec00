//! `cargo xtask manifest`: `models/manifest.json` names every bundled file with its size and hash.
//!
//! What is to be fetched is named there too; `cargo xtask download` checks it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use xtask::fingerprint::Fingerprint;
use xtask::models::{self, Manifest, ModelFile};

use crate::atomic;
use crate::hint::Hinted;

/// Options of `cargo xtask manifest`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the sizes and hashes of the bundled files as they are now, instead of comparing
    #[arg(long)]
    write: bool,
}

/// Runs the command.
///
/// # Errors
/// When the manifest and the files differ, naming each difference.
pub(crate) fn run(args: &Args) -> Result<()> {
    let models = models::folder();
    if args.write {
        let mut manifest = Manifest::read(&models)?;
        for (name, model) in manifest.models.iter_mut().filter(|(_, model)| model.source.is_none()) {
            let found = fingerprints(&models.join(name))?;
            model.files = found.into_iter().map(|(path, it)| (path, ModelFile::known(it))).collect();
        }
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        return atomic::write(&models.join("manifest.json"), text.as_bytes());
    }
    let differences = differences(&models)?;
    if differences.is_empty() {
        println!("models/manifest.json: all bundled files as listed");
        return Ok(());
    }
    let message = format!("models/manifest.json and the files differ:\n  {}", differences.join("\n  "));
    Err(Hinted::new(message, "if the files are right, `cargo xtask manifest --write`").into())
}

/// One line for each bundled file that is missing, not listed, or not as listed.
fn differences(models: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let manifest = Manifest::read(models)?;
    for (name, model) in manifest.models.iter().filter(|(_, model)| model.source.is_none()) {
        let found = fingerprints(&models.join(name))?;
        for (path, listed) in &model.files {
            let difference = found.get(path).map_or(Some("is missing".to_owned()), |it| listed.difference(it));
            lines.extend(difference.map(|difference| format!("{name}/{path} {difference}")));
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
            found.insert(name, Fingerprint::of_file(&entry.path())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use xtask::models::{Model, Source};

    use super::*;

    fn model(source: Option<Source>, files: BTreeMap<String, ModelFile>) -> Model {
        Model {
            purpose: String::new(),
            origin: String::new(),
            licence: String::new(),
            terms: None,
            research_only: false,
            restriction: None,
            note: None,
            source,
            files,
        }
    }

    #[test]
    fn the_bundled_files_are_as_listed() {
        assert_eq!(differences(&models::folder()).unwrap(), Vec::<String>::new());
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
        let file = |size: u64, sha256: &str| ModelFile::known(Fingerprint { size, sha256: sha256.to_owned() });
        let files = [
            ("unet/same", file(3, abc)),
            ("unet/changed", file(3, "00")),
            ("unet/longer", file(2, abc)),
            ("unet/gone", file(3, abc)),
        ];
        let files = files.map(|(path, file)| (path.to_owned(), file)).into();
        let wheel = Source::Pypi { package: "p".to_owned(), version: "1".to_owned() };
        let fetched = model(Some(wheel), [("not/fetched/yet".to_owned(), ModelFile::default())].into());
        let bundled = model(None, files);
        let manifest = Manifest { models: [("m".to_owned(), bundled), ("fetched".to_owned(), fetched)].into() };
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
