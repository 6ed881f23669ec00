//! A model and what it likes.

use idembed_files::IoError;
use std::path::{Path, PathBuf};

use idembed_diffusion::ModelFiles;
use idembed_tokens::{LearnConfig, Method};

use crate::error::Result;
use crate::models;
use crate::settings::{LearnSettings, ModelSettings};

/// People of public life, whom Stable Diffusion read about.
const FAMOUS: &str = include_str!("../names.txt");

/// The class word of models that do not name another one.
pub(crate) const DEFAULT_CLASS: &str = "person";

/// A model, and what it likes.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name to write into files: that of the folder, or of the file without its ending.
    pub name: String,
    /// The folder, or the one that the file lies in.
    pub folder: PathBuf,
    /// Where its parts lie.
    pub files: ModelFiles,
    /// Its defaults; a model of one file brings none.
    pub settings: ModelSettings,
}

impl Model {
    /// Finds a model by its name in one of the [`models::roots`], or else by the path of its folder or file.
    ///
    /// # Errors
    /// There is no such model (the known names are listed), or its settings cannot be used.
    pub fn find(wanted: &str) -> Result<Model> {
        let roots = models::roots();
        let is_name = !wanted.is_empty() && !wanted.contains(['/', '\\']) && wanted != "." && wanted != "..";
        let named = roots.iter().filter(|_| is_name).find_map(|root| models::named(root, wanted));
        match named {
            Some(path) => Model::at(&path),
            None if !wanted.is_empty() && Path::new(wanted).exists() => Model::at(Path::new(wanted)),
            None => Err(models::unknown(wanted, &roots)),
        }
    }

    /// The model in a folder, whether it can be loaded or not, or in a file.
    ///
    /// # Errors
    /// There is nothing, the file is no checkpoint, or the model's settings cannot be used.
    pub fn at(path: &Path) -> Result<Model> {
        let path = path.canonicalize().map_err(IoError::reading(path))?;
        let files = ModelFiles::open(&path)?;
        let (folder, settings) = if path.is_dir() {
            let settings = ModelSettings::of_folder(&path)?;
            (path, settings)
        } else {
            (path.parent().map(Path::to_path_buf).unwrap_or_default(), ModelSettings::default())
        };
        Ok(Model { name: files.name(), folder, files, settings })
    }

    /// The method to learn somebody of a class with, where none is named: what suits the model best for its own class, the
    /// paper's for all others.
    pub fn usual_method(&self, class: Option<&str>) -> Method {
        let LearnSettings { method, wishes, .. } = &self.settings.learn;
        let own_class = wishes.class.as_deref().unwrap_or(DEFAULT_CLASS);
        method.filter(|_| class.is_none_or(|class| class == own_class)).unwrap_or_default()
    }

    /// The settings of a learning run that suit the model.
    pub fn learn_config(&self, name: &str, method: Method) -> LearnConfig {
        let LearnSettings { wishes, methods, .. } = &self.settings.learn;
        let config = LearnConfig::new(name, DEFAULT_CLASS, method).with(wishes);
        methods.get(&method).map_or(config.clone(), |own| config.with(own))
    }

    /// People whom it knows by name: those of its own list, or well-known ones.
    ///
    /// # Errors
    /// Its own list cannot be read.
    pub fn known_names(&self) -> Result<Vec<String>> {
        let text = match &self.settings.names {
            Some(file) => {
                let path = self.folder.join(file);
                std::fs::read_to_string(&path).map_err(IoError::reading(&path))?
            }
            None => FAMOUS.to_owned(),
        };
        Ok(text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn model(settings: &str) -> Model {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(crate::settings::FILE), settings).unwrap();
        Model::at(folder.path()).unwrap()
    }

    #[test]
    fn the_models_method_is_for_its_own_class() {
        let people = model(r#"{"learn": {"method": "celeb-basis"}}"#);
        assert_eq!([None, Some("person")].map(|class| people.usual_method(class)), [Method::CelebBasis; 2]);
        assert_eq!(people.usual_method(Some("cat")), Method::Sefi);
        let cats = model(r#"{"learn": {"method": "xti", "class": "cat"}}"#);
        assert_eq!([None, Some("cat")].map(|class| cats.usual_method(class)), [Method::Xti; 2]);
        assert_eq!(cats.usual_method(Some("person")), Method::Sefi);
        assert_eq!(model("{}").usual_method(None), Method::Sefi);
    }
}
