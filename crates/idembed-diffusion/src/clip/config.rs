//! `text_encoder/config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result, json};

/// The file's fields that matter, as they stand in it.
#[derive(Debug, Deserialize)]
struct ClipTextConfigJson {
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    max_position_embeddings: i64,
    #[serde(default = "default_activation")]
    hidden_act: String,
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
}

fn default_activation() -> String {
    "quick_gelu".to_owned()
}

fn default_eps() -> f64 {
    1e-5
}

/// The activation of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP (Stable Diffusion 1.x).
    QuickGelu,
    /// `x * Phi(x)`, as OpenCLIP (Stable Diffusion 2.x).
    Gelu,
}

/// The shape of a CLIP text encoder.
///
/// The number of layers already says which states are used: Stable Diffusion 2.x ships its 24-layer encoder with 23, so
/// that its last layer is the penultimate one.
#[derive(Debug, Clone)]
pub struct ClipTextConfig {
    /// Number of tokens known.
    pub vocab_size: i64,
    /// Width of the text states.
    pub hidden_size: i64,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: i64,
    /// Number of transformer layers.
    pub layers: i64,
    /// Number of attention heads.
    pub heads: i64,
    /// Number of token positions (77 in Stable Diffusion).
    pub max_positions: i64,
    /// Activation of the feed-forward layers.
    pub activation: Activation,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
}

impl ClipTextConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or an activation that no CLIP uses.
    pub fn read(path: &Path) -> Result<Self> {
        let json: ClipTextConfigJson = json::read(path)?;
        let activation = match json.hidden_act.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            other => {
                let what = format!("the text encoder's hidden_act is `{other}`, expected quick_gelu or gelu");
                return Err(Error::Unsupported { what, hint: None });
            }
        };
        json::check_counts(
            "the text encoder",
            [
                ("vocab_size", json.vocab_size),
                ("hidden_size", json.hidden_size),
                ("intermediate_size", json.intermediate_size),
                ("num_hidden_layers", json.num_hidden_layers),
                ("num_attention_heads", json.num_attention_heads),
                ("max_position_embeddings", json.max_position_embeddings),
            ],
        )?;
        if json.hidden_size % json.num_attention_heads != 0 {
            let what = format!(
                "the text encoder's hidden_size {} is not a multiple of num_attention_heads {}",
                json.hidden_size, json.num_attention_heads
            );
            return Err(Error::Unsupported { what, hint: None });
        }
        Ok(ClipTextConfig {
            vocab_size: json.vocab_size,
            hidden_size: json.hidden_size,
            intermediate_size: json.intermediate_size,
            layers: json.num_hidden_layers,
            heads: json.num_attention_heads,
            max_positions: json.max_position_embeddings,
            activation,
            layer_norm_eps: json.layer_norm_eps,
        })
    }
}
