//! `vae/config.json`.

use std::path::Path;

use idembed_weights::{Source, count_of, json, shape_of};
use serde::{Deserialize, Serialize};

use crate::resnet::{MOST_RESOLUTIONS, ResnetStyle};
use crate::{Error, Result};

/// The only types of blocks in autoencoders of this family.
const DOWN_BLOCK: &str = "DownEncoderBlock2D";
const UP_BLOCK: &str = "UpDecoderBlock2D";

/// The file's fields that matter, as they stand in it.
#[derive(Debug, Deserialize, Serialize)]
struct VaeConfigJson {
    #[serde(rename = "_class_name", default)]
    class_name: String,
    in_channels: i64,
    out_channels: i64,
    latent_channels: i64,
    block_out_channels: Vec<i64>,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    layers_per_block: i64,
    #[serde(default = "default_groups")]
    norm_num_groups: i64,
    #[serde(default = "default_scaling_factor")]
    scaling_factor: f64,
    shift_factor: Option<f64>,
    latents_mean: Option<Vec<f64>>,
    latents_std: Option<Vec<f64>>,
    #[serde(default = "default_activation")]
    act_fn: String,
    #[serde(default = "yes")]
    use_quant_conv: bool,
    #[serde(default = "yes")]
    use_post_quant_conv: bool,
    #[serde(default = "yes")]
    mid_block_add_attention: bool,
    #[serde(default)]
    force_upcast: bool,
}

fn default_groups() -> i64 {
    32
}

/// Files of Stable Diffusion 1.x were written before the field existed; diffusers reads them with this value.
pub(crate) fn default_scaling_factor() -> f64 {
    0.18215
}

fn default_activation() -> String {
    "silu".to_owned()
}

fn yes() -> bool {
    true
}

/// The shape of an autoencoder.
#[derive(Debug, Clone)]
pub struct VaeConfig {
    /// Channels of the pictures.
    pub image_channels: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Channels per resolution, finest first.
    pub block_channels: Vec<i64>,
    /// Residual layers per resolution in the encoder (the decoder has one more).
    pub layers: i64,
    /// Groups of the group normalisations.
    pub norm_groups: i64,
    /// What latents are multiplied with before the U-Net sees them.
    pub scaling_factor: f64,
    /// Whether a 1 x 1 convolution stands behind the encoder.
    pub quant_conv: bool,
    /// Whether a 1 x 1 convolution stands before the decoder.
    pub post_quant_conv: bool,
    /// Whether the coarsest resolution has attention.
    pub mid_attention: bool,
    /// Whether the file says that f16 overflows in this autoencoder.
    pub force_upcast: bool,
}

impl VaeConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or an autoencoder of another family.
    pub fn read(path: &Path) -> Result<Self> {
        let json: VaeConfigJson = json::read(path)?;
        json.resolve()
    }

    /// The configuration that weights imply, for a checkpoint that brings none: what no shape tells is as in all of
    /// Stable Diffusion; the scaling factor differs between families.
    ///
    /// # Errors
    /// Tensors missing, or shapes that no autoencoder of the family has.
    pub fn of_weights(source: &dyn Source, scaling_factor: f64) -> Result<Self> {
        let resnet = |block, layer| format!("encoder.down_blocks.{block}.resnets.{layer}.conv1.weight");
        let count = count_of(source, |block| resnet(block, 0));
        let channels = (0..count).map(|block| Ok(shape_of::<4>(source, &resnet(block, 0))?[0]));
        let [_, in_channels, _, _] = shape_of(source, "encoder.conv_in.weight")?;
        let [out_channels, _, _, _] = shape_of(source, "decoder.conv_out.weight")?;
        let [_, latent_channels, _, _] = shape_of(source, "decoder.conv_in.weight")?;
        let has = |name: &str| source.shape(name).is_some();
        let json = VaeConfigJson {
            class_name: String::new(),
            in_channels,
            out_channels,
            latent_channels,
            block_out_channels: channels.collect::<Result<_>>()?,
            down_block_types: vec![DOWN_BLOCK.to_owned(); count],
            up_block_types: vec![UP_BLOCK.to_owned(); count],
            layers_per_block: count_of(source, |layer| resnet(0, layer)) as i64,
            norm_num_groups: default_groups(),
            scaling_factor,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            act_fn: default_activation(),
            use_quant_conv: has("quant_conv.weight"),
            use_post_quant_conv: has("post_quant_conv.weight"),
            mid_block_add_attention: has("encoder.mid_block.attentions.0.group_norm.weight"),
            force_upcast: false,
        };
        json.resolve()
    }

    /// Writes `config.json` as diffusers reads it.
    ///
    /// # Errors
    /// What the system said; then there is no file, or the older one.
    pub fn write(&self, path: &Path) -> Result<()> {
        let blocks = |kind: &str| vec![kind.to_owned(); self.block_channels.len()];
        let json = VaeConfigJson {
            class_name: "AutoencoderKL".to_owned(),
            in_channels: self.image_channels,
            out_channels: self.image_channels,
            latent_channels: self.latent_channels,
            block_out_channels: self.block_channels.clone(),
            down_block_types: blocks(DOWN_BLOCK),
            up_block_types: blocks(UP_BLOCK),
            layers_per_block: self.layers,
            norm_num_groups: self.norm_groups,
            scaling_factor: self.scaling_factor,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            act_fn: default_activation(),
            use_quant_conv: self.quant_conv,
            use_post_quant_conv: self.post_quant_conv,
            mid_block_add_attention: self.mid_attention,
            force_upcast: self.force_upcast,
        };
        Ok(json::write(path, &json)?)
    }

    /// How many pixels one latent stands for, along each side.
    pub fn downscale(&self) -> i64 {
        1 << (self.block_channels.len() - 1)
    }

    /// What all residual layers have in common. The normalisations' epsilon is in no file.
    pub(super) fn resnet_style(&self) -> ResnetStyle {
        ResnetStyle { groups: self.norm_groups, eps: 1e-6, time_width: None }
    }
}

impl VaeConfigJson {
    fn resolve(self) -> Result<VaeConfig> {
        let unsupported =
            |what: String| Err(Error::Unsupported { what: format!("the VAE's configuration: {what}"), hint: None });
        let count = self.block_out_channels.len();
        if !(1..=MOST_RESOLUTIONS).contains(&count) {
            return unsupported(format!("block_out_channels has {count} entries, expected 1 to {MOST_RESOLUTIONS}"));
        }
        if self.down_block_types.len() != count || self.up_block_types.len() != count {
            return unsupported("block_out_channels, down_block_types and up_block_types differ in length".to_owned());
        }
        if let Some(kind) = self.down_block_types.iter().find(|kind| *kind != DOWN_BLOCK) {
            return unsupported(format!("block type `{kind}`, expected {DOWN_BLOCK}"));
        }
        if let Some(kind) = self.up_block_types.iter().find(|kind| *kind != UP_BLOCK) {
            return unsupported(format!("block type `{kind}`, expected {UP_BLOCK}"));
        }
        if self.in_channels != 3 || self.out_channels != 3 {
            return unsupported(format!(
                "it has {} input and {} output channels, expected 3 (RGB)",
                self.in_channels, self.out_channels
            ));
        }
        if self.act_fn != "silu" {
            return unsupported(format!("act_fn is `{}`, expected silu", self.act_fn));
        }
        if self.shift_factor.is_some_and(|shift| shift != 0.0)
            || self.latents_mean.is_some()
            || self.latents_std.is_some()
        {
            return unsupported("latents are shifted (shift_factor, latents_mean), expected only scaled".to_owned());
        }
        let counts = [
            ("latent_channels", self.latent_channels),
            ("layers_per_block", self.layers_per_block),
            ("norm_num_groups", self.norm_num_groups),
        ];
        let channels = self.block_out_channels.iter().map(|&channels| ("block_out_channels", channels));
        json::check_counts("the VAE", counts.into_iter().chain(channels))?;
        let positive = self.scaling_factor.is_finite() && self.scaling_factor > 0.0;
        let divisible = |channels: &i64| channels % self.norm_num_groups == 0;
        if !positive || !self.block_out_channels.iter().all(divisible) {
            return unsupported(
                "scaling_factor is not positive, or block_out_channels is no multiple of norm_num_groups".to_owned(),
            );
        }
        Ok(VaeConfig {
            image_channels: self.in_channels,
            latent_channels: self.latent_channels,
            block_channels: self.block_out_channels,
            layers: self.layers_per_block,
            norm_groups: self.norm_num_groups,
            scaling_factor: self.scaling_factor,
            quant_conv: self.use_quant_conv,
            post_quant_conv: self.use_post_quant_conv,
            mid_attention: self.mid_block_add_attention,
            force_upcast: self.force_upcast,
        })
    }
}
