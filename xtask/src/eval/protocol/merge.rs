//! Bringing the units of several folders together into one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::record::{self, PICTURES, REFERENCES, RUN, Run};
use super::units::Unit;
use crate::atomic;
use crate::hint::Hinted;

/// Copies what is finished in the folders of `sources` into `out`, which may be one of them or hold a part of the run.
/// All conflicts are found before anything is copied.
///
/// # Errors
/// When a source has no run, two are of different runs or hold different pictures of the same unit, or the disk fails.
pub(crate) fn merge(sources: &[PathBuf], out: &Path) -> Result<()> {
    let mut folders: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
    if out.join(RUN).exists() && !folders.iter().any(|folder| same(folder, out)) {
        folders.push(out);
    }
    let Some((first, rest)) = folders.split_first() else { bail!("there is nothing to merge") };
    let run = Run::read(first)?;
    for other in rest {
        Run::read(other)?;
        agree(first, other, RUN)?;
    }
    let references: Vec<&Path> = folders.iter().copied().filter(|folder| folder.join(REFERENCES).exists()).collect();
    for pair in references.windows(2) {
        agree(pair[0], pair[1], REFERENCES)?;
    }
    let chosen = chosen_units(&run, &folders)?;

    let context = || format!("cannot make the folder `{}`", out.display());
    fs::create_dir_all(out).with_context(context)?;
    copy_file(first, out, RUN)?;
    if let Some(folder) = references.first() {
        copy_file(folder, out, REFERENCES)?;
    }
    for (unit, target) in chosen.iter().zip(Unit::all(&run, out)) {
        if let Some(unit) = unit.as_ref().filter(|unit| !same(&unit.folder, &target.folder)) {
            bring(&unit.folder, &target.folder)?;
        }
    }
    Ok(())
}

/// Of each unit of the run the first finished one; none where no folder has it finished.
fn chosen_units(run: &Run, folders: &[&Path]) -> Result<Vec<Option<Unit>>> {
    let mut chosen: Vec<Option<Unit>> = Unit::all(run, Path::new("")).iter().map(|_| None).collect();
    for folder in folders {
        for (chosen, unit) in chosen.iter_mut().zip(Unit::all(run, folder)) {
            if !unit.is_finished() {
                continue;
            }
            match chosen {
                None => *chosen = Some(unit),
                Some(first) if contents(&first.folder.join(PICTURES))? != contents(&unit.folder.join(PICTURES))? => {
                    let message = format!(
                        "`{}` and `{}` hold different pictures of {}",
                        first.folder.display(),
                        unit.folder.display(),
                        unit.name
                    );
                    let hint = "remove the one that should not count, or merge without its folder";
                    return Err(Hinted::new(message, hint).into());
                }
                Some(_) => {}
            }
        }
    }
    Ok(chosen)
}

/// Whether the JSON files of this name in two folders say the same.
fn agree(first: &Path, second: &Path, name: &str) -> Result<()> {
    let (first, second) = (first.join(name), second.join(name));
    let (one, other): (Value, Value) = (record::read(&first)?, record::read(&second)?);
    if one == other {
        return Ok(());
    }
    let keys = |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut differing: Vec<String> = keys(&one).into_iter().chain(keys(&other)).collect();
    differing.retain(|key| one.get(key) != other.get(key));
    differing.sort();
    differing.dedup();
    let message = format!(
        "`{}` and `{}` are not of the same run: they differ in {}",
        first.display(),
        second.display(),
        differing.join(", ")
    );
    Err(Hinted::new(message, "only parts of one evaluation, made by the same command, can be merged").into())
}

/// Copies a unit beside its place, then renames it there: a unit is whole or not there.
fn bring(from: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("part");
    remove(&beside)?;
    copy_folder(from, &beside)?;
    remove(to)?;
    fs::rename(&beside, to).with_context(|| format!("cannot write `{}`", to.display()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
    fs::create_dir_all(to).with_context(context)?;
    for entry in fs::read_dir(from).with_context(context)? {
        let entry = entry.with_context(context)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(context)?;
        }
    }
    Ok(())
}

/// Copies the file of this name from one folder to another, unless they are the same.
fn copy_file(from: &Path, to: &Path, name: &str) -> Result<()> {
    if same(from, to) {
        return Ok(());
    }
    atomic::write(&to.join(name), &contents(&from.join(name))?)
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Whether two paths lead to the same folder.
fn same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
