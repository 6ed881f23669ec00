//! The U-Net's blocks: one resolution on the way down, the middle, one resolution on the way up.

use idembed_weights::Scope;
use tch::Tensor;

use super::config::UNetConfig;
use super::transformer::{CrossAttention, CrossContext, SpatialTransformer};
use crate::Result;
use crate::resnet::{Downsample, ResnetBlock, Upsample};

/// Residual layers, each with attention behind it or none.
#[derive(Debug)]
struct Layers {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
}

impl Layers {
    fn forward(&self, index: usize, x: &Tensor, time: &Tensor, context: &mut CrossContext<'_, '_>) -> Result<Tensor> {
        let x = self.resnets[index].forward(x, Some(time))?;
        match self.attentions.get(index) {
            Some(attention) => attention.forward(&x, context),
            None => Ok(x),
        }
    }

    fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.attentions.iter().flat_map(SpatialTransformer::cross_attentions)
    }
}

/// Loads attentions one by one while the number of cross-attention layers grows.
pub(crate) struct SiteCounter(usize);

impl SiteCounter {
    pub(crate) fn new() -> Self {
        SiteCounter(0)
    }

    fn load(
        &mut self,
        scope: &Scope<'_>,
        config: &UNetConfig,
        block: usize,
        transformer_layers: i64,
        count: i64,
    ) -> Result<Vec<SpatialTransformer>> {
        let (channels, heads) = (config.blocks[block].channels, config.blocks[block].heads);
        (0..count)
            .map(|index| {
                let first = self.0;
                self.0 += transformer_layers as usize;
                let scope = scope / "attentions" / index;
                SpatialTransformer::load(&scope, config, channels, heads, transformer_layers, first)
            })
            .collect()
    }
}

/// One resolution on the way down.
#[derive(Debug)]
pub(super) struct DownBlock {
    layers: Layers,
    downsample: Option<Downsample>,
}

impl DownBlock {
    pub(super) fn load(scope: &Scope<'_>, config: &UNetConfig, index: usize, sites: &mut SiteCounter) -> Result<Self> {
        let block = &config.blocks[index];
        let entering = config.blocks[index.saturating_sub(1)].channels;
        let resnets = (0..block.layers)
            .map(|layer| {
                let inputs = if layer == 0 { entering } else { block.channels };
                ResnetBlock::load(&(scope / "resnets" / layer), config.resnet_style(), inputs, block.channels)
            })
            .collect::<Result<_>>()?;
        let count = if block.attention_down { block.layers } else { 0 };
        let attentions = sites.load(scope, config, index, block.transformer_layers, count)?;
        let last = index + 1 == config.blocks.len();
        let downsample = (!last)
            .then(|| Downsample::load(&(scope / "downsamplers" / 0), block.channels, config.downsample_padding))
            .transpose()?;
        Ok(DownBlock { layers: Layers { resnets, attentions }, downsample })
    }

    /// Pushes every intermediate result on `skips`; the last one is the block's output.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        context: &mut CrossContext<'_, '_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for index in 0..self.layers.resnets.len() {
            x = self.layers.forward(index, &x, time, context)?;
            skips.push(x.shallow_clone());
        }
        if let Some(downsample) = &self.downsample {
            x = downsample.forward(&x)?;
            skips.push(x.shallow_clone());
        }
        Ok(x)
    }

    pub(super) fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.layers.cross_attentions()
    }
}

/// The coarsest resolution: residual, attention, residual.
#[derive(Debug)]
pub(super) struct MidBlock {
    layers: Layers,
}

impl MidBlock {
    pub(super) fn load(scope: &Scope<'_>, config: &UNetConfig, sites: &mut SiteCounter) -> Result<Self> {
        let coarsest = config.blocks.len() - 1;
        let block = &config.blocks[coarsest];
        let resnets = (0..2)
            .map(|index| {
                ResnetBlock::load(&(scope / "resnets" / index), config.resnet_style(), block.channels, block.channels)
            })
            .collect::<Result<_>>()?;
        let attentions = sites.load(scope, config, coarsest, block.transformer_layers, 1)?;
        Ok(MidBlock { layers: Layers { resnets, attentions } })
    }

    pub(super) fn forward(&self, x: &Tensor, time: &Tensor, context: &mut CrossContext<'_, '_>) -> Result<Tensor> {
        let x = self.layers.forward(0, x, time, context)?;
        self.layers.forward(1, &x, time, context)
    }

    pub(super) fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.layers.cross_attentions()
    }
}

/// One resolution on the way up.
#[derive(Debug)]
pub(super) struct UpBlock {
    layers: Layers,
    upsample: Option<Upsample>,
}

impl UpBlock {
    /// `index` counts resolutions as the way down does, 0 the finest.
    pub(super) fn load(scope: &Scope<'_>, config: &UNetConfig, index: usize, sites: &mut SiteCounter) -> Result<Self> {
        let block = &config.blocks[index];
        let entering = config.blocks.get(index + 1).unwrap_or(block).channels;
        let finer = config.blocks[index.saturating_sub(1)].channels;
        let count = block.layers + 1;
        let resnets = (0..count)
            .map(|layer| {
                let hidden = if layer == 0 { entering } else { block.channels };
                let skip = if layer + 1 == count { finer } else { block.channels };
                ResnetBlock::load(&(scope / "resnets" / layer), config.resnet_style(), hidden + skip, block.channels)
            })
            .collect::<Result<_>>()?;
        let attention_count = if block.attention_up { count } else { 0 };
        let attentions = sites.load(scope, config, index, block.transformer_layers, attention_count)?;
        let upsample = (index > 0).then(|| Upsample::load(&(scope / "upsamplers" / 0), block.channels)).transpose()?;
        Ok(UpBlock { layers: Layers { resnets, attentions }, upsample })
    }

    /// Takes its skip connections from the end of `skips`.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        context: &mut CrossContext<'_, '_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for index in 0..self.layers.resnets.len() {
            let joined = match skips.pop() {
                Some(skip) => Tensor::f_cat(&[x, skip], 1)?,
                None => x,
            };
            x = self.layers.forward(index, &joined, time, context)?;
        }
        if let (Some(upsample), Some(next)) = (&self.upsample, skips.last()) {
            let (_, _, height, width) = next.size4()?;
            x = upsample.forward(&x, (height, width))?;
        }
        Ok(x)
    }

    pub(super) fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.layers.cross_attentions()
    }
}
