//! What the face recogniser is compared with on real photos: dlib's own files of it, and the photos that `face_recognition`
//! tests itself with, both taken out of source archives into `.python/faces`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xtask::dlib;
use xtask::models::{Manifest, Source};
use xtask::source_archive::SourceArchive;

use crate::python::Python;
use crate::{atomic, lock, models, stamp, wheel, workspace};

/// The recogniser, by its name in the manifest.
pub(crate) const RECOGNISER: &str = "dlib-face";

/// Where the photos are.
const PHOTOS: SourceArchive<'_> = SourceArchive {
    package: "face_recognition",
    version: "1.3.0",
    sha256: "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
};

/// The folder with `weights` and `photos`, made first when it is missing.
///
/// # Errors
/// When pip, the network or the disk fails.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = workspace::root().join(".python/faces");
    let manifest = Manifest::read(&models::folder())?;
    let model = manifest.models.get(RECOGNISER).context("the manifest does not name the recogniser")?;
    let Some(Source::PypiSource { package, version }) = &model.source else {
        bail!("the recogniser does not come from a source archive");
    };
    let sha256 =
        model.files.values().find_map(|file| file.sha256.as_deref()).context("the archive's sum is missing")?;
    let weights = SourceArchive { package, version, sha256 };
    let wanted = [sha256, PHOTOS.sha256].map(str::to_owned);
    let vouched = folder.join("unpacked.json");
    let is_there = || stamp::read::<[String; 2]>(&vouched).as_ref() == Some(&wanted);
    if is_there() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let _lock = lock::take(&folder.join("lock"))?;
    if !is_there() {
        unpack(&weights, dlib::is_known, &folder.join("weights"))?;
        unpack(&PHOTOS, |path| path.starts_with("tests/test_images/"), &folder.join("photos"))?;
        stamp::write(&vouched, &wanted)?;
    }
    Ok(folder)
}

/// Puts some files of an archive into a folder.
fn unpack(archive: &SourceArchive<'_>, wanted: impl Fn(&str) -> bool, folder: &Path) -> Result<()> {
    let cache = wheel::cache()?;
    if archive.cached(&cache).is_none() {
        archive.fetch(&Python::find()?, &cache)?;
    }
    let path = archive.cached(&cache).with_context(|| format!("the source of {} is gone", archive.package))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let files = archive.read(&path, wanted)?;
    ensure!(!files.is_empty(), "`{}` does not hold what is looked for", path.display());
    for (path, bytes) in files {
        let name = path.rsplit('/').next().unwrap_or_default();
        atomic::write(&folder.join(name), &bytes)?;
    }
    Ok(())
}
