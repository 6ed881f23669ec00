//! `scheduler_config.json` as it is on disk, and the choices that several samplers read from it.
//!
//! Like diffusers' `from_config`, each sampler takes the fields that it knows, whatever class wrote the file, and its own
//! default for a field that is absent or listed under `_use_default_values`
//! (source: `ConfigMixin.extract_init_dict` in diffusers 0.42).

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use idembed_files::IoError;
use idembed_weights::UnknownName;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The file as it is; a missing field is `None`, an unknown one is ignored.
///
/// The names are those of the file; what they do is said where a sampler resolves them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are named as in the file")]
pub struct SchedulerConfigJson {
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    pub num_train_timesteps: Option<i64>,
    pub beta_start: Option<f64>,
    pub beta_end: Option<f64>,
    pub beta_schedule: Option<String>,
    pub trained_betas: Option<Vec<f64>>,
    #[serde(deserialize_with = "null_is_false")]
    pub rescale_betas_zero_snr: Option<bool>,
    pub prediction_type: Option<String>,
    pub timestep_spacing: Option<String>,
    pub steps_offset: Option<i64>,
    #[serde(deserialize_with = "null_is_false")]
    pub set_alpha_to_one: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub clip_sample: Option<bool>,
    pub clip_sample_range: Option<f64>,
    #[serde(deserialize_with = "null_is_false")]
    pub thresholding: Option<bool>,
    pub interpolation_type: Option<String>,
    pub timestep_type: Option<String>,
    pub sigma_min: Option<f64>,
    pub sigma_max: Option<f64>,
    pub final_sigmas_type: Option<String>,
    #[serde(deserialize_with = "null_is_false")]
    pub use_karras_sigmas: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub use_exponential_sigmas: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub use_beta_sigmas: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub use_lu_lambdas: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub use_flow_sigmas: Option<bool>,
    pub solver_order: Option<i64>,
    pub solver_type: Option<String>,
    pub algorithm_type: Option<String>,
    #[serde(deserialize_with = "null_is_false")]
    pub lower_order_final: Option<bool>,
    #[serde(deserialize_with = "null_is_false")]
    pub euler_at_final: Option<bool>,
    pub lambda_min_clipped: Option<f64>,
    pub variance_type: Option<String>,
    #[serde(deserialize_with = "null_is_false")]
    pub predict_x0: Option<bool>,
    pub disable_corrector: Option<Vec<usize>>,
    pub solver_p: Option<Value>,
    #[serde(deserialize_with = "null_is_false")]
    pub skip_prk_steps: Option<bool>,
    pub original_inference_steps: Option<i64>,
    pub timestep_scaling: Option<f64>,
}

/// A flag written as `null` is off, which is not the same as absent: an absent one takes the sampler's default.
fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<bool>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or(false)))
}

impl SchedulerConfigJson {
    /// Reads a `scheduler_config.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Json`] if it does not parse or a field has the wrong type.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(IoError::reading(path))?;
        Self::parse(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(&without_infinity(text))?;
        if let Some(Value::Array(names)) = fields.remove("_use_default_values") {
            for name in names.iter().filter_map(Value::as_str) {
                fields.remove(name);
            }
        }
        serde_json::from_value(Value::Object(fields))
    }
}

/// Writes `null` for `-Infinity`, which Python puts into its files although JSON has no such number.
///
/// The one field that holds it is `lambda_min_clipped`, and it is that field's default.
fn without_infinity(text: &str) -> Cow<'_, str> {
    const MINUS_INFINITY: &str = "-Infinity";
    if !text.contains(MINUS_INFINITY) {
        return Cow::Borrowed(text);
    }
    let mut json = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(MINUS_INFINITY).filter(|_| !in_string) {
            json.push_str("null");
            rest = after;
            continue;
        }
        in_string ^= character == '"' && !escaped;
        escaped = in_string && character == '\\' && !escaped;
        json.push(character);
        rest = &rest[character.len_utf8()..];
    }
    Cow::Owned(json)
}

/// What the U-Net was trained to output, by its name in scheduler files; `v` for short is read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_prediction)]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The velocity `sqrt(alpha) noise - sqrt(1 - alpha) latents` (arXiv 2202.00512, appendix D).
    #[strum(to_string = "v_prediction", serialize = "v", serialize = "v-prediction")]
    VPrediction,
}

impl PredictionType {
    pub(super) fn resolve(config: &SchedulerConfigJson) -> Result<Self> {
        let accepted = [Self::Epsilon, Self::VPrediction].map(|prediction| (prediction.into(), prediction));
        choose("prediction_type", config.prediction_type.as_deref(), Self::Epsilon, &accepted)
    }
}

fn unknown_prediction(given: &str) -> UnknownName {
    UnknownName { given: given.to_owned(), known: &["epsilon", "v"] }
}

/// How the timesteps of a short run are picked from those of training (arXiv 2305.08891, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestepSpacing {
    Linspace,
    Leading,
    Trailing,
}

impl TimestepSpacing {
    pub(super) fn resolve(config: &SchedulerConfigJson, default: Self) -> Result<Self> {
        let accepted = [("linspace", Self::Linspace), ("leading", Self::Leading), ("trailing", Self::Trailing)];
        choose("timestep_spacing", config.timestep_spacing.as_deref(), default, &accepted)
    }
}

/// The noise level after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalSigma {
    Zero,
    SigmaMin,
}

impl FinalSigma {
    pub(super) fn resolve(config: &SchedulerConfigJson) -> Result<Self> {
        let accepted = [("zero", Self::Zero), ("sigma_min", Self::SigmaMin)];
        choose("final_sigmas_type", config.final_sigmas_type.as_deref(), Self::Zero, &accepted)
    }
}

/// Looks a field's value up among the accepted ones.
pub(super) fn choose<T: Copy>(field: &str, given: Option<&str>, default: T, accepted: &[(&str, T)]) -> Result<T> {
    let Some(given) = given else { return Ok(default) };
    match accepted.iter().find(|(name, _)| *name == given) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let names: Vec<&str> = accepted.iter().map(|(name, _)| *name).collect();
            Err(unsupported(field, format!("\"{given}\""), &names.join(", ")))
        }
    }
}

/// Refuses a flag that is on.
pub(super) fn refuse(field: &str, flag: Option<bool>) -> Result<()> {
    if flag == Some(true) { Err(unsupported(field, true, "false")) } else { Ok(()) }
}

/// The error for a value that this crate does not build.
pub(super) fn unsupported(field: &str, given: impl std::fmt::Display, expected: &str) -> Error {
    Error::Unsupported { what: format!("the scheduler's {field} is {given}, expected {expected}"), hint: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn fields_that_held_a_default_count_as_absent() {
        let text = r#"{"steps_offset": 1, "clip_sample": true, "unknown": [], "_use_default_values": ["clip_sample"]}"#;
        let config = SchedulerConfigJson::parse(text).unwrap();
        assert_eq!(config, SchedulerConfigJson { steps_offset: Some(1), ..Default::default() });
    }

    #[test]
    fn a_flag_that_is_null_is_off() {
        let config = SchedulerConfigJson::parse(r#"{"clip_sample": null, "trained_betas": null}"#).unwrap();
        assert_eq!(config, SchedulerConfigJson { clip_sample: Some(false), ..Default::default() });
    }

    #[test]
    fn minus_infinity_is_read_outside_strings_only() {
        let text = r#"{"_class_name": "a \"-Infinity\\", "lambda_min_clipped": -Infinity, "beta_end": 0.5}"#;
        let config = SchedulerConfigJson::parse(text).unwrap();
        assert_eq!(config.class_name.as_deref(), Some(r#"a "-Infinity\"#));
        assert_eq!((config.lambda_min_clipped, config.beta_end), (None, Some(0.5)));
    }

    #[test]
    fn damaged_files_are_errors() {
        for text in ["", "[]", "{", r#"{"beta_end": "0.5"}"#, r#"{"beta_end": NaN}"#] {
            assert!(SchedulerConfigJson::parse(text).is_err(), "{text}");
        }
        let missing = SchedulerConfigJson::read(Path::new("no/such/file.json"));
        assert!(matches!(missing, Err(Error::Io(IoError::Read { .. }))));
    }

    #[test]
    fn predictions_are_read_by_their_names() {
        for prediction in [PredictionType::Epsilon, PredictionType::VPrediction] {
            assert_eq!(prediction.to_string().parse(), Ok(prediction));
        }
        assert_eq!("v".parse(), Ok(PredictionType::VPrediction));
        assert_eq!("sample".parse::<PredictionType>().unwrap_err().to_string(), "`sample` is not one of epsilon, v");
    }

    #[test]
    fn other_values_are_named() {
        let config = SchedulerConfigJson { prediction_type: Some("sample".to_owned()), ..Default::default() };
        let message = PredictionType::resolve(&config).unwrap_err().to_string();
        assert!(message.contains("prediction_type") && message.contains("\"sample\""), "{message}");
    }
}
