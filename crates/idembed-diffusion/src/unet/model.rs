//! The whole U-Net.

use std::path::Path;

use idembed_layers::{Conv2d, ConvShape, GroupNorm};
use idembed_weights::{Compute, Weights, channels_last};
use tch::Tensor;

use super::added::{AddedEmbedding, PictureSizes};
use super::blocks::{SiteCounter, UpBlock};
use super::config::UNetConfig;
use super::down_path::{DownPath, Features};
use super::input::{Residuals, UNetInput};
use super::projected::{ProjectedContext, TextInput};
use super::transformer::{CrossAttention, CrossContext};
use crate::conditioning::TextStates;
use crate::hook::AttentionHook;
use crate::{Error, Result};

/// What its weight files are called, before their endings.
const WEIGHTS: &str = "diffusion_pytorch_model";

/// A noise predictor, frozen or being trained.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    compute: Compute,
    added: Option<AddedEmbedding>,
    down_path: DownPath,
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

impl UNet {
    /// Loads `config.json` and `diffusion_pytorch_model.safetensors` from a folder.
    ///
    /// # Errors
    /// Unreadable files, weights that do not match the configuration, or a U-Net of another family.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let config = UNetConfig::read(&folder.join("config.json"))?;
        Self::from_weights(config, Weights::open(folder, WEIGHTS, compute)?)
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

        let added = config.added.as_ref();
        let added = added.map(|added| AddedEmbedding::load(&root, &config, added, compute)).transpose()?;
        let down_path = DownPath::load(&root, &config, compute.kind, &mut counter)?;
        let up_blocks = (0..count)
            .map(|index| UpBlock::load(&(&root / "up_blocks" / index), &config, count - 1 - index, &mut counter))
            .collect::<Result<Vec<_>>>()?;

        let unet = UNet {
            compute,
            sites: list_sites(&down_path, &up_blocks),
            added,
            down_path,
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
    /// - `states.key`, `states.value`: `[batch, tokens, cross_attention_dim]`, or with states of its own for each layer
    ///   `[layers, batch, tokens, cross_attention_dim]`
    pub fn project(&self, states: &TextStates) -> Result<ProjectedContext> {
        ProjectedContext::new(&self.cross_attentions().collect::<Vec<_>>(), states, self.text_input())
    }

    /// Keys alone, one tensor `[batch, heads, tokens, head_dim]` per site.
    ///
    /// # Shapes
    /// - `states`: `[batch, tokens, cross_attention_dim]`
    pub fn project_keys(&self, states: &Tensor) -> Result<Vec<Tensor>> {
        let states = self.text_input().check("key states", states)?;
        self.cross_attentions().map(|layer| layer.project_key(&states)).collect()
    }

    /// What is added to the embedding of the timestep ([`UNetInput::added`]); nothing in models that are told of the text
    /// alone. Gradients flow to the pooled text state.
    ///
    /// # Shapes
    /// - returns: `[batch of the context, time_width]`
    ///
    /// # Errors
    /// The context has no pooled state of the width that the model wants.
    pub fn added(&self, context: &ProjectedContext, sizes: PictureSizes) -> Result<Option<Tensor>> {
        self.added.as_ref().map(|added| added.forward(context.pooled(), sizes)).transpose()
    }

    /// Predicts the noise (or the velocity, as the model was trained).
    ///
    /// # Shapes
    /// - returns: as the latents, in the network's format
    ///
    /// # Errors
    /// Shapes that do not fit, or whatever the hook reports.
    pub fn forward(&self, input: UNetInput<'_>, hook: Option<&mut dyn AttentionHook>) -> Result<Tensor> {
        input.check(self.config.input_channels())?;
        if self.added.is_some() && input.added.is_none() {
            return Err(no_added());
        }
        let Compute { device, kind } = self.compute;
        let mut latents = input.latents.f_to_device(device)?.f_to_kind(kind)?;
        if self.config.center_input_sample {
            latents = latents.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        }
        let mut context = CrossContext { layers: &input.context.layers, regions: &input.context.regions, hook };
        let timesteps = input.timesteps.f_to_device(device)?;
        let mut features =
            self.down_path.forward(&channels_last(&latents)?, &timesteps, input.added, None, &mut context)?;
        if let Some(residuals) = input.residuals {
            add_residuals(&mut features, residuals)?;
        }
        let Features { mut skips, middle: mut x, time } = features;
        for block in &self.up_blocks {
            x = block.forward(x, &time, &mut context, &mut skips)?;
        }
        Ok(self.conv_out.forward(&self.conv_norm_out.forward(&x)?.f_silu()?)?)
    }

    fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        all_cross_attentions(&self.down_path, &self.up_blocks).map(|(layer, _)| layer)
    }

    fn text_input(&self) -> TextInput {
        TextInput { width: self.config.cross_attention_dim, compute: self.compute }
    }
}

/// A U-Net that is told the sizes of pictures was not.
pub(crate) fn no_added() -> Error {
    let expected = "given, because the model is told the sizes of pictures".to_owned();
    Error::Shape { what: "added embedding", got: Vec::new(), expected }
}

/// Adds what a ControlNet gives.
fn add_residuals(features: &mut Features, residuals: &Residuals) -> Result<()> {
    let Residuals { skips, middle } = residuals;
    if skips.len() != features.skips.len() {
        let (got, expected) = (vec![skips.len() as i64], format!("{} tensors", features.skips.len()));
        return Err(Error::Shape { what: "list of skip residuals", got, expected });
    }
    let add = |what: &'static str, x: &mut Tensor, residual: &Tensor| -> Result<()> {
        if x.size() != residual.size() {
            return Err(Error::Shape { what, got: residual.size(), expected: format!("{:?}", x.size()) });
        }
        *x = x.f_add(&residual.f_to_device(x.device())?.f_to_kind(x.kind())?)?;
        Ok(())
    };
    for (skip, residual) in features.skips.iter_mut().zip(skips) {
        add("skip residual", skip, residual)?;
    }
    add("middle residual", &mut features.middle, middle)
}

/// All cross-attention layers with the downscale of their feature maps, in the order of the forward pass.
fn all_cross_attentions<'a>(
    down_path: &'a DownPath,
    up_blocks: &'a [UpBlock],
) -> impl Iterator<Item = (&'a CrossAttention, i64)> {
    let count = up_blocks.len();
    let up = up_blocks
        .iter()
        .enumerate()
        .flat_map(move |(index, block)| block.cross_attentions().map(move |layer| (layer, 1 << (count - 1 - index))));
    down_path.cross_attentions().chain(up)
}

fn list_sites(down_path: &DownPath, up_blocks: &[UpBlock]) -> Vec<SiteInfo> {
    all_cross_attentions(down_path, up_blocks)
        .map(|(layer, downscale)| SiteInfo { name: layer.name().to_owned(), heads: layer.heads(), downscale })
        .collect()
}
