//! What to fetch, from where, and whether its terms are accepted.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, ensure};
use xtask::hint::Hinted;
use xtask::models::{Manifest, Model, Source};

use crate::record::Record;

/// The models to fetch, in order.
pub(crate) struct Plan<'a> {
    /// Each with its source.
    pub(crate) wanted: Vec<Wanted<'a>>,
    /// Those whose terms the user has not accepted by fetching them before.
    restricted: Vec<(&'a str, &'a Model)>,
}

/// One model to fetch.
pub(crate) struct Wanted<'a> {
    /// Its name in the manifest.
    pub(crate) name: &'a str,
    /// Its entry there.
    pub(crate) model: &'a Model,
    /// The source there, or the user's own.
    pub(crate) source: Source,
}

/// A repository at Hugging Face, as the user names it: `OWNER/NAME` or `OWNER/NAME@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HubCopy {
    repository: String,
    revision: String,
}

impl FromStr for HubCopy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let is_name = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(fits) && !part.starts_with('.')
        };
        match repository.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if is_name(owner) && is_name(name) && !revision.is_empty() => {
                Ok(Self { repository: repository.to_owned(), revision: revision.to_owned() })
            }
            _ => Err("expected OWNER/NAME or OWNER/NAME@REVISION".to_owned()),
        }
    }
}

impl<'a> Plan<'a> {
    /// Looks the names up; no name means every model that can be fetched.
    ///
    /// # Errors
    /// When a name is unknown or bundled, or a copy is named for what is no single model of Hugging Face.
    pub(crate) fn new(manifest: &'a Manifest, models: &Path, names: &[String], copy: Option<&HubCopy>) -> Result<Self> {
        ensure!(copy.is_none() || names.len() == 1, "--repo names a copy of one model; name just that model");
        let mut plan = Self { wanted: Vec::new(), restricted: Vec::new() };
        if names.is_empty() {
            for (name, model) in &manifest.models {
                if let Some(source) = &model.source {
                    plan.push(models, name, model, source.clone());
                }
            }
        }
        for name in names {
            let Some((name, model)) = manifest.models.get_key_value(name) else {
                return Err(unknown(name));
            };
            match (&model.source, copy) {
                (None, _) => eprintln!("`{name}` is a part of the repository, there is nothing to fetch"),
                (Some(source), None) => plan.push(models, name, model, source.clone()),
                (Some(Source::HuggingFace { .. }), Some(copy)) => {
                    let HubCopy { repository, revision } = copy.clone();
                    plan.push(models, name, model, Source::HuggingFace { repository, revision });
                }
                (Some(source), Some(_)) => {
                    let message = format!("`{name}` does not come from Hugging Face, but from {source}");
                    return Err(Hinted::new(message, "leave --repo out").into());
                }
            }
        }
        Ok(plan)
    }

    fn push(&mut self, models: &Path, name: &'a str, model: &'a Model, source: Source) {
        self.wanted.push(Wanted { name, model, source });
        if model.restriction.is_some() && !Record::read(&models.join(name)).covers(model) {
            self.restricted.push((name, model));
        }
    }

    /// Shows the terms of what may not be used freely.
    ///
    /// # Errors
    /// When there is such a model and the user does not say that the terms are accepted.
    pub(crate) fn require_acceptance(&self, accepted: bool) -> Result<()> {
        for (name, model) in &self.restricted {
            let only = if model.research_only { "; for research only" } else { "" };
            eprintln!("{name}: {}{only}", model.licence);
            for (label, text) in [("why", &model.restriction), ("terms", &model.terms)] {
                eprintln!("  {label}: {}", text.as_deref().unwrap_or_default());
            }
        }
        if accepted || self.restricted.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.restricted.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!("not everybody may use {} for everything", names.join(", "));
        let hint = "read the terms above; if you accept them, run the same command with --accept-licence";
        Err(Hinted::new(message, hint).into())
    }
}

fn unknown(name: &str) -> anyhow::Error {
    Hinted::new(format!("the manifest names no model `{name}`"), "`cargo xtask download --list` shows all names").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_an_owner_and_a_name() {
        let copy: HubCopy = "some-one/sd_2.1".parse().unwrap();
        assert_eq!((copy.repository.as_str(), copy.revision.as_str()), ("some-one/sd_2.1", "main"));
        let copy: HubCopy = "a/b@refs/pr/3".parse().unwrap();
        assert_eq!((copy.repository.as_str(), copy.revision.as_str()), ("a/b", "refs/pr/3"));
        for text in ["", "a", "a/", "/b", "a/b/c", "a/b@", "../b", "a b/c", "https://huggingface.co/a/b"] {
            assert!(text.parse::<HubCopy>().is_err(), "{text}");
        }
    }
}
