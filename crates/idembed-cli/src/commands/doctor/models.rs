//! The models that are found, and whether their files fit together.

use std::path::{Path, PathBuf};

use anyhow::Context;
use idembed_diffusion::schedulers::NoiseSchedule;
use serde_json::{Value, json};

use crate::output;
use idembed_studio::{Model, models};

/// One model, a folder or a file.
pub(super) struct Found {
    name: String,
    path: PathBuf,
    facts: Option<Facts>,
    /// Why it cannot be used.
    pub(super) problem: Option<String>,
}

/// What its files say.
struct Facts {
    side: Option<i64>,
    hidden: i64,
    prediction: String,
    weight_bytes: u64,
}

/// Looks at every model in every folder of models.
pub(super) fn examine() -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for root in models::roots() {
        for name in models::names(&root) {
            if found.iter().all(|other| other.name != name) {
                found.push(Found::at(name, &root));
            }
        }
    }
    found
}

/// How to get more.
pub(super) fn advice(found: &[Found]) -> Vec<String> {
    let mut advice = Vec::new();
    if !found.iter().any(|model| model.name == models::DEFAULT) {
        advice.push(format!("the bundled model `{}` was not found: set IDEMBED_MODELS to its folder", models::DEFAULT));
    }
    if !found.iter().any(|model| model.problem.is_none() && model.name != models::DEFAULT) {
        advice.push(
            "for real photos: put a Stable Diffusion 1.x, 2.x or SDXL model into models/, one .safetensors file or a folder in \
             diffusers layout, or give its path with --model"
                .to_owned(),
        );
    }
    advice
}

impl Found {
    fn at(name: String, root: &Path) -> Found {
        let path = models::named(root, &name).unwrap_or_else(|| root.join(&name));
        let (facts, problem) = match Facts::read(&path) {
            Ok(facts) => (Some(facts), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Found { name, path, facts, problem }
    }

    /// A line of the report.
    pub(super) fn row(&self) -> (String, String) {
        let text = match (&self.facts, &self.problem) {
            (Some(facts), _) => {
                let side = facts.side.map(|side| format!("{side} x {side}, ")).unwrap_or_default();
                let mib = facts.weight_bytes >> 20;
                let Facts { prediction, hidden, .. } = facts;
                format!("{side}{prediction}, {hidden} wide, {mib} MiB of weights, {}", self.path.display())
            }
            (None, problem) => format!("cannot be used: {}", problem.as_deref().unwrap_or_default()),
        };
        (format!("model {}", self.name), text)
    }

    pub(super) fn to_json(&self) -> Value {
        let facts = self.facts.as_ref();
        json!({
            "name": self.name,
            "folder": output::shown(&self.path),
            "usable": self.problem.is_none(),
            "problem": self.problem,
            "side": facts.and_then(|facts| facts.side),
            "hidden": facts.map(|facts| facts.hidden),
            "prediction_type": facts.map(|facts| facts.prediction.as_str()),
            "weight_bytes": facts.map(|facts| facts.weight_bytes),
        })
    }
}

impl Facts {
    /// Reads all configurations and the headers of all weight files, no weight.
    fn read(path: &Path) -> anyhow::Result<Facts> {
        let files = Model::at(path)?.files;
        files.tokenizers()?;
        files.text_encoders()?;
        let (unet, _) = files.unet()?;
        let (vae, _) = files.vae()?;
        let schedule = NoiseSchedule::from_config(&files.scheduler_config()?)?;
        let weight_bytes = match path.is_dir() {
            true => {
                let parts = ["text_encoder", "text_encoder_2", "unet", "vae"].map(|part| path.join(part));
                parts.iter().filter(|part| part.is_dir()).map(|part| safetensors_bytes(part)).sum()
            }
            false => std::fs::metadata(path).map(|file| file.len()).with_context(|| cannot_read(path)),
        };
        let prediction = format!("{:?}", schedule.prediction_type).to_lowercase();
        let side = unet.sample_size.map(|side| side * vae.downscale());
        Ok(Facts { side, hidden: unet.cross_attention_dim, prediction, weight_bytes: weight_bytes? })
    }
}

fn safetensors_bytes(folder: &Path) -> anyhow::Result<u64> {
    let read = || -> std::io::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "safetensors") {
                bytes += std::fs::metadata(entry.path())?.len();
            }
        }
        Ok(bytes)
    };
    read().with_context(|| cannot_read(folder))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`", path.display())
}
