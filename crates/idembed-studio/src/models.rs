//! Finding models: by name in a `models` folder, or by path.

use std::path::{Component, Path, PathBuf};

use crate::error::StudioError;

/// The model that is used if none is named.
pub const DEFAULT: &str = "mini";
/// The environment variable that names a folder of models.
pub const VARIABLE: &str = "IDEMBED_MODELS";
/// The name of a folder of models.
const FOLDER: &str = "models";
/// The face detector's folder below a folder of models.
pub const DETECTOR: &str = "mtcnn";
/// The face parsing network's, likewise.
pub const PARSER: &str = "bisenet";
/// The ending of checkpoints in one file.
const CHECKPOINT: &str = "safetensors";
/// Every folder of one network in diffusers layout has this file.
const CONFIG: &str = "config.json";
/// Every model folder in diffusers layout has this file.
pub const INDEX: &str = "model_index.json";

/// A network beside Stable Diffusion that some work needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The face detector.
    Detector,
    /// The network that tells the parts of a face from each other.
    Parser,
    /// A face recognition network.
    Recogniser,
    /// A CLIP, which tells how well pictures follow their prompts.
    Clip,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Detector => "the face detector (mtcnn)",
            Part::Parser => "the face parsing network (bisenet)",
            Part::Recogniser => "a face recognition network",
            Part::Clip => "a CLIP, to compare pictures with their prompts (clip-vit-b-32)",
        })
    }
}

/// The folders of models, the first that knows a name wins: `$IDEMBED_MODELS`, the nearest `models` folder from the working
/// folder upwards, the nearest from the program upwards.
pub fn roots() -> Vec<PathBuf> {
    let nearest = |from: &Path| from.ancestors().map(|folder| folder.join(FOLDER)).find(|it| !names(it).is_empty());
    let mut roots = Vec::new();
    roots.extend(std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    roots.extend(std::env::current_dir().ok().and_then(|here| nearest(&here)));
    roots.extend(std::env::current_exe().ok().and_then(|program| nearest(&program)));
    let mut known: Vec<PathBuf> = Vec::new();
    for root in roots {
        let Ok(root) = root.canonicalize() else { continue };
        if root.is_dir() && !known.contains(&root) {
            known.push(root);
        }
    }
    known
}

/// The names of the models in a folder, in order: those of folders in diffusers layout, and of checkpoints in one file
/// without their ending.
pub fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let models = entries.filter_map(|entry| {
        let path = entry.path();
        let is_file = path.extension().is_some_and(|ending| ending == CHECKPOINT) && path.is_file();
        let name = if is_file { path.file_stem() } else { path.file_name().filter(|_| is_model(&path)) };
        name.map(|name| name.to_string_lossy().into_owned())
    });
    let mut names: Vec<String> = models.collect();
    names.sort();
    names.dedup();
    names
}

/// The model of a name in a folder of models: a folder, or a checkpoint in one file.
pub fn named(root: &Path, name: &str) -> Option<PathBuf> {
    let folder = root.join(name);
    if is_model(&folder) {
        return Some(folder);
    }
    Some(root.join(format!("{name}.{CHECKPOINT}"))).filter(|file| file.is_file())
}

/// The folder `name` in one of the [`roots`] that holds `file`: weights that are no Stable Diffusion.
pub fn weights(name: &str, file: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && Path::new(name).file_name() == Some(name.as_ref());
    let folders = roots().into_iter().map(|root| root.join(name));
    folders.into_iter().find(|folder| is_name && folder.join(file).is_file())
}

/// The ControlNet that `wanted` names: a folder or file; or, by its name, one in the folder of the model that it steers or in
/// one of the [`roots`], of a file without its ending too.
pub(crate) fn control_net(wanted: &Path, model: &Path) -> Option<PathBuf> {
    if wanted.exists() {
        return Some(wanted.to_owned());
    }
    let is_name = wanted.components().all(|part| matches!(part, Component::Normal(_)));
    let name = wanted.to_str().filter(|name| is_name && !name.is_empty())?;
    let in_folder = |folder: PathBuf| {
        let files = [format!("{name}.{CHECKPOINT}"), name.to_owned()].map(|file| folder.join(file));
        let network = Some(folder.join(name)).filter(|network| network.join(CONFIG).is_file());
        network.or_else(|| files.into_iter().find(|file| file.is_file()))
    };
    std::iter::once(model.to_owned()).chain(roots()).find_map(in_folder)
}

fn is_model(folder: &Path) -> bool {
    folder.join(INDEX).is_file()
}

pub(crate) fn unknown(wanted: &str, roots: &[PathBuf]) -> StudioError {
    let mut known: Vec<String> = roots.iter().flat_map(|root| names(root)).collect();
    known.sort();
    known.dedup();
    StudioError::NoModel { wanted: wanted.to_owned(), known }
}

/// The weight file that `wanted` names: a file, or the name of a folder below `models` with `model.safetensors` in it.
pub(crate) fn network_file(wanted: &str) -> Option<PathBuf> {
    const FILE: &str = "model.safetensors";
    let path = Path::new(wanted);
    if path.is_file() {
        return Some(path.to_owned());
    }
    weights(wanted, FILE).map(|folder| folder.join(FILE))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::Model;

    #[test]
    fn the_bundled_model_is_found_by_name_and_by_path() {
        let by_name = Model::find(DEFAULT).unwrap();
        assert_eq!(by_name.name, DEFAULT);
        let by_path = Model::find(&by_name.folder.to_string_lossy()).unwrap();
        assert_eq!((by_path.name, by_path.folder), (by_name.name, by_name.folder));
    }

    #[test]
    fn a_control_net_is_found_by_path_in_its_model_and_among_the_models() {
        let model = Model::find(DEFAULT).unwrap().folder;
        let found = |wanted: &str| control_net(Path::new(wanted), &model);
        let bundled = found("controlnet").unwrap();
        assert_eq!(bundled, model.join("controlnet"));
        assert_eq!(found(bundled.to_str().unwrap()).unwrap(), bundled);
        assert_eq!(found(&format!("{DEFAULT}/controlnet")).unwrap(), bundled);

        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("lines.safetensors"), "").unwrap();
        for wanted in ["lines", "lines.safetensors"] {
            assert_eq!(control_net(wanted.as_ref(), place.path()), Some(place.path().join("lines.safetensors")));
        }
        for wanted in ["", ".", "no-such-net", "../mini/controlnet", "/no/such/net", "portraits"] {
            assert_eq!(found(wanted), Some(wanted).filter(|it| *it == ".").map(PathBuf::from), "{wanted}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        for wanted in ["no-such-model", "", "/no/such/folder"] {
            let error = Model::find(wanted).unwrap_err();
            let StudioError::NoModel { wanted: named, known } = error else { panic!("{error}") };
            assert!(named == wanted && known.contains(&DEFAULT.to_owned()), "{known:?}");
        }
    }
}
