//! What a model likes: its defaults, in `idembed.json` beside its `model_index.json`.
//!
//! No number that suits one model is in the code; a folder without the file gets what suits most.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idembed_diffusion::TextToImage;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_tokens::{LearnConfig, LearnWishes, Method, TokensError};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Result, StudioError};

/// The file's name.
pub const FILE: &str = "idembed.json";

/// Defaults for one model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Guidance scale.
    pub guidance: f64,
    /// Denoising steps.
    pub steps: usize,
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// Pictures drawn at the same time.
    pub batch: usize,
    /// For learning.
    pub learn: LearnSettings,
    /// A file below the model's folder with people whom it knows by name, a line for each; those that Stable Diffusion knows
    /// if `None`.
    pub names: Option<PathBuf>,
    /// For the demonstration, where the model brings a portrait.
    pub demo: Option<DemoSettings>,
    /// For evaluations, where the model brings people and networks of its own.
    pub evaluation: EvaluationSettings,
    /// What to know before a photo is learned with it, a sentence about the model without its subject.
    pub note: Option<String>,
}

impl Default for ModelSettings {
    fn default() -> ModelSettings {
        ModelSettings {
            guidance: TextToImage::USUAL_GUIDANCE,
            steps: TextToImage::USUAL_STEPS,
            scheduler: TextToImage::USUAL_SCHEDULER,
            batch: 1,
            learn: LearnSettings::default(),
            names: None,
            demo: None,
            evaluation: EvaluationSettings::default(),
            note: None,
        }
    }
}

/// Defaults for learning.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct LearnSettings {
    /// The method with which a person is learned best; the paper's if `None`.
    pub method: Option<Method>,
    /// What suits the model better than the general settings.
    pub wishes: LearnWishes,
    /// What of a method's own recipe suits it better otherwise; these win over `wishes`.
    pub methods: BTreeMap<Method, LearnWishes>,
    /// Prompts for the report, `{}` standing for the identity.
    pub prompts: Vec<String>,
}

impl Default for LearnSettings {
    fn default() -> LearnSettings {
        let prompts =
            ["a photo of {}", "a photo of {} at the beach", "a photo of {} wearing sunglasses", "a sketch of {}"];
        LearnSettings {
            method: None,
            wishes: LearnWishes::default(),
            methods: BTreeMap::new(),
            prompts: prompts.map(str::to_owned).to_vec(),
        }
    }
}

impl TryFrom<Map<String, Value>> for LearnSettings {
    type Error = serde_json::Error;

    /// The method, the wishes, those of methods and the prompts stand beside each other; no other key may.
    fn try_from(mut keys: Map<String, Value>) -> std::result::Result<Self, serde_json::Error> {
        let prompts = keys.remove("prompts").map(serde_json::from_value).transpose()?;
        let methods = keys.remove("methods").map(serde_json::from_value).transpose()?.unwrap_or_default();
        let method = keys.remove("method").map(serde_json::from_value).transpose()?;
        let wishes = serde_json::from_value(Value::Object(keys))?;
        Ok(LearnSettings {
            method,
            wishes,
            methods,
            prompts: prompts.unwrap_or_else(|| LearnSettings::default().prompts),
        })
    }
}

/// What a demonstration shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoSettings {
    /// The portrait, a path below the model's folder.
    pub photo: PathBuf,
    /// Where the face is in it, to measure leakage.
    pub mask: Option<PathBuf>,
    /// What to call the identity.
    pub name: String,
    /// The scenes to draw.
    pub scenes: Vec<Scene>,
}

/// One prompt of the demonstration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// What stands above its pictures.
    pub label: String,
    /// The prompt, with one `{}` for the identity or the class word.
    pub prompt: String,
    /// The pictures' seed.
    pub seed: u64,
}

/// What an evaluation of the model looks at and looks with; all paths are below the model's folder.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSettings {
    /// People whom the model has never seen.
    pub people: Vec<PersonSettings>,
    /// The folder of a CLIP that knows its words.
    pub clip: Option<PathBuf>,
    /// The folder of a judge of its pictures.
    pub judge: Option<PathBuf>,
}

/// Somebody to learn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSettings {
    /// What to call them.
    pub name: String,
    /// The photo to learn from, as it is.
    pub photo: PathBuf,
    /// Where the face is in it.
    pub mask: Option<PathBuf>,
    /// Other pictures of them.
    pub others: Vec<PathBuf>,
}

impl ModelSettings {
    /// Reads a model folder's own settings, or gives the general ones.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn of_folder(folder: &Path) -> Result<ModelSettings> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(ModelSettings::default());
        }
        let read = || -> std::result::Result<ModelSettings, SettingsError> {
            let settings: ModelSettings = serde_json::from_slice(&std::fs::read(&path)?)?;
            settings.check()?;
            Ok(settings)
        };
        read().map_err(|source| StudioError::Settings { path: path.clone(), source: Box::new(source) })
    }

    fn check(&self) -> std::result::Result<(), SettingsError> {
        let scenes = self.demo.iter().flat_map(|demo| &demo.scenes).map(|scene| &scene.prompt);
        let mut prompts = self.learn.prompts.iter().chain(scenes);
        LearnConfig::new("me", "person", Method::default()).with(&self.learn.wishes).check()?;
        for (method, wishes) in &self.learn.methods {
            LearnConfig::new("me", "person", *method).with(&self.learn.wishes).with(wishes).check()?;
        }
        let checks = [
            (self.guidance.is_finite() && self.guidance >= 0.0, "guidance must be 0 or more"),
            (self.steps >= 1 && self.batch >= 1, "steps and batch must be 1 or more"),
            (prompts.all(|prompt| prompt.matches("{}").count() == 1), "each prompt must have one {}"),
        ];
        match checks.into_iter().find(|(right, _)| !right) {
            Some((_, what)) => Err(SettingsError::Value(what)),
            None => Ok(()),
        }
    }
}

/// What can be wrong with a model's own settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// It is no JSON, or has keys or values that are not known.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A setting for learning is out of its range.
    #[error(transparent)]
    Learn(#[from] TokensError),
    /// A value is out of its range.
    #[error("{0}")]
    Value(&'static str),
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ModelSettings> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        ModelSettings::of_folder(folder.path())
    }

    #[test]
    fn what_the_file_lacks_is_general() {
        let settings = read(r#"{"guidance": 4, "scheduler": "ddim", "learn": {"steps": 7}}"#).unwrap();
        assert_eq!((settings.guidance, settings.steps, settings.scheduler), (4.0, 30, SchedulerKind::Ddim));
        assert_eq!((settings.learn.wishes.steps, settings.learn.wishes.template), (Some(7), None));
        assert_eq!(settings.learn.method, None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ModelSettings::of_folder(folder.path()).unwrap(), ModelSettings::default());
        ModelSettings::default().check().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (r#"{"guidence": 4}"#, "guidence"),
            (r#"{"steps": 0}"#, "1 or more"),
            (r#"{"scheduler": "plms"}"#, "plms"),
            (r#"{"learn": {"template": "a photo"}}"#, "one {}"),
            (r#"{"learn": {"stepz": 3}}"#, "stepz"),
            (r#"{"learn": {"methods": {"xti": {"batch": 0}}}}"#, "batch is 0"),
            (r#"{"learn": {"methods": {"best": {}}}}"#, "best"),
            (r#"{"learn": {"method": "worst"}}"#, "worst"),
            (r#"{"learn": {"prompts": ["a photo"]}}"#, "must have one {}"),
            ("{", "EOF"),
        ];
        for (text, expected) in cases {
            let StudioError::Settings { path, source } = read(text).unwrap_err() else { panic!("{text}") };
            assert!(path.ends_with(FILE) && source.to_string().contains(expected), "{source}");
        }
    }

    #[test]
    fn the_bundled_settings_are_right() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let settings = ModelSettings::of_folder(&models.join("mini")).unwrap();
        let demo = settings.demo.unwrap();
        assert!(models.join("mini").join(&demo.photo).is_file() && !demo.scenes.is_empty());
    }
}
