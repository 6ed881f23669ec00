//! `config.json` of a text encoder, and of a whole CLIP.

use std::path::Path;

use idembed_weights::{Source, count_of, json, shape_of};
use serde::{Deserialize, Serialize};

use crate::encoder::{Activation, EncoderJson, EncoderShape};
use crate::{Error, Result};

/// The end token's id in files that older versions of `transformers` wrote: it means the highest id of each text.
const OLD_EOS_TOKEN_ID: i64 = 2;

/// Where a text encoder's file does not say it, as in `transformers`.
const DEFAULT_PROJECTION_DIM: i64 = 512;

/// The text encoder's fields that matter, as they stand in the file.
#[derive(Debug, Deserialize, Serialize)]
struct ClipTextConfigJson {
    vocab_size: i64,
    max_position_embeddings: i64,
    #[serde(flatten)]
    encoder: EncoderJson,
    #[serde(default = "default_projection_dim")]
    projection_dim: i64,
    eos_token_id: Option<i64>,
    /// Not needed; without it `transformers` assumes the one of OpenAI's vocabulary, and warns.
    bos_token_id: Option<i64>,
}

/// The image encoder's fields that matter, as they stand in the file.
#[derive(Debug, Deserialize, Serialize)]
struct ClipVisionConfigJson {
    image_size: i64,
    patch_size: i64,
    #[serde(default = "rgb")]
    num_channels: i64,
    #[serde(flatten)]
    encoder: EncoderJson,
}

/// The whole CLIP's fields that matter, as they stand in the file.
#[derive(Debug, Deserialize, Serialize)]
struct ClipConfigJson {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: String,
    projection_dim: i64,
    text_config: ClipTextConfigJson,
    vision_config: ClipVisionConfigJson,
}

fn rgb() -> i64 {
    3
}

fn default_projection_dim() -> i64 {
    DEFAULT_PROJECTION_DIM
}

/// The shape of a CLIP text encoder.
///
/// Stable Diffusion 2.x ships its 24-layer encoder with 23, so that the last layer here is the penultimate one.
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
    /// Width of what the end token's state is projected to, where the weights have a projection.
    pub projection_dim: i64,
}

/// The shape of a CLIP image encoder.
#[derive(Debug, Clone)]
pub struct ClipVisionConfig {
    /// Side of the pictures in pixels.
    pub image_size: i64,
    /// Side of a patch in pixels.
    pub patch_size: i64,
    /// Width of the patches' states.
    pub hidden_size: i64,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: i64,
    /// Number of transformer layers.
    pub layers: i64,
    /// Number of attention heads.
    pub heads: i64,
    /// Activation of the feed-forward layers.
    pub activation: Activation,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
}

/// The shape of a whole CLIP.
#[derive(Debug, Clone)]
pub struct ClipConfig {
    /// The text encoder.
    pub text: ClipTextConfig,
    /// The image encoder.
    pub vision: ClipVisionConfig,
    /// Width of what both sides are compared by.
    pub projection_dim: i64,
    /// The token whose state stands for the text, the first of its kind in it; `None`: the one with the highest id.
    pub end_token: Option<i64>,
}

impl ClipTextConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or an activation that no CLIP uses.
    pub fn read(path: &Path) -> Result<Self> {
        json::read::<ClipTextConfigJson>(path)?.resolve()
    }

    /// The configuration that weights imply, for a checkpoint that brings none: what no shape tells is as in all of
    /// Stable Diffusion's text encoders.
    ///
    /// # Errors
    /// Tensors missing, or shapes that no text encoder has.
    ///
    /// # Source
    /// Heads of 64 numbers: arXiv 2103.00020, table 20, and OpenCLIP's configurations.
    pub fn of_weights(source: &dyn Source, activation: Activation) -> Result<Self> {
        const HEAD: i64 = 64;
        let [vocab_size, hidden_size] = shape_of(source, "embeddings.token_embedding.weight")?;
        let [max_position_embeddings, _] = shape_of(source, "embeddings.position_embedding.weight")?;
        let [intermediate_size, _] = shape_of(source, "encoder.layers.0.mlp.fc1.weight")?;
        let layers = count_of(source, |index| format!("encoder.layers.{index}.mlp.fc1.weight")) as i64;
        if hidden_size % HEAD != 0 {
            let what = format!("the text encoder is {hidden_size} wide, expected a multiple of {HEAD}");
            return Err(Error::Unsupported(what));
        }
        let projection = source.shape("text_projection.weight").and_then(|shape| shape.first().copied());
        let (heads, layer_norm_eps) = (hidden_size / HEAD, 1e-5);
        let encoder = EncoderShape { hidden_size, intermediate_size, layers, heads, activation, layer_norm_eps };
        let json = ClipTextConfigJson {
            vocab_size,
            max_position_embeddings,
            encoder: encoder.into(),
            projection_dim: projection.unwrap_or_else(default_projection_dim),
            eos_token_id: None,
            bos_token_id: None,
        };
        json.resolve()
    }

    pub(crate) fn encoder(&self) -> EncoderShape {
        EncoderShape {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.layers,
            heads: self.heads,
            activation: self.activation,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

impl ClipTextConfigJson {
    fn resolve(self) -> Result<ClipTextConfig> {
        let network = "the text encoder";
        let own = [
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("projection_dim", self.projection_dim),
        ];
        json::check_counts(network, own)?;
        let encoder = self.encoder.resolve(network)?;
        Ok(ClipTextConfig {
            vocab_size: self.vocab_size,
            hidden_size: encoder.hidden_size,
            intermediate_size: encoder.intermediate_size,
            layers: encoder.layers,
            heads: encoder.heads,
            max_positions: self.max_position_embeddings,
            activation: encoder.activation,
            layer_norm_eps: encoder.layer_norm_eps,
            projection_dim: self.projection_dim,
        })
    }
}

impl ClipVisionConfig {
    /// Patches along one side of a picture.
    pub fn grid(&self) -> i64 {
        self.image_size / self.patch_size
    }

    pub(crate) fn encoder(&self) -> EncoderShape {
        EncoderShape {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.layers,
            heads: self.heads,
            activation: self.activation,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

impl ClipVisionConfigJson {
    fn resolve(self) -> Result<ClipVisionConfig> {
        let network = "the image encoder";
        json::check_counts(network, [("image_size", self.image_size), ("patch_size", self.patch_size)])?;
        if self.num_channels != rgb() || self.image_size < self.patch_size {
            let Self { num_channels, image_size, patch_size, .. } = self;
            let what = format!(
                "{network} has {num_channels} channels, pictures of {image_size} and patches of {patch_size} pixels; \
                 expected 3 (RGB), and pictures at least as large as a patch"
            );
            return Err(Error::Unsupported(what));
        }
        let encoder = self.encoder.resolve(network)?;
        Ok(ClipVisionConfig {
            image_size: self.image_size,
            patch_size: self.patch_size,
            hidden_size: encoder.hidden_size,
            intermediate_size: encoder.intermediate_size,
            layers: encoder.layers,
            heads: encoder.heads,
            activation: encoder.activation,
            layer_norm_eps: encoder.layer_norm_eps,
        })
    }
}

impl ClipConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or something else than a CLIP of two transformers.
    pub fn read(path: &Path) -> Result<Self> {
        let json: ClipConfigJson = json::read(path)?;
        if json.model_type != "clip" {
            let what = format!("model_type is `{}`, expected clip", json.model_type);
            return Err(Error::Unsupported(what));
        }
        json::check_counts("CLIP", [("projection_dim", json.projection_dim)])?;
        Ok(ClipConfig {
            end_token: json.text_config.eos_token_id.filter(|&id| id != OLD_EOS_TOKEN_ID),
            text: json.text_config.resolve()?,
            vision: json.vision_config.resolve()?,
            projection_dim: json.projection_dim,
        })
    }

    /// Writes `config.json` as `transformers` reads it.
    ///
    /// # Errors
    /// What the system said; then there is no file, or the older one.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (text, vision) = (&self.text, &self.vision);
        let json = ClipConfigJson {
            architectures: vec!["CLIPModel".to_owned()],
            model_type: "clip".to_owned(),
            projection_dim: self.projection_dim,
            text_config: ClipTextConfigJson {
                vocab_size: text.vocab_size,
                max_position_embeddings: text.max_positions,
                encoder: text.encoder().into(),
                projection_dim: text.projection_dim,
                eos_token_id: Some(self.end_token.unwrap_or(OLD_EOS_TOKEN_ID)),
                bos_token_id: None,
            },
            vision_config: ClipVisionConfigJson {
                image_size: vision.image_size,
                patch_size: vision.patch_size,
                num_channels: rgb(),
                encoder: vision.encoder().into(),
            },
        };
        Ok(json::write(path, &json)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file() -> Value {
        json!({
            "model_type": "clip", "projection_dim": 6,
            "text_config": {
                "vocab_size": 30, "max_position_embeddings": 9, "eos_token_id": 29, "hidden_size": 8,
                "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "gelu",
            },
            "vision_config": {
                "image_size": 12, "patch_size": 4, "hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 2,
                "num_attention_heads": 3,
            },
        })
    }

    fn read(file: &Value) -> Result<ClipConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let config = ClipConfig::read(&path)?;
        // What is written says the same.
        config.write(&path)?;
        assert_eq!(format!("{:?}", ClipConfig::read(&path)?), format!("{config:?}"));
        Ok(config)
    }

    #[test]
    fn the_end_token_of_old_files_is_the_highest() {
        let mut file = file();
        assert_eq!(read(&file).unwrap().end_token, Some(29));
        for old in [json!(2), Value::Null] {
            file["text_config"]["eos_token_id"] = old;
            assert_eq!(read(&file).unwrap().end_token, None);
        }
        let config = read(&file).unwrap();
        assert_eq!((config.text.activation, config.vision.activation), (Activation::Gelu, Activation::QuickGelu));
        assert_eq!((config.vision.grid(), config.vision.layer_norm_eps), (3, 1e-5));
    }

    #[test]
    fn what_no_clip_has_is_refused() {
        for (part, field, value) in [
            ("", "model_type", json!("siglip")),
            ("", "projection_dim", json!(0)),
            ("text_config", "hidden_act", json!("relu")),
            ("text_config", "num_attention_heads", json!(3)),
            ("text_config", "vocab_size", json!(-1)),
            ("vision_config", "num_channels", json!(4)),
            ("vision_config", "patch_size", json!(13)),
            ("vision_config", "num_hidden_layers", json!(0)),
        ] {
            let mut file = file();
            let place = if part.is_empty() { &mut file } else { &mut file[part] };
            place[field] = value;
            let refused = matches!(
                read(&file),
                Err(Error::Unsupported(_) | Error::Weights(idembed_weights::Error::Unsupported(_)))
            );
            assert!(refused, "{part} {field}");
        }
        let mut file = file();
        file["vision_config"].as_object_mut().unwrap().remove("hidden_size");
        assert!(matches!(read(&file), Err(Error::Weights(idembed_weights::Error::Json { .. }))));
    }
}
