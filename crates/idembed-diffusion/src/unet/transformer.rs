//! The attention blocks: self-attention, cross-attention to the text, feed-forward.

use idembed_layers::attention::{attention_probs, fused_attention, merge_heads, split_heads, upcast_attention};
use idembed_layers::{Conv2d, ConvShape, GroupNorm, LayerNorm, Linear};
use idembed_weights::Scope;
use tch::{Kind, TchError, Tensor};

use super::config::UNetConfig;
use super::projected::RegionContext;
use crate::hook::{AttentionHook, Observed, Site};
use crate::{Result, area};

/// Group normalisation before the projection; diffusers fixes this one whatever the configuration says.
const ENTRY_NORM_EPS: f64 = 1e-6;

/// Keys and values of one cross-attention layer, `[batch, heads, tokens, head_dim]` each.
#[derive(Debug)]
pub(crate) struct KeyValue {
    pub(super) key: Tensor,
    pub(super) value: Tensor,
}

/// What flows beside the feature map: the projected text and who listens.
pub(crate) struct CrossContext<'a, 'h> {
    pub(crate) layers: &'a [KeyValue],
    pub(crate) regions: &'a [RegionContext],
    pub(crate) hook: Option<&'h mut dyn AttentionHook>,
}

/// A transformer over the pixels of a feature map, with a residual around it.
#[derive(Debug)]
pub(super) struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Projection,
}

/// A map from channels to channels at every pixel: linear in 2.x, a 1 x 1 convolution in 1.x.
#[derive(Debug)]
enum Projection {
    Linear(Linear),
    Conv(Conv2d),
}

impl Projection {
    fn load(scope: &Scope<'_>, channels: i64, linear: bool) -> Result<Self> {
        if linear {
            Ok(Projection::Linear(Linear::load(scope, channels, channels)?))
        } else {
            Ok(Projection::Conv(Conv2d::load(scope, channels, channels, ConvShape::same(1))?))
        }
    }
}

impl SpatialTransformer {
    /// `first_site` counts the cross-attention layers before this block.
    pub(super) fn load(
        scope: &Scope<'_>,
        config: &UNetConfig,
        channels: i64,
        heads: i64,
        layers: i64,
        first_site: usize,
    ) -> Result<Self> {
        let projection = |name: &str| Projection::load(&(scope / name), channels, config.linear_projection);
        let transformer_blocks = (0..layers)
            .map(|index| {
                let scope = scope / "transformer_blocks" / index;
                TransformerBlock::load(&scope, config, channels, heads, first_site + index as usize)
            })
            .collect::<Result<_>>()?;
        Ok(SpatialTransformer {
            norm: GroupNorm::load(&(scope / "norm"), channels, config.norm_groups, ENTRY_NORM_EPS)?,
            proj_in: projection("proj_in")?,
            transformer_blocks,
            proj_out: projection("proj_out")?,
        })
    }

    /// The cross-attention layers, in the order of the forward pass.
    pub(super) fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.transformer_blocks.iter().map(|block| &block.attn2)
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, height, width]`
    pub(super) fn forward(&self, x: &Tensor, context: &mut CrossContext<'_, '_>) -> Result<Tensor> {
        let (batch, channels, height, width) = x.size4()?;
        let to_pixels = |x: &Tensor| x.f_permute([0, 2, 3, 1])?.f_reshape([batch, height * width, channels]);
        let to_map = |x: &Tensor| x.f_reshape([batch, height, width, channels])?.f_permute([0, 3, 1, 2]);

        let normed = self.norm.forward(x)?;
        let mut hidden = match &self.proj_in {
            Projection::Linear(linear) => linear.forward(&to_pixels(&normed)?)?,
            Projection::Conv(conv) => to_pixels(&conv.forward(&normed)?)?,
        };
        for block in &self.transformer_blocks {
            hidden = block.forward(&hidden, height, width, context)?;
        }
        let out = match &self.proj_out {
            Projection::Linear(linear) => to_map(&linear.forward(&hidden)?)?,
            Projection::Conv(conv) => conv.forward(&to_map(&hidden)?)?,
        };
        Ok(out.f_add(x)?)
    }
}

/// One pre-norm transformer layer.
#[derive(Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: SelfAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    ff: GegluFeedForward,
}

impl TransformerBlock {
    fn load(scope: &Scope<'_>, config: &UNetConfig, channels: i64, heads: i64, site: usize) -> Result<Self> {
        let norm = |name: &str| LayerNorm::load(&(scope / name), channels, 1e-5);
        let cross = scope / "attn2";
        Ok(TransformerBlock {
            norm1: norm("norm1")?,
            attn1: SelfAttention::load(&(scope / "attn1"), config, channels, heads)?,
            norm2: norm("norm2")?,
            attn2: CrossAttention::load(&cross, config, channels, heads, site)?,
            norm3: norm("norm3")?,
            ff: GegluFeedForward::load(&(scope / "ff"), channels)?,
        })
    }

    fn forward(&self, x: &Tensor, height: i64, width: i64, context: &mut CrossContext<'_, '_>) -> Result<Tensor> {
        let x = x.f_add(&self.attn1.forward(&self.norm1.forward(x)?)?)?;
        let x = x.f_add(&self.attn2.forward(&self.norm2.forward(&x)?, height, width, context)?)?;
        Ok(x.f_add(&self.ff.forward(&self.norm3.forward(&x)?)?)?)
    }
}

/// Attention among the pixels.
#[derive(Debug)]
struct SelfAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: i64,
    upcast: bool,
}

impl SelfAttention {
    fn load(scope: &Scope<'_>, config: &UNetConfig, channels: i64, heads: i64) -> Result<Self> {
        let projection = |name: &str| Linear::load_without_bias(&(scope / name), channels, channels);
        Ok(SelfAttention {
            to_q: projection("to_q")?,
            to_k: projection("to_k")?,
            to_v: projection("to_v")?,
            to_out: Linear::load(&(scope / "to_out" / 0), channels, channels)?,
            heads,
            upcast: config.upcast_attention,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let query = split_heads(&self.to_q.forward(x)?, self.heads)?;
        let key = split_heads(&self.to_k.forward(x)?, self.heads)?;
        let value = split_heads(&self.to_v.forward(x)?, self.heads)?;
        Ok(self.to_out.forward(&merge_heads(&fused(&query, &key, &value, self.upcast)?)?)?)
    }
}

/// Attention from the pixels to the text. Its keys and values come projected: the text does not change from step to step.
#[derive(Debug)]
pub(crate) struct CrossAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: i64,
    upcast: bool,
    site: usize,
    name: String,
}

impl CrossAttention {
    fn load(scope: &Scope<'_>, config: &UNetConfig, channels: i64, heads: i64, site: usize) -> Result<Self> {
        let projection = |name: &str, inputs| Linear::load_without_bias(&(scope / name), inputs, channels);
        Ok(CrossAttention {
            to_q: projection("to_q", channels)?,
            to_k: projection("to_k", config.cross_attention_dim)?,
            to_v: projection("to_v", config.cross_attention_dim)?,
            to_out: Linear::load(&(scope / "to_out" / 0), channels, channels)?,
            heads,
            upcast: config.upcast_attention,
            site,
            name: scope.prefix().to_owned(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn heads(&self) -> i64 {
        self.heads
    }

    /// Keys of text states `[batch, tokens, text_width]`.
    pub(super) fn project_key(&self, states: &Tensor) -> Result<Tensor> {
        Ok(split_heads(&self.to_k.forward(states)?, self.heads)?)
    }

    /// Keys from one set of text states, values from the other.
    pub(super) fn project(&self, key: &Tensor, value: &Tensor) -> Result<KeyValue> {
        let value = split_heads(&self.to_v.forward(value)?, self.heads)?;
        Ok(KeyValue { key: self.project_key(key)?, value })
    }

    fn forward(&self, x: &Tensor, height: i64, width: i64, context: &mut CrossContext<'_, '_>) -> Result<Tensor> {
        let KeyValue { key, .. } = &context.layers[self.site];
        let query = split_heads(&self.to_q.forward(x)?, self.heads)?;
        let site = Site { index: self.site, name: &self.name, heads: self.heads, height, width };
        if let Some(hook) = context.hook.as_mut().filter(|hook| hook.wants(&site)) {
            let probs = attention_probs(&query, key)?;
            hook.observe(&site, &Observed { query: &query, key, probs: &probs })?;
        }
        let mut attended = self.attend(&query, &context.layers[self.site])?;
        if !context.regions.is_empty() {
            attended = self.in_regions(&query, attended, context.regions, [height, width])?;
        }
        Ok(self.to_out.forward(&merge_heads(&attended)?)?)
    }

    fn attend(&self, query: &Tensor, KeyValue { key, value }: &KeyValue) -> Result<Tensor> {
        let same_batch = |x: &Tensor| x.f_expand([query.size()[0], -1, -1, -1], false);
        Ok(fused(query, &same_batch(key)?, &same_batch(value)?, self.upcast)?)
    }

    /// What the pixels of each region read in its own text, and all others in that of the whole picture.
    ///
    /// # Shapes
    /// - `attended`, returns: `[batch, heads, height * width, head_dim]`
    fn in_regions(
        &self,
        query: &Tensor,
        attended: Tensor,
        regions: &[RegionContext],
        [height, width]: [i64; 2],
    ) -> Result<Tensor> {
        let shares = area::shares(regions.iter().map(|region| &region.area), height, width)?;
        let shares = shares.f_to_device(attended.device())?.f_unsqueeze(-1)?;
        let rest = shares.f_sum_dim_intlist(0i64, false, Kind::Float)?.f_rsub_scalar(1.0)?;
        let weighted = |x: &Tensor, share: &Tensor| x.f_mul(&share.f_to_kind(x.kind())?);
        let mut sum = weighted(&attended, &rest)?;
        for (index, region) in regions.iter().enumerate() {
            let own = self.attend(query, &region.layers[self.site])?;
            sum = sum.f_add(&weighted(&own, &shares.f_select(0, index as i64)?)?)?;
        }
        Ok(sum)
    }
}

/// Fused attention, in f32 if the model wants it.
fn fused(query: &Tensor, key: &Tensor, value: &Tensor, upcast: bool) -> std::result::Result<Tensor, TchError> {
    if upcast { upcast_attention(query, key, value) } else { fused_attention(query, key, value, false) }
}

/// `W_2 (a * gelu(b))` with `[a, b] = W_1 x` (arXiv 2002.05202).
#[derive(Debug)]
struct GegluFeedForward {
    proj: Linear,
    out: Linear,
}

impl GegluFeedForward {
    fn load(scope: &Scope<'_>, channels: i64) -> Result<Self> {
        let net = scope / "net";
        Ok(GegluFeedForward {
            proj: Linear::load(&(&net / 0 / "proj"), channels, 8 * channels)?,
            out: Linear::load(&(&net / 2), 4 * channels, channels)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let halves = self.proj.forward(x)?.f_chunk(2, -1)?;
        Ok(self.out.forward(&halves[0].f_mul(&halves[1].f_gelu("none")?)?)?)
    }
}
