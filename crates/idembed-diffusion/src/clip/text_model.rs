//! The CLIP text encoder.

use std::path::Path;

use idembed_weights::Compute;
use idembed_weights::{Scope, Weights};
use tch::Tensor;

use super::config::{Activation, ClipTextConfig};
use crate::attention::{fused_attention, merge_heads, split_heads};
use crate::layers::{LayerNorm, Linear};
use crate::{Error, Result};

/// Old exports keep the encoder below this name, new ones at the root.
const OLD_PREFIX: &str = "text_model.";

/// A CLIP text encoder, frozen or being trained, whose input embeddings can be replaced.
#[derive(Debug)]
pub struct ClipTextModel {
    config: ClipTextConfig,
    token_embedding: Tensor,
    position_embedding: Tensor,
    layers: Vec<EncoderLayer>,
    final_layer_norm: LayerNorm,
    weights: Weights,
}

impl ClipTextModel {
    /// Loads `config.json` and `model.safetensors` from a folder.
    ///
    /// # Errors
    /// Unreadable files, or weights that do not match the configuration.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let config = ClipTextConfig::read(&folder.join("config.json"))?;
        Self::from_weights(config, Weights::open(folder, "model", compute)?)
    }

    /// Builds the text encoder of a configuration on weights from anywhere, whose names begin with `text_model.` or not.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: ClipTextConfig, weights: Weights) -> Result<Self> {
        let root = if weights.contains("text_model.embeddings.token_embedding.weight") {
            weights.root() / "text_model"
        } else {
            weights.root()
        };
        let hidden = config.hidden_size;
        let embeddings = &root / "embeddings";
        let token_embedding = embeddings.tensor("token_embedding.weight", &[config.vocab_size, hidden])?;
        let position_embedding = embeddings.tensor("position_embedding.weight", &[config.max_positions, hidden])?;
        let layers = (0..config.layers)
            .map(|index| EncoderLayer::load(&(&root / "encoder" / "layers" / index), &config))
            .collect::<Result<_>>()?;
        let final_layer_norm = LayerNorm::load(&(&root / "final_layer_norm"), hidden, config.layer_norm_eps)?;
        weights.check_all_used(&["position_ids"])?;
        Ok(ClipTextModel { config, token_embedding, position_embedding, layers, final_layer_norm, weights })
    }

    /// The configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Width of token embeddings and text states.
    pub fn hidden_size(&self) -> i64 {
        self.config.hidden_size
    }

    /// Number of token positions.
    pub fn max_positions(&self) -> i64 {
        self.config.max_positions
    }

    /// Looks the tokens up in the embedding table.
    ///
    /// # Shapes
    /// - `ids`: `[batch, tokens]`, i64
    /// - returns: `[batch, tokens, hidden]`
    ///
    /// # Errors
    /// An id outside the table.
    pub fn embed_tokens(&self, ids: &Tensor) -> Result<Tensor> {
        if ids.numel() > 0 {
            let (low, high) = (ids.f_min()?.f_int64_value(&[])?, ids.f_max()?.f_int64_value(&[])?);
            if low < 0 || high >= self.config.vocab_size {
                return Err(Error::Setting(format!(
                    "the tokenizer gives token ids from {low} to {high}, but the text encoder knows 0 to {}",
                    self.config.vocab_size - 1
                )));
            }
        }
        Ok(Tensor::f_embedding(&self.token_embedding, &ids.f_to_device(self.device())?, -1, false, false)?)
    }

    /// Turns token embeddings into text states: positions, transformer, final layer norm.
    ///
    /// Gradients flow from the states to the embeddings.
    ///
    /// # Shapes
    /// - `token_embeds`: `[batch, tokens, hidden]`
    /// - returns: `[batch, tokens, hidden]`
    pub fn encode(&self, token_embeds: &Tensor) -> Result<Tensor> {
        let shape = token_embeds.size();
        let &[_, tokens, hidden] = shape.as_slice() else { return Err(self.shape_error(shape)) };
        if tokens > self.config.max_positions || hidden != self.config.hidden_size {
            return Err(self.shape_error(shape));
        }
        let positions = self.position_embedding.f_narrow(0, 0, tokens)?;
        let mut states = token_embeds.f_to_kind(positions.kind())?.f_add(&positions)?;
        for layer in &self.layers {
            states = layer.forward(&states)?;
        }
        self.final_layer_norm.forward(&states)
    }

    /// SHA-256 of the encoder's tensors (values rounded to f16), the same for the same weights in any file.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(self.weights.fingerprint(OLD_PREFIX, |_| true)?)
    }

    fn device(&self) -> tch::Device {
        self.token_embedding.device()
    }

    fn shape_error(&self, got: Vec<i64>) -> Error {
        let expected = format!("[batch, up to {}, {}]", self.config.max_positions, self.config.hidden_size);
        Error::Shape { what: "token embeddings", got, expected }
    }
}

/// One pre-norm transformer layer with causal self-attention.
#[derive(Debug)]
struct EncoderLayer {
    layer_norm1: LayerNorm,
    layer_norm2: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    fc1: Linear,
    fc2: Linear,
    heads: i64,
    activation: Activation,
}

impl EncoderLayer {
    fn load(scope: &Scope<'_>, config: &ClipTextConfig) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let attention = scope / "self_attn";
        let mlp = scope / "mlp";
        let projection = |name: &str| Linear::load(&(&attention / name), hidden, hidden);
        Ok(EncoderLayer {
            layer_norm1: LayerNorm::load(&(scope / "layer_norm1"), hidden, config.layer_norm_eps)?,
            layer_norm2: LayerNorm::load(&(scope / "layer_norm2"), hidden, config.layer_norm_eps)?,
            q_proj: projection("q_proj")?,
            k_proj: projection("k_proj")?,
            v_proj: projection("v_proj")?,
            out_proj: projection("out_proj")?,
            fc1: Linear::load(&(&mlp / "fc1"), hidden, inner)?,
            fc2: Linear::load(&(&mlp / "fc2"), inner, hidden)?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.layer_norm1.forward(x)?;
        let query = split_heads(&self.q_proj.forward(&normed)?, self.heads)?;
        let key = split_heads(&self.k_proj.forward(&normed)?, self.heads)?;
        let value = split_heads(&self.v_proj.forward(&normed)?, self.heads)?;
        let attended = merge_heads(&fused_attention(&query, &key, &value, true)?)?;
        let x = x.f_add(&self.out_proj.forward(&attended)?)?;

        let inner = self.fc1.forward(&self.layer_norm2.forward(&x)?)?;
        let inner = match self.activation {
            Activation::QuickGelu => inner.f_mul(&inner.f_mul_scalar(1.702)?.f_sigmoid()?)?,
            Activation::Gelu => inner.f_gelu("none")?,
        };
        Ok(x.f_add(&self.fc2.forward(&inner)?)?)
    }
}
