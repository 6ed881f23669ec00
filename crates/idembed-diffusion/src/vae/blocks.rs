//! Encoder and decoder.

use idembed_layers::attention::{fused_attention, merge_heads, split_heads};
use idembed_layers::{Conv2d, ConvShape, GroupNorm, Linear};
use idembed_weights::Scope;
use tch::Tensor;

use super::config::VaeConfig;
use crate::Result;
use crate::resnet::{Downsample, ResnetBlock, Upsample};

/// Pictures to the parameters of their latents' distribution.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<(Vec<ResnetBlock>, Option<Downsample>)>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn load(scope: &Scope<'_>, config: &VaeConfig) -> Result<Self> {
        let channels = &config.block_channels;
        let (finest, coarsest) = (channels[0], channels[channels.len() - 1]);
        let down_blocks = channels.iter().enumerate().map(|(index, &outputs)| {
            let scope = scope / "down_blocks" / index;
            let inputs = channels[index.saturating_sub(1)];
            let last = index + 1 == channels.len();
            let downsample =
                (!last).then(|| Downsample::load(&(&scope / "downsamplers" / 0), outputs, 0)).transpose()?;
            Ok((load_resnets(&scope, config, config.layers, inputs, outputs)?, downsample))
        });
        Ok(Encoder {
            conv_in: Conv2d::load(&(scope / "conv_in"), config.image_channels, finest, ConvShape::same(3))?,
            down_blocks: down_blocks.collect::<Result<_>>()?,
            mid_block: MidBlock::load(&(scope / "mid_block"), config, coarsest)?,
            conv_norm_out: load_norm(&(scope / "conv_norm_out"), config, coarsest)?,
            conv_out: Conv2d::load(&(scope / "conv_out"), coarsest, 2 * config.latent_channels, ConvShape::same(3))?,
        })
    }

    pub(super) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(images)?;
        for (resnets, downsample) in &self.down_blocks {
            for resnet in resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(downsample) = downsample {
                x = downsample.forward(&x)?;
            }
        }
        x = self.mid_block.forward(&x)?;
        Ok(self.conv_out.forward(&self.conv_norm_out.forward(&x)?.f_silu()?)?)
    }
}

/// Latents to pictures.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<(Vec<ResnetBlock>, Option<Upsample>)>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub(super) fn load(scope: &Scope<'_>, config: &VaeConfig) -> Result<Self> {
        let channels: Vec<i64> = config.block_channels.iter().rev().copied().collect();
        let (coarsest, finest) = (channels[0], channels[channels.len() - 1]);
        let up_blocks = channels.iter().enumerate().map(|(index, &outputs)| {
            let scope = scope / "up_blocks" / index;
            let inputs = channels[index.saturating_sub(1)];
            let last = index + 1 == channels.len();
            let upsample = (!last).then(|| Upsample::load(&(&scope / "upsamplers" / 0), outputs)).transpose()?;
            Ok((load_resnets(&scope, config, config.layers + 1, inputs, outputs)?, upsample))
        });
        Ok(Decoder {
            conv_in: Conv2d::load(&(scope / "conv_in"), config.latent_channels, coarsest, ConvShape::same(3))?,
            mid_block: MidBlock::load(&(scope / "mid_block"), config, coarsest)?,
            up_blocks: up_blocks.collect::<Result<_>>()?,
            conv_norm_out: load_norm(&(scope / "conv_norm_out"), config, finest)?,
            conv_out: Conv2d::load(&(scope / "conv_out"), finest, config.image_channels, ConvShape::same(3))?,
        })
    }

    pub(super) fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let mut x = self.mid_block.forward(&self.conv_in.forward(latents)?)?;
        for (resnets, upsample) in &self.up_blocks {
            for resnet in resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(upsample) = upsample {
                let (_, _, height, width) = x.size4()?;
                x = upsample.forward(&x, (2 * height, 2 * width))?;
            }
        }
        Ok(self.conv_out.forward(&self.conv_norm_out.forward(&x)?.f_silu()?)?)
    }
}

/// The coarsest resolution: residual, attention, residual.
#[derive(Debug)]
struct MidBlock {
    resnets: Vec<ResnetBlock>,
    attention: Option<PixelAttention>,
}

impl MidBlock {
    fn load(scope: &Scope<'_>, config: &VaeConfig, channels: i64) -> Result<Self> {
        let attention = || PixelAttention::load(&(scope / "attentions" / 0), config, channels);
        Ok(MidBlock {
            resnets: load_resnets(scope, config, 2, channels, channels)?,
            attention: config.mid_attention.then(attention).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.resnets[0].forward(x, None)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(&x)?;
        }
        self.resnets[1].forward(&x, None)
    }
}

/// One-headed attention among the pixels, with a residual around it.
#[derive(Debug)]
struct PixelAttention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl PixelAttention {
    fn load(scope: &Scope<'_>, config: &VaeConfig, channels: i64) -> Result<Self> {
        // Checkpoints written before diffusers 0.14 use the second spelling.
        let names = if scope.has("query.weight") {
            ["query", "key", "value", "proj_attn"]
        } else {
            ["to_q", "to_k", "to_v", "to_out.0"]
        };
        let [to_q, to_k, to_v, to_out] = names.map(|name| Linear::load_or_flatten(&(scope / name), channels, channels));
        Ok(PixelAttention {
            group_norm: load_norm(&(scope / "group_norm"), config, channels)?,
            to_q: to_q?,
            to_k: to_k?,
            to_v: to_v?,
            to_out: to_out?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.size4()?;
        let pixels =
            self.group_norm.forward(x)?.f_permute([0, 2, 3, 1])?.f_reshape([batch, height * width, channels])?;
        let one_head = |linear: &Linear| split_heads(&linear.forward(&pixels)?, 1);
        let attended = fused_attention(&one_head(&self.to_q)?, &one_head(&self.to_k)?, &one_head(&self.to_v)?, false)?;
        let out = self.to_out.forward(&merge_heads(&attended)?)?;
        Ok(out.f_reshape([batch, height, width, channels])?.f_permute([0, 3, 1, 2])?.f_add(x)?)
    }
}

fn load_resnets(
    scope: &Scope<'_>,
    config: &VaeConfig,
    count: i64,
    inputs: i64,
    outputs: i64,
) -> Result<Vec<ResnetBlock>> {
    (0..count)
        .map(|layer| {
            let inputs = if layer == 0 { inputs } else { outputs };
            ResnetBlock::load(&(scope / "resnets" / layer), config.resnet_style(), inputs, outputs)
        })
        .collect()
}

fn load_norm(scope: &Scope<'_>, config: &VaeConfig, channels: i64) -> Result<GroupNorm> {
    Ok(GroupNorm::load(scope, channels, config.norm_groups, config.resnet_style().eps)?)
}
