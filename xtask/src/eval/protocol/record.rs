//! The files that the program writes under OUT, as they are read here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::hint::Hinted;

/// The form of `run.json` that is understood here.
const FORMAT: &str = "idembed-eval/1";

/// The file that says what is being evaluated.
pub(crate) const RUN: &str = "run.json";
/// The file of the cosines between photos.
pub(crate) const REFERENCES: &str = "references.json";
/// The folder of units.
pub(crate) const UNITS: &str = "units";
/// The file that makes a unit a finished one.
pub(crate) const UNIT: &str = "unit.json";
/// The file of a unit's pictures.
pub(crate) const PICTURES: &str = "pictures.jsonl";

/// `run.json`: what is evaluated, and how.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Run {
    format: String,
    /// The name of the set of prompts.
    pub(crate) protocol: String,
    /// The model that draws.
    pub(crate) model: String,
    /// The class word of the people.
    #[serde(default)]
    pub(crate) class: String,
    /// Labels of the methods, in the order of the tables.
    pub(crate) methods: Vec<String>,
    /// Names of the people.
    pub(crate) identities: Vec<String>,
    /// What is drawn of each.
    pub(crate) prompts: Vec<Prompt>,
    /// Where the noise of each picture of a prompt starts.
    pub(crate) seeds: Vec<u64>,
    /// The networks that score.
    #[serde(default)]
    pub(crate) judges: Judges,
    /// Who decides whether a prompt was followed: `judge` or `clip`.
    #[serde(default)]
    pub(crate) followed: String,
    /// Prompt from which on CLIP says that a prompt was followed.
    #[serde(default)]
    pub(crate) tau: Option<f64>,
    /// How pictures were sampled.
    #[serde(default)]
    pub(crate) sampler: Map<String, Value>,
    /// The version of the program.
    #[serde(default)]
    pub(crate) version: String,
}

/// A prompt of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Prompt {
    /// Its number, by which pictures name it.
    pub(crate) number: u64,
    /// What kind of prompt it is.
    pub(crate) category: String,
    /// Its text, with `{}` for the person.
    pub(crate) prompt: String,
}

/// The networks that score.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Judges {
    /// Recognisers, the main one first.
    #[serde(default)]
    pub(crate) id: Vec<String>,
    /// CLIPs, the main one first.
    #[serde(default)]
    pub(crate) prompt: Vec<String>,
    /// What tells which wishes of a prompt are seen.
    #[serde(default)]
    pub(crate) wishes: Option<String>,
}

/// `references.json`: what the main recogniser says about photos.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct References {
    /// Cosines between photos of the same person.
    #[serde(default)]
    pub(crate) true_pairs: Vec<f64>,
    /// Cosines between photos of two people.
    #[serde(default)]
    pub(crate) strangers: Vec<f64>,
}

/// `unit.json`: what one method cost with one person.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UnitReport {
    /// The label of the method.
    pub(crate) method: String,
    /// The name of the person.
    pub(crate) identity: String,
    /// Steps of learning.
    #[serde(default)]
    pub(crate) steps: Option<u64>,
    /// Time to learn.
    #[serde(default)]
    pub(crate) learn_seconds: Option<f64>,
    /// Time to draw all pictures.
    #[serde(default)]
    pub(crate) draw_seconds: Option<f64>,
    /// Time to score them.
    #[serde(default)]
    pub(crate) score_seconds: Option<f64>,
    /// Numbers that were learned.
    #[serde(default)]
    pub(crate) parameters: Option<u64>,
    /// Size of the identity file.
    #[serde(default)]
    pub(crate) file_bytes: Option<u64>,
    /// The most memory that the process held.
    #[serde(default)]
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Every setting of the method.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// Scores while it learned.
    #[serde(default)]
    pub(crate) curve: Vec<CurvePoint>,
}

/// Scores after a step of learning.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CurvePoint {
    /// The step.
    pub(crate) step: u64,
    /// The scores, by name.
    pub(crate) scores: BTreeMap<String, f64>,
}

/// A line of a unit's `pictures.jsonl`: a picture and its scores.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    /// The label of the method.
    pub(crate) method: String,
    /// The person that was learned.
    pub(crate) identity: String,
    /// The second person, where there are two.
    #[serde(default)]
    pub(crate) partner: Option<String>,
    /// Whether the two stand in the other order.
    #[serde(default)]
    pub(crate) swapped: bool,
    /// What kind of prompt it is.
    pub(crate) category: String,
    /// The text of the prompt.
    pub(crate) prompt: String,
    /// The number of the prompt.
    pub(crate) number: u64,
    /// Where its noise started.
    pub(crate) seed: u64,
    /// The picture file, from OUT.
    pub(crate) path: String,
    /// A picture of where the person's word looked, from OUT.
    #[serde(default)]
    pub(crate) attention: Option<String>,
    /// The scores, by name.
    pub(crate) scores: BTreeMap<String, f64>,
}

impl Run {
    /// The run in the folder `out`.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub(crate) fn read(out: &Path) -> Result<Self> {
        let path = out.join(RUN);
        if !path.exists() {
            let hint = "the folder that `--out` named when the run began has a file `run.json`";
            return Err(Hinted::new(format!("there is no evaluation in `{}`", out.display()), hint).into());
        }
        let run: Self = read(&path)?;
        ensure!(
            run.format == FORMAT,
            "`{}` has the format `{}`, which is not `{FORMAT}`",
            path.display(),
            run.format.escape_debug()
        );
        for name in run.methods.iter().chain(&run.identities) {
            ensure!(is_file_name(name), "`{}` names `{}`, which is no file name", path.display(), name.escape_debug());
        }
        Ok(run)
    }

    /// The kinds of prompts, in the order in which they come first.
    pub(crate) fn categories(&self) -> Vec<&str> {
        let mut categories: Vec<&str> = Vec::new();
        for prompt in &self.prompts {
            if !categories.contains(&prompt.category.as_str()) {
                categories.push(&prompt.category);
            }
        }
        categories
    }
}

/// Whether a name can be that of a folder, and leads nowhere else.
fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|own| own == name)
}

/// A JSON file.
///
/// # Errors
/// With its path.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("cannot understand `{}`", path.display()))
}
