//! One model into its folder: what is there is checked, what is missing is fetched, converted and put in its place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use indicatif::BinaryBytes;
use xtask::fingerprint::Fingerprint;
use xtask::hint::Hinted;
use xtask::models::{Model, ModelFile, Source};
use xtask::{atomic, disk, lock, pickle, pypi};

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::plan::Wanted;
use crate::record::Record;
use crate::transfer::{discard_partial, fetch, partial_path};

/// Fetches models into the folder `models`.
pub(crate) struct Installer<'a> {
    models: &'a Path,
    endpoints: Endpoints,
    client: Client,
}

impl<'a> Installer<'a> {
    /// # Errors
    /// When the certificates that the user names cannot be read.
    pub(crate) fn new(models: &'a Path, endpoints: Endpoints) -> Result<Self> {
        Ok(Self { models, endpoints, client: Client::new()? })
    }

    /// Brings one model; another process that brings the same one is waited for.
    ///
    /// # Errors
    /// When the source, the network or the disk fails, or a file is not the one that was expected. Finished files stay.
    pub(crate) fn install(&self, wanted: &Wanted<'_>) -> Result<()> {
        let folder = self.models.join(wanted.name);
        if matches!(wanted.source, Source::Pypi { .. } | Source::PypiSource { .. }) {
            pypi::install(self.models, wanted.name)?;
        } else {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
            let _lock = lock::take(&folder.join("download.lock"))?;
            self.complete(wanted, &folder)
                .map_err(|error| disk::explain(error, &folder))
                .with_context(|| format!("cannot fetch {} from {}", wanted.name, wanted.source))?;
        }
        eprintln!("{} is ready in `{}`", wanted.name, folder.display());
        Ok(())
    }

    fn complete(&self, wanted: &Wanted<'_>, folder: &Path) -> Result<()> {
        let mut record = Record::read(folder);
        let missing = missing(wanted.model, folder, &record)?;
        let known: u64 = missing.iter().filter_map(|(path, file)| remaining(&folder.join(path), file)).sum();
        disk::require(folder, known, wanted.name)?;
        if let Some(note) = wanted.model.note.as_ref().filter(|_| !missing.is_empty()) {
            eprintln!("note on {}: {note}", wanted.name);
        }
        for (path, listed) in missing {
            let expected = record.expected(path, listed);
            self.bring(wanted, folder, path, &expected, &mut record)?;
        }
        Ok(())
    }

    /// Brings one file.
    fn bring(
        &self,
        wanted: &Wanted<'_>,
        folder: &Path,
        path: &str,
        expected: &ModelFile,
        record: &mut Record,
    ) -> Result<()> {
        let place = folder.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make the folder `{}`", parent.display()))?;
        }
        let from = expected.from.as_deref().unwrap_or(path);
        ensure!(!expected.is_pickled() || expected.sha256.is_some(), "`{from}` is a pickle without a known sum");
        let size = expected.size.map_or_else(String::new, |size| format!(" ({})", BinaryBytes(size)));
        eprintln!("{}/{path}{size}", wanted.name);
        let (sent, received) = match self.take_cached(&wanted.source, from, &place, expected)? {
            Some(taken) => taken,
            None => {
                let request = self.endpoints.request(&wanted.source, from).context("this source needs pip")?;
                (fetch(&self.client, &request, &place, expected)?, partial_path(&place))
            }
        };
        if expected.sha256.is_none() {
            eprintln!("  nobody vouches for this file: its sum {} is recorded, not compared", sent.sha256);
        }
        if expected.is_pickled() {
            let bytes = pickle::to_safetensors(&received)?;
            let converted = Fingerprint::of_bytes(&bytes);
            record.note(folder, &wanted.source, path, sent, Some(converted))?;
            atomic::write(&place, &bytes)?;
            fs::remove_file(&received).with_context(|| format!("cannot remove `{}`", received.display()))?;
        } else {
            // What is renamed must be on the disk, or a crash could leave an empty file under the final name.
            let synced = File::open(&received).and_then(|file| file.sync_all());
            synced.with_context(|| format!("cannot write `{}`", received.display()))?;
            record.note(folder, &wanted.source, path, sent, None)?;
            fs::rename(&received, &place).with_context(|| format!("cannot write `{}`", place.display()))?;
        }
        discard_partial(&place)
    }

    /// Takes the file from the cache of Hugging Face's programs, if it is there and as expected; tells where it lies.
    fn take_cached(
        &self,
        source: &Source,
        from: &str,
        place: &Path,
        expected: &ModelFile,
    ) -> Result<Option<(Fingerprint, PathBuf)>> {
        let Some(cached) = self.endpoints.cached(source, from) else { return Ok(None) };
        let found = Fingerprint::of_file(&cached)?;
        if let Some(difference) = expected.difference(&found) {
            eprintln!("  not taken from the cache: `{}` {difference}", cached.display());
            return Ok(None);
        }
        // Not the name of an unfinished transfer: that may be written to, and this is the cache's own file.
        let received = place.with_added_extension("cached");
        let _ = fs::remove_file(&received);
        // A second name for the same bytes costs no space; where that is not possible, they are copied.
        let blob = cached.canonicalize().unwrap_or_else(|_| cached.clone());
        fs::hard_link(&blob, &received)
            .or_else(|_| fs::copy(&blob, &received).map(|_| ()))
            .with_context(|| format!("cannot copy `{}`", cached.display()))?;
        eprintln!("  taken from the cache `{}`", cached.display());
        Ok(Some((found, received)))
    }
}

/// The files that are not there. The model's index comes last: without it the folder does not count as a model yet.
fn missing<'m>(model: &'m Model, folder: &Path, record: &Record) -> Result<Vec<(&'m str, &'m ModelFile)>> {
    let mut missing = Vec::new();
    for (path, listed) in &model.files {
        let place = folder.join(path);
        if !place.exists() {
            missing.push((path.as_str(), listed));
        } else if !is_right(listed, record.get(path), &Fingerprint::of_file(&place)?) {
            let message = format!("`{}` is there, but is not a file that this command fetched", place.display());
            return Err(Hinted::new(message, "move it away and run the same command again").into());
        }
    }
    missing.sort_by_key(|(path, _)| *path == "model_index.json");
    Ok(missing)
}

/// Whether `found`, under its final name, is what the manifest and the record of its download say.
fn is_right(listed: &ModelFile, recorded: Option<&ModelFile>, found: &Fingerprint) -> bool {
    let as_placed = |file: &ModelFile| match &file.converted {
        Some(converted) => converted == found,
        None => !file.is_pickled() && file.sha256.is_some() && file.difference(found).is_none(),
    };
    match recorded {
        Some(recorded) => as_placed(recorded) && (listed.is_pickled() || listed.difference(found).is_none()),
        None => as_placed(listed),
    }
}

/// How many bytes are still to be written for a file, where its size is known.
fn remaining(place: &Path, file: &ModelFile) -> Option<u64> {
    let received = fs::metadata(partial_path(place)).map_or(0, |it| it.len());
    let converted = if file.is_pickled() { file.size? } else { 0 };
    Some(file.size?.saturating_sub(received) + converted)
}
