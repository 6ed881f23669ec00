//! `models/manifest.json`: every weight file, bundled or to be fetched: source, size, hash, licence.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::workspace;

/// The folder of the manifest and of the models' folders.
pub fn folder() -> PathBuf {
    workspace::root().join("models")
}

/// `manifest.json`: one entry for each folder of `models`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// By name, which is that of the folder.
    pub models: BTreeMap<String, Model>,
}

/// The weights of one network, or of several that belong together.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What it is for.
    pub purpose: String,
    /// Who made it, and from what.
    pub origin: String,
    /// The licence of the weights, by name.
    pub licence: String,
    /// Where the terms can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// Whether nothing but research is allowed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub research_only: bool,
    /// Why the user has to accept the terms first; none where everybody may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<String>,
    /// What else there is to know, such as where the sums are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where to fetch it; none for what is in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// By path below the model's folder, with `/`.
    pub files: BTreeMap<String, ModelFile>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Where the files of a model are offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Source {
    /// A repository of models at Hugging Face.
    HuggingFace {
        /// `owner/name`
        repository: String,
        /// A branch, a tag or a commit.
        revision: String,
    },
    /// The files attached to a release at GitHub.
    GithubRelease {
        /// `owner/name`
        repository: String,
        /// Of the release.
        tag: String,
    },
    /// A wheel of the Python package index.
    Pypi {
        /// Its name in the index.
        package: String,
        /// The exact one.
        version: String,
    },
    /// A source archive of the Python package index, for packages that are offered without a wheel. The files are made of
    /// the whole archive, whose name, size and sum they list.
    PypiSource {
        /// Its name in the index.
        package: String,
        /// The exact one.
        version: String,
    },
}

impl Display for Source {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace { repository, revision } => write!(formatter, "Hugging Face, {repository} at {revision}"),
            Self::GithubRelease { repository, tag } => write!(formatter, "GitHub, {repository} release {tag}"),
            Self::Pypi { package, version } | Self::PypiSource { package, version } => {
                write!(formatter, "PyPI, {package}=={version}")
            }
        }
    }
}

/// One file of a model. What is not known beforehand is left out, and recorded when the file is first fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its path at the source, where that is another one; a pickled file is converted to safetensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of the file as the source offers it, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of the file as the source offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the conversion makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted: Option<Fingerprint>,
}

impl ModelFile {
    /// A file whose size and sum are known.
    pub fn known(Fingerprint { size, sha256 }: Fingerprint) -> Self {
        Self { size: Some(size), sha256: Some(sha256), ..Self::default() }
    }

    /// Whether the source offers it as a pickle.
    pub fn is_pickled(&self) -> bool {
        self.from.as_deref().is_some_and(|from| from.ends_with(".pt") || from.ends_with(".pth"))
    }

    /// How `found`, which the source sent, differs from what is listed; none if it does not.
    pub fn difference(&self, found: &Fingerprint) -> Option<String> {
        match (self.size, &self.sha256) {
            (Some(size), _) if size != found.size => Some(format!("has {} bytes, listed {size}", found.size)),
            (_, Some(sha256)) if *sha256 != found.sha256 => {
                Some(format!("has sha256 {}, listed {sha256}", found.sha256))
            }
            _ => None,
        }
    }
}

impl Manifest {
    /// Reads `manifest.json` of the folder `models`.
    ///
    /// # Errors
    /// When it cannot be read or is no manifest.
    pub fn read(models: &Path) -> Result<Self> {
        let path = models.join("manifest.json");
        let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is no manifest", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<(String, Model)> {
        Manifest::read(&folder()).unwrap().models.into_iter().collect()
    }

    #[test]
    fn pickled_files_are_known_by_their_sums() {
        let mut count = 0;
        for (name, model) in entries() {
            for (path, file) in model.files.iter().filter(|(_, file)| file.is_pickled()) {
                assert!(file.sha256.is_some() && file.size.is_some(), "{name}/{path}");
                assert!(path.ends_with(".safetensors"), "{name}/{path}");
                count += 1;
            }
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn sums_and_paths_are_well_formed() {
        for (name, model) in entries() {
            assert!(!model.files.is_empty(), "{name}");
            for (path, file) in &model.files {
                let sums = file.sha256.iter().chain(file.converted.iter().map(|it| &it.sha256));
                for sum in sums {
                    assert!(
                        sum.len() == 64 && sum.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')),
                        "{name}/{path}"
                    );
                }
                let inside = |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
                assert!(inside(path) && file.from.as_deref().is_none_or(inside), "{name}/{path}");
            }
        }
    }

    #[test]
    fn what_is_bundled_is_free_and_what_is_for_research_says_so() {
        for (name, model) in entries() {
            assert!(model.source.is_some() || model.restriction.is_none(), "{name}");
            assert!(!model.research_only || model.restriction.is_some(), "{name}");
            assert!(model.restriction.is_none() || model.terms.is_some(), "{name}");
        }
    }

    #[test]
    fn only_what_is_listed_is_compared() {
        let found = Fingerprint::of_bytes(b"abc");
        assert_eq!(ModelFile::default().difference(&found), None);
        assert_eq!(ModelFile::known(found.clone()).difference(&found), None);
        let longer = ModelFile { size: Some(4), ..ModelFile::default() };
        assert_eq!(longer.difference(&found).as_deref(), Some("has 3 bytes, listed 4"));
        let other = ModelFile { sha256: Some("00".to_owned()), ..ModelFile::default() };
        assert_eq!(other.difference(&found), Some(format!("has sha256 {}, listed 00", found.sha256)));
    }
}
