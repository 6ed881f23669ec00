//! The whole U-Net.

use std::path::Path;

use idembed_layers::{Conv2d, ConvShape, GroupNorm};
use idembed_weights::{Compute, Weights, channels_last};
use tch::Tensor;

use super::blocks::{DownBlock, MidBlock, SiteCounter, UpBlock};
use super::config::UNetConfig;
use super::time_embedding::TimeEmbedding;
use super::transformer::{CrossAttention, CrossContext, KeyValue};
use crate::conditioning::TextStates;
use crate::hook::AttentionHook;
use crate::{Error, Result};

/// A noise predictor, frozen or being trained.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    compute: Compute,
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    sites: Vec<SiteInfo>,
    weights: Weights,
}

/// One cross-attention layer as it is known before any forward call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteInfo {
    /// The checkpoint's name of the layer.
    pub name: String,
    /// Number of attention heads.
    pub heads: i64,
    /// How many times coarser than the latents its feature map is: 1, 2, 4, ...
    pub downscale: i64,
}

/// Keys and values of one prompt in all cross-attention layers, ready for any number of steps.
#[derive(Debug)]
pub struct ProjectedContext {
    layers: Vec<KeyValue>,
}

impl ProjectedContext {
    /// One context whose batch holds the first's rows and then the second's, as guidance needs.
    pub fn concat(&self, other: &ProjectedContext) -> Result<ProjectedContext> {
        let join = |a: &Tensor, b: &Tensor| Tensor::f_cat(&[a, b], 0);
        let layers = self
            .layers
            .iter()
            .zip(&other.layers)
            .map(|(a, b)| Ok(KeyValue { key: join(&a.key, &b.key)?, value: join(&a.value, &b.value)? }));
        Ok(ProjectedContext { layers: layers.collect::<Result<_>>()? })
    }

    /// The context for a batch in which every row stands `times` times in a row.
    pub fn repeat_rows(&self, times: i64) -> Result<ProjectedContext> {
        let repeat = |x: &Tensor| x.f_repeat_interleave_self_int(times, 0, None);
        let layers =
            self.layers.iter().map(|layer| Ok(KeyValue { key: repeat(&layer.key)?, value: repeat(&layer.value)? }));
        Ok(ProjectedContext { layers: layers.collect::<Result<_>>()? })
    }
}

impl UNet {
    /// Loads `config.json` and `diffusion_pytorch_model.safetensors` from a folder.
    ///
    /// # Errors
    /// Unreadable files, weights that do not match the configuration, or a U-Net of another family.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let config = UNetConfig::read(&folder.join("config.json"))?;
        Self::from_weights(config, Weights::open(folder, "diffusion_pytorch_model", compute)?)
    }

    /// Builds the U-Net of a configuration on weights from anywhere.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: UNetConfig, weights: Weights) -> Result<Self> {
        let compute = weights.compute();
        let root = weights.root();
        let (finest, count) = (config.blocks[0].channels, config.blocks.len());
        let mut counter = SiteCounter::new();

        let down_blocks = (0..count)
            .map(|index| DownBlock::load(&(&root / "down_blocks" / index), &config, index, &mut counter))
            .collect::<Result<Vec<_>>>()?;
        let mid_block = MidBlock::load(&(&root / "mid_block"), &config, &mut counter)?;
        let up_blocks = (0..count)
            .map(|index| UpBlock::load(&(&root / "up_blocks" / index), &config, count - 1 - index, &mut counter))
            .collect::<Result<Vec<_>>>()?;

        let unet = UNet {
            compute,
            conv_in: Conv2d::load(&(&root / "conv_in"), config.channels, finest, ConvShape::same(3))?,
            time_embedding: TimeEmbedding::load(&(&root / "time_embedding"), &config, compute.kind)?,
            sites: list_sites(&down_blocks, &mid_block, &up_blocks),
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::load(&(&root / "conv_norm_out"), finest, config.norm_groups, config.norm_eps)?,
            conv_out: Conv2d::load(&(&root / "conv_out"), finest, config.channels, ConvShape::same(3))?,
            config,
            weights,
        };
        unet.weights.check_all_used(&[])?;
        Ok(unet)
    }

    /// The configuration.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The cross-attention layers in the order of the forward pass: `sites()[i]` has index `i`.
    pub fn sites(&self) -> &[SiteInfo] {
        &self.sites
    }

    /// How many times coarser than the latents each cross-attention layer's feature map is, in the order of [`UNet::sites`].
    pub fn downscales(&self) -> Vec<i64> {
        self.sites.iter().map(|site| site.downscale).collect()
    }

    /// SHA-256 of the first and last layers: enough to tell one training from another, without reading gigabytes.
    pub fn fingerprint(&self) -> Result<String> {
        let outermost = ["conv_in.", "conv_out.", "conv_norm_out.", "time_embedding."];
        Ok(self.weights.fingerprint("", |name| outermost.iter().any(|layer| name.starts_with(layer)))?)
    }

    /// Bytes of its weights in memory.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Fails if the weights may be others by now, because their file was changed in place.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        Ok(self.weights.check_unchanged()?)
    }

    /// Keys and values of all cross-attention layers. Gradients flow to the text states.
    ///
    /// # Shapes
    /// - `states.key`, `states.value`: `[batch, tokens, cross_attention_dim]`
    pub fn project(&self, states: &TextStates) -> Result<ProjectedContext> {
        let key = self.checked_states("key states", &states.key)?;
        let states = TextStates { key, value: self.checked_states("value states", &states.value)? };
        let layers = self.cross_attentions().map(|layer| layer.project(&states)).collect::<Result<_>>()?;
        Ok(ProjectedContext { layers })
    }

    /// Keys alone, one tensor `[batch, heads, tokens, head_dim]` per site.
    ///
    /// # Shapes
    /// - `states`: `[batch, tokens, cross_attention_dim]`
    pub fn project_keys(&self, states: &Tensor) -> Result<Vec<Tensor>> {
        let states = self.checked_states("key states", states)?;
        self.cross_attentions().map(|layer| layer.project_key(&states)).collect()
    }

    /// Predicts the noise (or the velocity, as the model was trained).
    ///
    /// # Shapes
    /// - `latents`: `[batch, channels, height, width]`, any height and width
    /// - `timesteps`: `[batch]` f32, may be fractional
    /// - `context`: projected from a batch of 1 or `batch`
    /// - returns: as `latents`, in the network's format
    ///
    /// # Errors
    /// Shapes that do not fit, or whatever the hook reports.
    pub fn forward(
        &self,
        latents: &Tensor,
        timesteps: &Tensor,
        context: &ProjectedContext,
        hook: Option<&mut dyn AttentionHook>,
    ) -> Result<Tensor> {
        self.check_inputs(latents, timesteps, context)?;
        let mut latents = latents.f_to_device(self.compute.device)?.f_to_kind(self.compute.kind)?;
        if self.config.center_input_sample {
            latents = latents.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        }
        // The residual layers all want SiLU of the embedding, so it is taken once.
        let time = self.time_embedding.forward(&timesteps.f_to_device(self.compute.device)?)?.f_silu()?;
        let mut context = CrossContext { layers: &context.layers, hook };

        let mut x = self.conv_in.forward(&channels_last(&latents)?)?;
        let mut skips = vec![x.shallow_clone()];
        for block in &self.down_blocks {
            x = block.forward(x, &time, &mut context, &mut skips)?;
        }
        x = self.mid_block.forward(&x, &time, &mut context)?;
        for block in &self.up_blocks {
            x = block.forward(x, &time, &mut context, &mut skips)?;
        }
        Ok(self.conv_out.forward(&self.conv_norm_out.forward(&x)?.f_silu()?)?)
    }

    fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        all_cross_attentions(&self.down_blocks, &self.mid_block, &self.up_blocks).map(|(layer, _)| layer)
    }

    fn checked_states(&self, what: &'static str, states: &Tensor) -> Result<Tensor> {
        let got = states.size();
        let width = self.config.cross_attention_dim;
        if got.len() != 3 || got[2] != width {
            return Err(Error::Shape { what, got, expected: format!("[batch, tokens, {width}]") });
        }
        Ok(states.f_to_device(self.compute.device)?.f_to_kind(self.compute.kind)?)
    }

    fn check_inputs(&self, latents: &Tensor, timesteps: &Tensor, context: &ProjectedContext) -> Result<()> {
        let got = latents.size();
        if got.len() != 4 || got[1] != self.config.channels || got[2] < 1 || got[3] < 1 {
            let expected = format!("[batch, {}, height, width]", self.config.channels);
            return Err(Error::Shape { what: "latents", got, expected });
        }
        if timesteps.size() != [got[0]] {
            let expected = format!("[{}], one for each of the latents", got[0]);
            return Err(Error::Shape { what: "timesteps", got: timesteps.size(), expected });
        }
        match context.layers.first().map(|layer| layer.key.size()) {
            Some(key) if key[0] != 1 && key[0] != got[0] => {
                let expected = format!("a batch of 1 or {}", got[0]);
                Err(Error::Shape { what: "projected context", got: key, expected })
            }
            _ => Ok(()),
        }
    }
}

/// All cross-attention layers with the downscale of their feature maps, in the order of the forward pass.
fn all_cross_attentions<'a>(
    down_blocks: &'a [DownBlock],
    mid_block: &'a MidBlock,
    up_blocks: &'a [UpBlock],
) -> impl Iterator<Item = (&'a CrossAttention, i64)> {
    let count = down_blocks.len();
    let down = down_blocks
        .iter()
        .enumerate()
        .flat_map(|(index, block)| block.cross_attentions().map(move |layer| (layer, 1 << index)));
    let mid = mid_block.cross_attentions().map(move |layer| (layer, 1 << (count - 1)));
    let up = up_blocks
        .iter()
        .enumerate()
        .flat_map(move |(index, block)| block.cross_attentions().map(move |layer| (layer, 1 << (count - 1 - index))));
    down.chain(mid).chain(up)
}

fn list_sites(down_blocks: &[DownBlock], mid_block: &MidBlock, up_blocks: &[UpBlock]) -> Vec<SiteInfo> {
    all_cross_attentions(down_blocks, mid_block, up_blocks)
        .map(|(layer, downscale)| SiteInfo { name: layer.name().to_owned(), heads: layer.heads(), downscale })
        .collect()
}
