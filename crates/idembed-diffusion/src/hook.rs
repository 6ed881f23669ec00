//! The cross-attention hook: how others watch the U-Net's cross-attention during one forward call.
//!
//! A hook is an argument of one call and reduces what it sees at once; nothing in this crate keeps attention maps. It only
//! watches: the layers compute the same with and without it, bit for bit.

use tch::Tensor;

use crate::Result;

/// One cross-attention layer during one forward call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site<'a> {
    /// Position among the cross-attention layers, in the order of the forward pass, from 0.
    pub index: usize,
    /// The checkpoint's name of the layer, such as `down_blocks.0.attentions.0.transformer_blocks.0.attn2`.
    pub name: &'a str,
    /// Number of attention heads.
    pub heads: i64,
    /// Rows of the feature map that the queries come from.
    pub height: i64,
    /// Columns of the feature map that the queries come from.
    pub width: i64,
}

/// What one cross-attention layer computed. Gradients are not detached.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// `[batch, heads, height * width, head_dim]`, not yet scaled by `1 / sqrt(head_dim)`.
    pub query: &'a Tensor,
    /// `[1 or batch, heads, tokens, head_dim]`.
    pub key: &'a Tensor,
    /// `[batch, heads, height * width, tokens]`, f32 whatever the network's format; rows sum to 1.
    pub probs: &'a Tensor,
}

/// A listener at the cross-attention layers.
///
/// Layers that it wants compute explicit probabilities for it, beside the fused attention that all layers use.
pub trait AttentionHook {
    /// Whether [`AttentionHook::observe`] is to be called at this layer.
    fn wants(&self, site: &Site<'_>) -> bool;

    /// Receives what one layer computed.
    ///
    /// # Errors
    /// Whatever the listener finds wrong; it ends the forward call.
    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> Result<()>;
}
