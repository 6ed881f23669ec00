//! The configuration of a U-Net's ControlNet, as diffusers writes it.

use std::path::Path;

use idembed_weights::json;
use serde_json::{Map, Value, json};

use crate::Result;

/// Channels of the edges' features at full size, half of it, a quarter and an eighth: few, since the pictures are small.
const HINT_CHANNELS: [i64; 4] = [16, 16, 32, 64];

/// What a ControlNet has of its U-Net, as far as the U-Net's file says it.
const SHARED: [&str; 18] = [
    "in_channels",
    "flip_sin_to_cos",
    "freq_shift",
    "down_block_types",
    "mid_block_type",
    "only_cross_attention",
    "block_out_channels",
    "layers_per_block",
    "downsample_padding",
    "act_fn",
    "norm_num_groups",
    "norm_eps",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "_diffusers_version",
];

/// The content of `config.json` for the ControlNet of the U-Net whose configuration is this file.
pub(super) fn of_unet(unet: &Path) -> Result<Vec<u8>> {
    let unet: Map<String, Value> = json::read(unet)?;
    let mut fields = Map::from_iter([
        ("_class_name".to_owned(), json!("ControlNetModel")),
        ("conditioning_channels".to_owned(), json!(3)),
        ("controlnet_conditioning_channel_order".to_owned(), json!("rgb")),
        ("conditioning_embedding_out_channels".to_owned(), json!(HINT_CHANNELS)),
        ("global_pool_conditions".to_owned(), json!(false)),
    ]);
    fields.extend(unet.into_iter().filter(|(name, _)| SHARED.contains(&name.as_str())));
    Ok(serde_json::to_vec_pretty(&fields)?)
}
