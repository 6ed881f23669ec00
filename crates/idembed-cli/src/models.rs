//! Finding models: by name in a `models` folder, or by path.

use std::path::{Path, PathBuf};

use anyhow::Context;
use idembed_diffusion::schedulers::PredictionType;

use crate::failure::Hinted;
use crate::settings::ModelSettings;

/// The model that is used if none is named.
pub(crate) const DEFAULT: &str = "mini";
/// The environment variable that names a folder of models.
const VARIABLE: &str = "IDEMBED_MODELS";
/// The repository's own models, for a program that runs where it was built.
const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
/// Every model folder in diffusers layout has this file.
pub(crate) const INDEX: &str = "model_index.json";

/// A model folder, and what it likes.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The name to write into files: that of the folder.
    pub(crate) name: String,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Its defaults.
    pub(crate) settings: ModelSettings,
    /// What its U-Net predicts, where the user knows better than the scheduler's file.
    pub(crate) prediction: Option<PredictionType>,
}

impl Model {
    /// Finds a model by its name in one of the [`roots`], or else by the path of its folder.
    ///
    /// # Errors
    /// There is no such model (the known names are listed), or its settings cannot be used.
    pub(crate) fn find(wanted: &str) -> anyhow::Result<Model> {
        let roots = roots();
        let is_name = !wanted.is_empty() && !wanted.contains(['/', '\\']) && wanted != "." && wanted != "..";
        let named = roots.iter().map(|root| root.join(wanted)).find(|folder| is_name && is_model(folder));
        let folder = match named {
            Some(folder) => folder,
            None if Path::new(wanted).is_dir() => PathBuf::from(wanted),
            None => return Err(unknown(wanted, &roots)),
        };
        Model::at(folder)
    }

    /// The model in a folder, whether it can be loaded or not.
    pub(crate) fn at(folder: PathBuf) -> anyhow::Result<Model> {
        let folder = folder.canonicalize().with_context(|| format!("cannot open `{}`", folder.display()))?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let settings = ModelSettings::of_folder(&folder)?;
        Ok(Model { name, folder, settings, prediction: None })
    }
}

/// The folders of models, the first that knows a name wins: `$IDEMBED_MODELS`, the nearest `models` folder from here
/// upwards, the repository that this program was built in.
pub(crate) fn roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    roots.extend(std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Ok(here) = std::env::current_dir() {
        roots.extend(here.ancestors().map(|folder| folder.join("models")).find(|folder| !names(folder).is_empty()));
    }
    roots.push(PathBuf::from(BUILT_IN));
    let mut known: Vec<PathBuf> = Vec::new();
    for root in roots {
        let Ok(root) = root.canonicalize() else { continue };
        if root.is_dir() && !known.contains(&root) {
            known.push(root);
        }
    }
    known
}

/// The names of the models in a folder, in order.
pub(crate) fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let models = entries.filter(|entry| is_model(&entry.path()));
    let mut names: Vec<String> = models.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The folder `name` in one of the [`roots`] that holds `file`: weights that are no Stable Diffusion.
pub(crate) fn weights(name: &str, file: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && Path::new(name).file_name() == Some(name.as_ref());
    let folders = roots().into_iter().map(|root| root.join(name));
    folders.into_iter().find(|folder| is_name && folder.join(file).is_file())
}

fn is_model(folder: &Path) -> bool {
    folder.join(INDEX).is_file()
}

fn unknown(wanted: &str, roots: &[PathBuf]) -> anyhow::Error {
    let mut names: Vec<String> = roots.iter().flat_map(|root| names(root)).collect();
    names.sort();
    names.dedup();
    let known = if names.is_empty() {
        format!("no model was found; set {VARIABLE} to a folder that holds model folders")
    } else {
        format!("the models found are: {}; a folder in diffusers layout can be given by its path", names.join(", "))
    };
    Hinted::new(format!("there is no model `{wanted}`, neither by this name nor as a folder"), known).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_found_by_name_and_by_path() {
        let by_name = Model::find(DEFAULT).unwrap();
        assert_eq!(by_name.name, DEFAULT);
        let by_path = Model::find(&by_name.folder.to_string_lossy()).unwrap();
        assert_eq!((by_path.name, by_path.folder), (by_name.name, by_name.folder));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        for wanted in ["no-such-model", "", "/no/such/folder"] {
            let error = crate::failure::render(&Model::find(wanted).unwrap_err());
            assert!(error.contains(&format!("`{wanted}`")) && error.contains("mini"), "{error}");
        }
    }
}
