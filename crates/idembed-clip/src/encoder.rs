//! The transformer inside both of CLIP's encoders.

use std::ops::Range;

use idembed_layers::attention::{fused_attention, merge_heads, split_heads};
use idembed_layers::{LayerNorm, Linear};
use idembed_weights::{Init, Scope, json};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{Error, Result};

/// Of all embeddings before training: `initializer_range` and `initializer_factor` of transformers' configuration.
pub(crate) const EMBEDDING_INIT: Init = Init::Normal(0.02);

/// The activation of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP (Stable Diffusion 1.x).
    QuickGelu,
    /// `x * Phi(x)`, as OpenCLIP (Stable Diffusion 2.x).
    Gelu,
}

/// The shape of a transformer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncoderShape {
    /// Width of the states.
    pub(crate) hidden_size: i64,
    /// Inner width of the feed-forward layers.
    pub(crate) intermediate_size: i64,
    pub(crate) layers: i64,
    pub(crate) heads: i64,
    pub(crate) activation: Activation,
    /// Added to the variance in layer normalisation.
    pub(crate) layer_norm_eps: f64,
}

/// The shape as it stands in a configuration, among other fields.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct EncoderJson {
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
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

impl EncoderJson {
    /// Checks the numbers; `network` is what to call it in an error.
    pub(crate) fn resolve(self, network: &str) -> Result<EncoderShape> {
        let activation = match self.hidden_act.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            other => {
                let what = format!("{network}'s hidden_act is `{other}`, expected quick_gelu or gelu");
                return Err(Error::Unsupported(what));
            }
        };
        json::check_counts(
            network,
            [
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("num_hidden_layers", self.num_hidden_layers),
                ("num_attention_heads", self.num_attention_heads),
            ],
        )?;
        if self.hidden_size % self.num_attention_heads != 0 {
            let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
            let what = format!("{network}'s hidden_size {hidden} is not a multiple of num_attention_heads {heads}");
            return Err(Error::Unsupported(what));
        }
        Ok(EncoderShape {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation,
            layer_norm_eps: self.layer_norm_eps,
        })
    }
}

impl From<EncoderShape> for EncoderJson {
    fn from(shape: EncoderShape) -> Self {
        let hidden_act = match shape.activation {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
        };
        EncoderJson {
            hidden_size: shape.hidden_size,
            intermediate_size: shape.intermediate_size,
            num_hidden_layers: shape.layers,
            num_attention_heads: shape.heads,
            hidden_act: hidden_act.to_owned(),
            layer_norm_eps: shape.layer_norm_eps,
        }
    }
}

/// A stack of pre-norm transformer layers.
#[derive(Debug)]
pub(crate) struct Encoder {
    layers: Vec<EncoderLayer>,
    /// Whether a position sees only itself and those before it.
    causal: bool,
}

impl Encoder {
    pub(crate) fn load(scope: &Scope<'_>, shape: EncoderShape, causal: bool) -> Result<Self> {
        let layer = |index| EncoderLayer::load(&(scope / "layers" / index), shape);
        Ok(Encoder { layers: (0..shape.layers).map(layer).collect::<Result<_>>()?, causal })
    }

    /// How many layers there are.
    pub(crate) fn count(&self) -> usize {
        self.layers.len()
    }

    /// # Shapes
    /// - `states`: `[batch, positions, hidden]`
    /// - returns: the same
    pub(crate) fn forward(&self, states: Tensor) -> Result<Tensor> {
        self.run(0..self.count(), states)
    }

    /// As [`Encoder::forward`], through some of the layers.
    pub(crate) fn run(&self, layers: Range<usize>, states: Tensor) -> Result<Tensor> {
        self.layers[layers].iter().try_fold(states, |states, layer| layer.forward(&states, self.causal))
    }
}

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
    fn load(scope: &Scope<'_>, shape: EncoderShape) -> Result<Self> {
        let EncoderShape { hidden_size: hidden, intermediate_size: inner, layer_norm_eps: eps, .. } = shape;
        let attention = scope / "self_attn";
        let mlp = scope / "mlp";
        let projection = |name: &str| Linear::load(&(&attention / name), hidden, hidden);
        Ok(EncoderLayer {
            layer_norm1: LayerNorm::load(&(scope / "layer_norm1"), hidden, eps)?,
            layer_norm2: LayerNorm::load(&(scope / "layer_norm2"), hidden, eps)?,
            q_proj: projection("q_proj")?,
            k_proj: projection("k_proj")?,
            v_proj: projection("v_proj")?,
            out_proj: projection("out_proj")?,
            fc1: Linear::load(&(&mlp / "fc1"), hidden, inner)?,
            fc2: Linear::load(&(&mlp / "fc2"), inner, hidden)?,
            heads: shape.heads,
            activation: shape.activation,
        })
    }

    fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        let normed = self.layer_norm1.forward(x)?;
        let query = split_heads(&self.q_proj.forward(&normed)?, self.heads)?;
        let key = split_heads(&self.k_proj.forward(&normed)?, self.heads)?;
        let value = split_heads(&self.v_proj.forward(&normed)?, self.heads)?;
        let attended = merge_heads(&fused_attention(&query, &key, &value, causal)?)?;
        let x = x.f_add(&self.out_proj.forward(&attended)?)?;

        let inner = self.fc1.forward(&self.layer_norm2.forward(&x)?)?;
        let inner = match self.activation {
            Activation::QuickGelu => inner.f_mul(&inner.f_mul_scalar(1.702)?.f_sigmoid()?)?,
            Activation::Gelu => inner.f_gelu("none")?,
        };
        Ok(x.f_add(&self.fc2.forward(&inner)?)?)
    }
}
