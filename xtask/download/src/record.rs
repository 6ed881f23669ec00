//! `download.json` beside the files of a model: where they came from, and what they were.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use xtask::fingerprint::Fingerprint;
use xtask::models::{Model, ModelFile, Source};
use xtask::stamp;

/// The manifest's entries of the files that were fetched, with what it did not know filled in.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Record {
    source: Option<Source>,
    files: BTreeMap<String, ModelFile>,
}

impl Record {
    /// The record of a model's folder; a missing one is empty.
    pub(crate) fn read(folder: &Path) -> Self {
        stamp::read(&folder.join("download.json")).unwrap_or_default()
    }

    /// Whether every file of the model was fetched.
    pub(crate) fn covers(&self, model: &Model) -> bool {
        model.files.keys().all(|path| self.files.contains_key(path))
    }

    /// What was fetched as `path`.
    pub(crate) fn get(&self, path: &str) -> Option<&ModelFile> {
        self.files.get(path)
    }

    /// What the next file at `path` must be: as listed, and where nothing is listed, as it was the last time.
    pub(crate) fn expected(&self, path: &str, listed: &ModelFile) -> ModelFile {
        let mut expected = listed.clone();
        if let Some(before) = self.files.get(path).filter(|_| listed.sha256.is_none()) {
            expected.size = expected.size.or(before.size);
            expected.sha256.clone_from(&before.sha256);
        }
        expected
    }

    /// Notes a file, before it is put in its place: what lies there is then always known.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn note(
        &mut self,
        folder: &Path,
        source: &Source,
        path: &str,
        sent: Fingerprint,
        converted: Option<Fingerprint>,
    ) -> Result<()> {
        let file = ModelFile { converted, ..ModelFile::known(sent) };
        self.source = Some(source.clone());
        self.files.insert(path.to_owned(), file);
        stamp::write(&folder.join("download.json"), self)
    }
}
