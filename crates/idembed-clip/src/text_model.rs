//! The CLIP text encoder.

use std::path::Path;

use idembed_layers::{LayerNorm, Linear};
use idembed_weights::{Compute, Scope, Weights};
use tch::Tensor;

use crate::config::ClipTextConfig;
use crate::encoder::{EMBEDDING_INIT, Encoder};
use crate::{Error, Result};

/// Old exports keep the encoder below this name, new ones at the root.
const OLD_PREFIX: &str = "text_model.";

/// Beside the encoder, where there is one.
const TEXT_PROJECTION: &str = "text_projection";

/// Which of its states a text encoder gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLayer {
    /// Those of the last layer, normalised.
    Last,
    /// Those that the last layer reads, not normalised: `hidden_states[-2]` in `transformers`.
    Penultimate,
}

/// What text encoders make of texts.
#[derive(Debug)]
pub struct EncodedText {
    /// Of every token, `[batch, tokens, hidden]`.
    pub states: Tensor,
    /// Of whole texts, `[batch, projection_dim]` (or `[batch, hidden]` without a projection), where it was asked for.
    pub pooled: Option<Tensor>,
}

impl Clone for EncodedText {
    fn clone(&self) -> Self {
        EncodedText { states: self.states.shallow_clone(), pooled: self.pooled.as_ref().map(Tensor::shallow_clone) }
    }
}

impl EncodedText {
    /// Some of the texts, in this order, any number of times.
    ///
    /// # Errors
    /// A row that is not there.
    pub fn rows(&self, rows: &[i64]) -> Result<Self> {
        let rows = Tensor::f_from_slice(rows)?.f_to_device(self.states.device())?;
        let select = |tensor: &Tensor| tensor.f_index_select(0, &rows);
        Ok(EncodedText { states: select(&self.states)?, pooled: self.pooled.as_ref().map(select).transpose()? })
    }
}

/// A CLIP text encoder, frozen or being trained, whose input embeddings can be replaced.
#[derive(Debug)]
pub struct ClipTextModel {
    transformer: TextTransformer,
    /// From the end token's state to what compares with pictures.
    text_projection: Option<Linear>,
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

    /// Builds the text encoder of a configuration on weights from anywhere, whose names begin with `text_model.` or not;
    /// a `text_projection` may stand beside it.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: ClipTextConfig, weights: Weights) -> Result<Self> {
        let root = if weights.contains("text_model.embeddings.token_embedding.weight") {
            weights.root() / "text_model"
        } else {
            weights.root()
        };
        let projection = weights.root() / TEXT_PROJECTION;
        let (hidden, width) = (config.hidden_size, config.projection_dim);
        let projected = projection.has("weight").then(|| Linear::load_without_bias(&projection, hidden, width));
        let text_projection = projected.transpose()?;
        let transformer = TextTransformer::load(&root, config)?;
        weights.check_all_used(&["position_ids"])?;
        Ok(ClipTextModel { transformer, text_projection, weights })
    }

    /// The configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.transformer.config
    }

    /// Bytes of its weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Where it computes.
    pub fn device(&self) -> tch::Device {
        self.transformer.device()
    }

    /// Width of token embeddings and text states.
    pub fn hidden_size(&self) -> i64 {
        self.transformer.config.hidden_size
    }

    /// Width of pooled states: that of the projection, or of text states without one.
    pub fn pooled_width(&self) -> i64 {
        let config = self.config();
        if self.text_projection.is_some() { config.projection_dim } else { config.hidden_size }
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

    /// As [`ClipTextModel::encode`], with the states of a layer of choice, and, where the texts' end is given, with pooled
    /// states: those of the last layer, normalised, at the end token, through `text_projection` where there is one.
    ///
    /// # Shapes
    /// - `token_embeds`: `[batch, tokens, hidden]`
    /// - `end`: the position of the end token, the same in all texts
    ///
    /// # Errors
    /// Another shape, or an end beyond the tokens.
    ///
    /// # Source
    /// `CLIPTextModelWithProjection` in `transformers`: `hidden_states` and `text_embeds`.
    pub fn encode_layer(&self, token_embeds: &Tensor, layer: TextLayer, end: Option<i64>) -> Result<EncodedText> {
        self.encode_earlier(token_embeds, layer, 0, end)
    }

    /// As [`ClipTextModel::encode_layer`], with the states so many layers before that layer, normalised where that layer's are.
    /// What is pooled stays the last layer's.
    ///
    /// # Errors
    /// As there; and no layer would be left.
    ///
    /// # Source
    /// `clip_skip` of diffusers' pipelines.
    pub fn encode_earlier(
        &self,
        token_embeds: &Tensor,
        layer: TextLayer,
        skip: usize,
        end: Option<i64>,
    ) -> Result<EncodedText> {
        let TextTransformer { encoder, final_layer_norm, .. } = &self.transformer;
        let (read, layers) = (self.layers_before(layer, skip)?, encoder.count());
        let at_layer = encoder.run(0..read, self.transformer.add_positions(token_embeds)?)?;
        let pool = |end: i64| -> Result<Tensor> {
            let last = encoder.run(read..layers, at_layer.shallow_clone())?;
            let state = final_layer_norm.forward(&last)?.f_select(1, end)?;
            Ok(match &self.text_projection {
                Some(projection) => projection.forward(&state)?,
                None => state,
            })
        };
        let pooled = end.map(pool).transpose()?;
        let states = match layer {
            TextLayer::Last => final_layer_norm.forward(&at_layer)?,
            TextLayer::Penultimate => at_layer,
        };
        Ok(EncodedText { states, pooled })
    }

    /// How many layers come before the states that lie so many layers before those of `layer`.
    ///
    /// # Errors
    /// No layer would be left.
    pub fn layers_before(&self, layer: TextLayer, skip: usize) -> Result<usize> {
        let layers = self.transformer.encoder.count();
        let usual = match layer {
            TextLayer::Last => layers,
            TextLayer::Penultimate => layers.saturating_sub(1),
        };
        match usual.checked_sub(skip) {
            Some(read) if read > 0 || skip == 0 => Ok(read),
            _ => Err(Error::SkippedLayers { got: skip, most: usual.saturating_sub(1) }),
        }
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
        let states = self.encoder.forward(self.add_positions(token_embeds)?)?;
        Ok(self.final_layer_norm.forward(&states)?)
    }

    fn add_positions(&self, token_embeds: &Tensor) -> Result<Tensor> {
        let shape = token_embeds.size();
        let &[_, tokens, hidden] = shape.as_slice() else { return Err(self.shape_error(shape)) };
        if tokens > self.config.max_positions || hidden != self.config.hidden_size {
            return Err(self.shape_error(shape));
        }
        let positions = self.position_embedding.f_narrow(0, 0, tokens)?;
        Ok(token_embeds.f_to_kind(positions.kind())?.f_add(&positions)?)
    }

    fn device(&self) -> tch::Device {
        self.token_embedding.device()
    }

    fn shape_error(&self, got: Vec<i64>) -> Error {
        let expected = format!("[batch, up to {}, {}]", self.config.max_positions, self.config.hidden_size);
        Error::Shape { what: "token embeddings", got, expected }
    }
}
