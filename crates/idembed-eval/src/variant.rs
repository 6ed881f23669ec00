//! A method with what is otherwise than it was published, written as a label.
//!
//! `sefi`, `textual-inversion+attention` (the attention loss added), `sefi@lambda=0.01@stages=7` (settings as a model's
//! `idembed.json` names them; `target`, `layers`, `norm`, `reduction` and `detach-query` are those of the attention loss).

use std::fmt;

use idembed_attention::LossOptions;
use idembed_studio::LearnWishes;
use idembed_tokens::{DEFAULT_LAMBDA, Method};
use serde_json::{Map, Value};

use crate::{EvalError, Result};

/// What is added to a method's name for the attention loss.
const ATTENTION: &str = "+attention";

/// The settings that belong to the form of the attention loss.
const OF_LOSS: [&str; 5] = ["target", "norm", "reduction", "layers", "detach-query"];

/// A method with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// What it is called in tables and folders.
    pub label: String,
    /// The method.
    pub method: Method,
    /// What is otherwise.
    pub wishes: LearnWishes,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl std::str::FromStr for Variant {
    type Err = EvalError;

    fn from_str(label: &str) -> Result<Variant> {
        let refused = |what: String| EvalError::Variant { label: label.to_owned(), what };
        let mut parts = label.split('@');
        let name = parts.next().unwrap_or_default();
        let (method, adds_loss) = name.strip_suffix(ATTENTION).map_or((name, false), |method| (method, true));
        let method: Method =
            method.parse().map_err(|error: idembed_weights::UnknownName| refused(error.to_string()))?;
        let mut keys = Map::new();
        if adds_loss {
            keys.insert("lambda".to_owned(), DEFAULT_LAMBDA.into());
        }
        let mut loss = Map::new();
        for part in parts {
            let (key, value) =
                part.split_once('=').ok_or_else(|| refused(format!("`{part}` is no setting, such as lambda=0.01")))?;
            let of_loss = OF_LOSS.contains(&key);
            let value = match serde_json::from_str(value) {
                // Layers are written as text, also where they look like a number.
                Ok(value) if key != "layers" => value,
                _ => Value::String(value.to_owned()),
            };
            if of_loss { &mut loss } else { &mut keys }.insert(key.to_owned(), value);
        }
        if !loss.is_empty() {
            let usual = serde_json::to_value(LossOptions::default()).map_err(|error| refused(error.to_string()))?;
            let Value::Object(mut whole) = usual else { return Err(refused("the attention loss".to_owned())) };
            whole.extend(loss);
            keys.insert("attention".to_owned(), Value::Object(whole));
        }
        let wishes = serde_json::from_value(Value::Object(keys)).map_err(|error| refused(error.to_string()))?;
        Ok(Variant { label: label.to_owned(), method, wishes })
    }
}

/// One setting with several values, to be tried with every method: `steps=50,200,800`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    setting: String,
    values: Vec<String>,
}

impl std::str::FromStr for Grid {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let values = |values: &str| values.split(',').map(str::to_owned).collect::<Vec<_>>();
        match text.split_once('=') {
            Some((setting, of)) if !setting.is_empty() && values(of).iter().all(|value| !value.is_empty()) => {
                Ok(Grid { setting: setting.to_owned(), values: values(of) })
            }
            _ => Err(format!("`{text}` is no setting with values, such as steps=50,200,800")),
        }
    }
}

impl Grid {
    /// Each of these with every value.
    ///
    /// # Errors
    /// There is no such setting, or it has no such value.
    pub(crate) fn over(&self, variants: &[Variant]) -> Result<Vec<Variant>> {
        let labels = variants.iter().flat_map(|variant| {
            self.values.iter().map(move |value| format!("{}@{}={value}", variant.label, self.setting))
        });
        labels.map(|label| label.parse()).collect()
    }
}

/// A question about one setting of `sefi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ablation {
    /// The weight of the attention loss, 0 to 0.1.
    Lambda,
    /// The number of stages, 1 to 10.
    Stages,
    /// The same vectors for keys and values.
    SplitKv,
    /// What the attention is pulled to.
    Target,
    /// The layers of the attention loss.
    Layers,
    /// Distance of maps, and vectors of fixed length.
    Norm,
    /// Where the vectors start, and which stages are learned.
    Start,
    /// How long it learns.
    Steps,
}

impl Ablation {
    /// The labels to compare.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Ablation::Lambda => &[
                "sefi@lambda=0",
                "sefi@lambda=0.0001",
                "sefi@lambda=0.001",
                "sefi@lambda=0.003",
                "sefi@lambda=0.01",
                "sefi@lambda=0.05",
                "sefi@lambda=0.1",
            ],
            Ablation::Stages => &["sefi@stages=1", "sefi@stages=3", "sefi@stages=5", "sefi@stages=7", "sefi@stages=10"],
            Ablation::SplitKv => &["sefi@split-kv=true", "sefi@split-kv=false"],
            Ablation::Target => &["sefi@target=reference", "sefi@target=mask", "sefi@lambda=0"],
            Ablation::Layers => &["sefi@layers=all", "sefi@layers=1", "sefi@layers=2", "sefi@layers=4"],
            Ablation::Norm => &["sefi@norm=squared", "sefi@norm=absolute", "sefi@fixed-norm=true"],
            Ablation::Start => {
                &["sefi@start=class", "sefi@start=class-output", "sefi@start=names", "sefi@learned-stages=2-3"]
            }
            Ablation::Steps => &["sefi@steps=50", "sefi@steps=100", "sefi@steps=200", "sefi@steps=400"],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use clap::ValueEnum;
    use idembed_attention::{LayerChoice, Target};
    use idembed_tokens::LearnConfig;

    use super::*;

    fn config(label: &str) -> LearnConfig {
        let Variant { method, wishes, .. } = label.parse().unwrap();
        LearnConfig::new("me", "person", method).with(&wishes)
    }

    #[test]
    fn a_label_says_what_is_otherwise() {
        assert_eq!(config("sefi"), LearnConfig::new("me", "person", Method::Sefi));
        assert_eq!(config("dreambooth+attention").lambda(), DEFAULT_LAMBDA);
        let two = config("sefi@lambda=0.01@stages=7");
        assert_eq!((two.lambda(), two.tokens.stages), (0.01, 7));
        let loss = config("sefi@target=mask@layers=2").objective.attention.unwrap().loss;
        assert_eq!((loss.target, loss.layers), (Target::Mask, "2".parse::<LayerChoice>().unwrap()));
    }

    #[test]
    fn a_grid_gives_every_combination() {
        let grid = |text: &str| text.parse::<Grid>();
        let methods: Vec<Variant> = ["xti", "sefi"].iter().map(|label| label.parse().unwrap()).collect();
        let with_steps = grid("steps=50,200").unwrap().over(&methods).unwrap();
        let both = grid("lr=0.01,0.04").unwrap().over(&with_steps).unwrap();
        assert_eq!(both.len(), 8);
        assert_eq!((both[1].label.as_str(), both[1].wishes.lr), ("xti@steps=50@lr=0.04", Some(0.04)));
        assert_eq!(both[7].wishes.steps, Some(200));
        for wrong in ["steps", "=1", "steps=", "steps=1,,2"] {
            assert!(grid(wrong).is_err(), "{wrong}");
        }
        assert!(grid("nose=1").unwrap().over(&methods).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (label, expected) in [
            ("ip-adapter", "is not one of sefi"),
            ("sefi@lambda", "is no setting"),
            ("sefi@lamda=1", "lamda"),
            ("sefi@stages=many", "invalid type"),
            ("sefi@target=nose", "nose"),
        ] {
            let error = label.parse::<Variant>().unwrap_err();
            let EvalError::Variant { what, .. } = error else { panic!("{error}") };
            assert!(what.contains(expected), "{what}");
        }
    }

    #[test]
    fn what_is_compared_differs_and_can_be_learned() {
        for ablation in Ablation::value_variants() {
            let configs: Vec<LearnConfig> = ablation.labels().iter().map(|label| config(label)).collect();
            for (index, one) in configs.iter().enumerate() {
                one.check().unwrap();
                assert!(configs[..index].iter().all(|other| other != one), "{ablation:?}");
            }
        }
    }
}
