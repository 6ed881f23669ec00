//! `unet/config.json`.

use std::path::Path;

use idembed_weights::{Source, count_of, json, shape_of};
use serde::Deserialize;
use serde_json::Value;

use super::added::NUMBERS;
use super::one_or_many::OneOrMany;
use crate::resnet::{MOST_RESOLUTIONS, ResnetStyle};
use crate::{Error, Result};

/// The file's fields that matter, as they stand in it.
#[derive(Debug, Deserialize)]
struct UNetConfigJson {
    in_channels: i64,
    out_channels: i64,
    block_out_channels: Vec<i64>,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    layers_per_block: OneOrMany,
    cross_attention_dim: i64,
    attention_head_dim: OneOrMany,
    num_attention_heads: Option<OneOrMany>,
    sample_size: Option<i64>,
    #[serde(default = "one")]
    transformer_layers_per_block: OneOrMany,
    #[serde(default)]
    use_linear_projection: bool,
    #[serde(default = "default_groups")]
    norm_num_groups: i64,
    #[serde(default = "default_eps")]
    norm_eps: f64,
    #[serde(default = "default_padding")]
    downsample_padding: i64,
    #[serde(default = "yes")]
    flip_sin_to_cos: bool,
    #[serde(default)]
    freq_shift: f64,
    #[serde(default)]
    center_input_sample: bool,
    upcast_attention: Option<bool>,
    addition_embed_type: Option<String>,
    addition_time_embed_dim: Option<i64>,
    projection_class_embeddings_input_dim: Option<i64>,
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

fn one() -> OneOrMany {
    OneOrMany::One(1)
}

fn default_groups() -> i64 {
    32
}

fn default_eps() -> f64 {
    1e-5
}

fn default_padding() -> i64 {
    1
}

fn yes() -> bool {
    true
}

/// What other members of the U-Net family set, and the only values that Stable Diffusion 1.x and 2.x and SDXL use.
const FIXED: [(&str, &[&str]); 23] = [
    ("act_fn", &["\"silu\""]),
    ("mid_block_type", &["\"UNetMidBlock2DCrossAttn\""]),
    ("mid_block_scale_factor", &["1", "1.0"]),
    ("only_cross_attention", &["false"]),
    ("dual_cross_attention", &["false"]),
    ("class_embed_type", &["null"]),
    ("num_class_embeds", &["null"]),
    ("encoder_hid_dim", &["null"]),
    ("encoder_hid_dim_type", &["null"]),
    ("time_embedding_type", &["\"positional\""]),
    ("time_embedding_act_fn", &["null"]),
    ("time_cond_proj_dim", &["null"]),
    ("timestep_post_act", &["null"]),
    ("resnet_time_scale_shift", &["\"default\""]),
    ("attention_type", &["\"default\""]),
    ("conv_in_kernel", &["3"]),
    ("conv_out_kernel", &["3"]),
    ("cross_attention_norm", &["null"]),
    ("mid_block_only_cross_attention", &["null", "false"]),
    ("resnet_out_scale_factor", &["1.0", "1"]),
    ("resnet_skip_time_act", &["false"]),
    ("reverse_transformer_layers_per_block", &["null"]),
    ("time_embedding_dim", &["null"]),
];

/// What `addition_embed_type` is called where a U-Net is told the text's pooled state and numbers.
const TEXT_AND_NUMBERS: &str = "text_time";
/// How wide the sinusoids of a number are in SDXL, which no shape tells.
const USUAL_NUMBER_WIDTH: i64 = 256;

/// How the channels of an attention layer are split, which no shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Into so many heads in every layer, as in 1.x.
    Count(i64),
    /// Into heads of so many channels, as in 2.x and SDXL.
    Width(i64),
}

/// One resolution of the U-Net, counted along the down path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockConfig {
    /// Channels of the feature map.
    pub channels: i64,
    /// Residual layers on the way down (the way up has one more).
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// Transformer layers per attention, on the way down.
    pub transformer_layers: i64,
    /// Whether the block has attention on the way down.
    pub attention_down: bool,
    /// Whether the block has attention on the way up.
    pub attention_up: bool,
}

/// The shape of what a U-Net is told of a picture beside its text (SDXL): the text's pooled state, and six numbers that say
/// of what size the picture is and what part of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedConfig {
    /// Width of the pooled text state.
    pub pooled_width: i64,
    /// Width of the sinusoids that each number becomes.
    pub number_width: i64,
}

/// The shape of a U-Net.
#[derive(Debug, Clone)]
pub struct UNetConfig {
    /// Channels of the latents.
    pub channels: i64,
    /// Channels that it reads behind the latents': none, or in inpainting models a mask and the latents of the picture around it.
    pub extra_channels: i64,
    /// The resolutions, finest first.
    pub blocks: Vec<BlockConfig>,
    /// Width of the text states.
    pub cross_attention_dim: i64,
    /// Side of the latents the model was trained at, if the file says.
    pub sample_size: Option<i64>,
    /// Whether attention blocks enter and leave by linear layers (2.x) or 1 x 1 convolutions (1.x).
    pub linear_projection: bool,
    /// Groups of the group normalisations.
    pub norm_groups: i64,
    /// Added to the variance in the residual layers' normalisations.
    pub norm_eps: f64,
    /// Padding of the downsampling convolutions.
    pub downsample_padding: i64,
    /// Whether the cosines come first in the timestep embedding.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the timestep embedding's exponent.
    pub freq_shift: f64,
    /// Whether latents are mapped by `2 x - 1` first.
    pub center_input_sample: bool,
    /// Whether attention is computed in f32 in a network of another format: some models of 2.x overflow in f16.
    pub upcast_attention: bool,
    /// What it is told beside the text, if anything.
    pub added: Option<AddedConfig>,
}

impl UNetConfig {
    /// The side in pixels of the pictures it was trained on, by how many times smaller latents are; 512 if it does not say.
    pub(crate) fn side_in_pixels(&self, downscale: i64) -> i64 {
        self.sample_size.map_or(512, |latents| latents * downscale)
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or a network that is not of the family of Stable Diffusion 1.x, 2.x and SDXL.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of_fields(path, json::read(path)?)
    }

    /// From the fields of a `config.json`, a network's that shares them.
    ///
    /// # Errors
    /// As [`UNetConfig::read`].
    pub(crate) fn of_fields(path: &Path, fields: serde_json::Map<String, Value>) -> Result<Self> {
        let json = serde_json::from_value::<UNetConfigJson>(Value::Object(fields));
        json.map_err(|source| Error::Json { path: path.to_path_buf(), source })?.resolve()
    }

    /// The configuration that weights imply, for a checkpoint that brings none: what no shape tells is as in all of
    /// Stable Diffusion.
    ///
    /// # Errors
    /// Tensors missing, or shapes that no U-Net of the family has.
    pub fn of_weights(source: &dyn Source, heads: Heads) -> Result<Self> {
        let count = count_of(source, |block| format!("down_blocks.{block}.resnets.0.conv1.weight"));
        let has_attention = |block: &str| source.shape(&format!("{block}.attentions.0.norm.weight")).is_some();
        let blocks = |way: &str, with: &str, without: &str| -> Vec<String> {
            let kind = |block| if has_attention(&format!("{way}_blocks.{block}")) { with } else { without };
            (0..count).map(|block| kind(block).to_owned()).collect()
        };
        let [_, in_channels, _, _] = shape_of(source, "conv_in.weight")?;
        // A ControlNet has no way up.
        let out_channels =
            source.shape("conv_out.weight").and_then(|shape| shape.first().copied()).unwrap_or(in_channels);
        let mid = "mid_block.attentions.0";
        let [_, cross_attention_dim] = shape_of(source, &format!("{mid}.transformer_blocks.0.attn2.to_k.weight"))?;
        let (mut channels, mut layers, mut transformers) = (Vec::new(), Vec::new(), Vec::new());
        for block in 0..count {
            let block = format!("down_blocks.{block}");
            let [outputs, _, _, _] = shape_of(source, &format!("{block}.resnets.0.conv1.weight"))?;
            channels.push(outputs);
            layers.push(count_of(source, |layer| format!("{block}.resnets.{layer}.conv1.weight")) as i64);
            // Without attention on the way down it is counted at the bottom, which has as much as the coarsest block.
            let attention = if has_attention(&block) { format!("{block}.attentions.0") } else { mid.to_owned() };
            let layer = |index| format!("{attention}.transformer_blocks.{index}.attn1.to_q.weight");
            transformers.push(count_of(source, layer) as i64);
        }
        let heads = channels.iter().map(|&channels| match heads {
            Heads::Count(count) => count,
            Heads::Width(width) => channels / width,
        });
        let added = source.shape("add_embedding.linear_1.weight").and_then(|shape| shape.get(1).copied());
        let json = UNetConfigJson {
            in_channels,
            out_channels,
            down_block_types: blocks("down", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types: blocks("up", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block: OneOrMany::Many(layers),
            cross_attention_dim,
            attention_head_dim: OneOrMany::Many(heads.collect()),
            num_attention_heads: None,
            sample_size: None,
            transformer_layers_per_block: OneOrMany::Many(transformers),
            use_linear_projection: source.shape(&format!("{mid}.proj_in.weight")).is_some_and(|shape| shape.len() == 2),
            norm_num_groups: default_groups(),
            norm_eps: default_eps(),
            downsample_padding: default_padding(),
            flip_sin_to_cos: yes(),
            freq_shift: 0.0,
            center_input_sample: false,
            upcast_attention: None,
            addition_embed_type: added.map(|_| TEXT_AND_NUMBERS.to_owned()),
            addition_time_embed_dim: added.map(|_| USUAL_NUMBER_WIDTH),
            projection_class_embeddings_input_dim: added,
            block_out_channels: channels,
            other: serde_json::Map::new(),
        };
        json.resolve()
    }

    /// Whether it also reads a mask and a picture, and so draws nothing without them.
    pub fn is_inpainting(&self) -> bool {
        self.extra_channels > 0
    }

    /// All channels that it reads.
    pub(crate) fn input_channels(&self) -> i64 {
        self.channels + self.extra_channels
    }

    /// Width of the timestep embedding.
    pub(crate) fn time_width(&self) -> i64 {
        4 * self.blocks[0].channels
    }

    /// What all residual layers have in common.
    pub(crate) fn resnet_style(&self) -> ResnetStyle {
        ResnetStyle { groups: self.norm_groups, eps: self.norm_eps, time_width: Some(self.time_width()) }
    }
}

impl UNetConfigJson {
    fn resolve(self) -> Result<UNetConfig> {
        self.check_family()?;
        let count = self.block_out_channels.len();
        let list = |field: &OneOrMany, name: &str| {
            field.per_block(count).ok_or_else(|| unsupported(format!("{name} does not have {count} entries")))
        };
        if !(1..=MOST_RESOLUTIONS).contains(&count) {
            return Err(unsupported(format!(
                "block_out_channels has {count} entries, expected 1 to {MOST_RESOLUTIONS}"
            )));
        }
        if self.down_block_types.len() != count || self.up_block_types.len() != count {
            return Err(unsupported("block_out_channels, down_block_types and up_block_types differ in length".into()));
        }
        // The published files call the number of heads `attention_head_dim`; `num_attention_heads` corrects it.
        let heads = list(self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim), "attention_head_dim")?;
        let layers = list(&self.layers_per_block, "layers_per_block")?;
        let transformer_layers = list(&self.transformer_layers_per_block, "transformer_layers_per_block")?;
        let counts = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("cross_attention_dim", self.cross_attention_dim),
            ("norm_num_groups", self.norm_num_groups),
        ];
        let named = |name: &'static str, values: &[i64]| values.iter().map(move |&value| (name, value)).collect();
        let lists: [Vec<_>; 4] = [
            named("block_out_channels", &self.block_out_channels),
            named("attention_head_dim", &heads),
            named("layers_per_block", &layers),
            named("transformer_layers_per_block", &transformer_layers),
        ];
        json::check_counts("the U-Net", counts.into_iter().chain(lists.into_iter().flatten()))?;
        let blocks = (0..count)
            .map(|index| {
                let channels = self.block_out_channels[index];
                let block = BlockConfig {
                    channels,
                    layers: layers[index],
                    heads: heads[index],
                    transformer_layers: transformer_layers[index],
                    attention_down: has_attention(
                        &self.down_block_types[index],
                        "CrossAttnDownBlock2D",
                        "DownBlock2D",
                    )?,
                    attention_up: has_attention(
                        &self.up_block_types[count - 1 - index],
                        "CrossAttnUpBlock2D",
                        "UpBlock2D",
                    )?,
                };
                if channels % block.heads != 0 || channels % self.norm_num_groups != 0 {
                    return Err(unsupported(format!(
                        "{channels} channels cannot be split into {} heads and {} groups",
                        block.heads, self.norm_num_groups
                    )));
                }
                Ok(block)
            })
            .collect::<Result<_>>()?;
        Ok(UNetConfig {
            channels: self.out_channels,
            extra_channels: self.in_channels - self.out_channels,
            blocks,
            cross_attention_dim: self.cross_attention_dim,
            sample_size: self.sample_size,
            linear_projection: self.use_linear_projection,
            norm_groups: self.norm_num_groups,
            norm_eps: self.norm_eps,
            downsample_padding: self.downsample_padding,
            flip_sin_to_cos: self.flip_sin_to_cos,
            freq_shift: self.freq_shift,
            center_input_sample: self.center_input_sample,
            upcast_attention: self.upcast_attention.unwrap_or(false),
            added: self.added()?,
        })
    }

    fn added(&self) -> Result<Option<AddedConfig>> {
        let Some(kind) = &self.addition_embed_type else { return Ok(None) };
        if kind != TEXT_AND_NUMBERS {
            return Err(unsupported(format!("addition_embed_type is {kind:?}, expected null or {TEXT_AND_NUMBERS:?}")));
        }
        let field = |name, value: Option<i64>| value.ok_or_else(|| unsupported(format!("{name} is missing")));
        let number_width = field("addition_time_embed_dim", self.addition_time_embed_dim)?;
        let name = "projection_class_embeddings_input_dim";
        let inputs = field(name, self.projection_class_embeddings_input_dim)?;
        let pooled_width = inputs.saturating_sub(NUMBERS.saturating_mul(number_width));
        if number_width < 2 || number_width % 2 != 0 || pooled_width < 1 {
            return Err(unsupported(format!(
                "{name} is {inputs} and addition_time_embed_dim {number_width}, expected an even number and more than \
                 {NUMBERS} times as much"
            )));
        }
        Ok(Some(AddedConfig { pooled_width, number_width }))
    }

    fn check_family(&self) -> Result<()> {
        // In inpainting models a mask and a picture's latents follow.
        let inpainting = self.out_channels.saturating_mul(2).saturating_add(1);
        if ![self.out_channels, inpainting].contains(&self.in_channels) {
            return Err(unsupported(format!(
                "it has {} input and {} output channels, expected as many, or {inpainting} for inpainting",
                self.in_channels, self.out_channels
            )));
        }
        for (field, accepted) in FIXED {
            if let Some(value) = self.other.get(field).map(Value::to_string)
                && !accepted.contains(&value.as_str())
            {
                return Err(unsupported(format!("{field} is {value}, expected {}", accepted[0])));
            }
        }
        Ok(())
    }
}

fn has_attention(kind: &str, with: &str, without: &str) -> Result<bool> {
    match kind {
        _ if kind == with => Ok(true),
        _ if kind == without => Ok(false),
        _ => Err(unsupported(format!("block type `{kind}`, expected {with} or {without}"))),
    }
}

fn unsupported(what: String) -> Error {
    Error::Unsupported { what: format!("the U-Net's configuration: {what}"), hint: None }
}
