//! The way down and the middle: all of a U-Net that a ControlNet has, too.

use idembed_layers::{Conv2d, ConvShape};
use idembed_weights::Scope;
use tch::{Kind, Tensor};

use super::blocks::{DownBlock, MidBlock, SiteCounter};
use super::config::UNetConfig;
use super::time_embedding::TimeEmbedding;
use super::transformer::{CrossAttention, CrossContext};
use crate::{Error, Result};

/// From latents to the coarsest feature map.
#[derive(Debug)]
pub(crate) struct DownPath {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    blocks: Vec<DownBlock>,
    middle: MidBlock,
}

/// What the way down gives.
pub(crate) struct Features {
    /// The result of `conv_in` and of every layer, the last one the middle's input.
    pub(crate) skips: Vec<Tensor>,
    /// The middle's result.
    pub(crate) middle: Tensor,
    /// SiLU of the embedding, which the residual layers of the way up want too.
    pub(super) time: Tensor,
}

impl DownPath {
    pub(crate) fn load(root: &Scope<'_>, config: &UNetConfig, kind: Kind, sites: &mut SiteCounter) -> Result<Self> {
        let load = |index| DownBlock::load(&(root / "down_blocks" / index), config, index, sites);
        Ok(DownPath {
            blocks: (0..config.blocks.len()).map(load).collect::<Result<_>>()?,
            middle: MidBlock::load(&(root / "mid_block"), config, sites)?,
            conv_in: Conv2d::load(
                &(root / "conv_in"),
                config.input_channels(),
                config.blocks[0].channels,
                ConvShape::same(3),
            )?,
            time_embedding: TimeEmbedding::load(&(root / "time_embedding"), config, kind)?,
        })
    }

    /// # Shapes
    /// - `latents`: `[batch, channels, height, width]`, channels last
    /// - `timesteps`: `[batch]`
    /// - `added`: `[1 or batch, time_width]`
    /// - `hint`: added to the result of `conv_in`, whose shape it has but for a batch of 1
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timesteps: &Tensor,
        added: Option<&Tensor>,
        hint: Option<&Tensor>,
        context: &mut CrossContext<'_, '_>,
    ) -> Result<Features> {
        let mut time = self.time_embedding.forward(timesteps)?;
        if let Some(added) = added {
            let (rows, width) = time.size2()?;
            if added.size() != [rows, width] && added.size() != [1, width] {
                let expected = format!("[{rows}, {width}]");
                return Err(Error::Shape { what: "added embedding", got: added.size(), expected });
            }
            time = time.f_add(&added.f_to_device(time.device())?.f_to_kind(time.kind())?)?;
        }
        // The residual layers all want SiLU of the embedding, so it is taken once.
        let time = time.f_silu()?;
        let mut x = self.conv_in.forward(latents)?;
        if let Some(hint) = hint {
            x = x.f_add(hint)?;
        }
        let mut skips = vec![x.shallow_clone()];
        for block in &self.blocks {
            x = block.forward(x, &time, context, &mut skips)?;
        }
        let middle = self.middle.forward(&x, &time, context)?;
        Ok(Features { skips, middle, time })
    }

    /// The cross-attention layers with the downscale of their feature maps, in the order of the forward pass.
    pub(crate) fn cross_attentions(&self) -> impl Iterator<Item = (&CrossAttention, i64)> {
        let coarsest = self.blocks.len() - 1;
        let down = self
            .blocks
            .iter()
            .enumerate()
            .flat_map(|(index, block)| block.cross_attentions().map(move |layer| (layer, 1 << index)));
        down.chain(self.middle.cross_attentions().map(move |layer| (layer, 1 << coarsest)))
    }
}
