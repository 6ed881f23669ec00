//! The CLIP text encoder.

use std::path::Path;

use idembed_layers::LayerNorm;
use idembed_weights::{Compute, Scope, Weights};
use tch::Tensor;

use crate::config::ClipTextConfig;
use crate::encoder::{EMBEDDING_INIT, Encoder};
use crate::{Error, Result};

/// Old exports keep the encoder below this name, new ones at the root.
const OLD_PREFIX: &str = "text_model.";

/// A CLIP text encoder, frozen or being trained, whose input embeddings can be replaced.
#[derive(Debug)]
pub struct ClipTextModel {
    transformer: TextTransformer,
    weights: Weights,
}

/// The text encoder as a part of any network.
#[derive(Debug)]
pub(crate) struct TextTransformer {
    config: ClipTextConfig,
    token_embedding: Tensor,
    position_embedding: Tensor,
    encoder: Encoder,
    final_layer_norm: LayerNorm,
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
        let transformer = TextTransformer::load(&root, config)?;
        weights.check_all_used(&["position_ids"])?;
        Ok(ClipTextModel { transformer, weights })
    }

    /// The configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.transformer.config
    }

    /// Bytes of its weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Width of token embeddings and text states.
    pub fn hidden_size(&self) -> i64 {
        self.transformer.config.hidden_size
    }

    /// Number of token positions.
    pub fn max_positions(&self) -> i64 {
        self.transformer.config.max_positions
    }

    /// Fails if the weights may be others by now, because their file was changed in place.
    ///
    /// # Errors
    /// The file was changed.
    pub fn check_unchanged(&self) -> Result<()> {
        Ok(self.weights.check_unchanged()?)
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
        self.transformer.embed_tokens(ids)
    }

    /// Turns token embeddings into text states: positions, transformer, final layer norm.
    ///
    /// Gradients flow from the states to the embeddings.
    ///
    /// # Shapes
    /// - `token_embeds`: `[batch, tokens, hidden]`
    /// - returns: `[batch, tokens, hidden]`
    pub fn encode(&self, token_embeds: &Tensor) -> Result<Tensor> {
        self.transformer.encode(token_embeds)
    }

    /// SHA-256 of the encoder's tensors (values rounded to f16), the same for the same weights in any file.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(self.weights.fingerprint(OLD_PREFIX, |_| true)?)
    }
}

impl TextTransformer {
    pub(crate) fn load(root: &Scope<'_>, config: ClipTextConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let embeddings = root / "embeddings";
        Ok(TextTransformer {
            token_embedding: embeddings.tensor(
                "token_embedding.weight",
                &[config.vocab_size, hidden],
                EMBEDDING_INIT,
            )?,
            position_embedding: embeddings.tensor(
                "position_embedding.weight",
                &[config.max_positions, hidden],
                EMBEDDING_INIT,
            )?,
            encoder: Encoder::load(&(root / "encoder"), config.encoder(), true)?,
            final_layer_norm: LayerNorm::load(&(root / "final_layer_norm"), hidden, config.layer_norm_eps)?,
            config,
        })
    }

    /// As [`ClipTextModel::embed_tokens`].
    pub(crate) fn embed_tokens(&self, ids: &Tensor) -> Result<Tensor> {
        if ids.numel() > 0 {
            let (low, high) = (ids.f_min()?.f_int64_value(&[])?, ids.f_max()?.f_int64_value(&[])?);
            if low < 0 || high >= self.config.vocab_size {
                return Err(Error::TokenIds { low, high, last: self.config.vocab_size - 1 });
            }
        }
        Ok(Tensor::f_embedding(&self.token_embedding, &ids.f_to_device(self.device())?, -1, false, false)?)
    }

    /// As [`ClipTextModel::encode`].
    pub(crate) fn encode(&self, token_embeds: &Tensor) -> Result<Tensor> {
        let shape = token_embeds.size();
        let &[_, tokens, hidden] = shape.as_slice() else { return Err(self.shape_error(shape)) };
        if tokens > self.config.max_positions || hidden != self.config.hidden_size {
            return Err(self.shape_error(shape));
        }
        let positions = self.position_embedding.f_narrow(0, 0, tokens)?;
        let states = token_embeds.f_to_kind(positions.kind())?.f_add(&positions)?;
        Ok(self.final_layer_norm.forward(&self.encoder.forward(states)?)?)
    }

    fn device(&self) -> tch::Device {
        self.token_embedding.device()
    }

    fn shape_error(&self, got: Vec<i64>) -> Error {
        let expected = format!("[batch, up to {}, {}]", self.config.max_positions, self.config.hidden_size);
        Error::Shape { what: "token embeddings", got, expected }
    }
}
