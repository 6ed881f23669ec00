//! `config.json` of a ControlNet.

use std::path::Path;

use idembed_weights::{Source, count_of, json, shape_of};
use serde_json::{Map, Value};

use crate::unet::{Heads, UNetConfig};
use crate::{Error, Result};

/// The shape of a ControlNet.
#[derive(Debug, Clone)]
pub struct ControlNetConfig {
    /// The way down and the middle, which it shares with a U-Net.
    pub unet: UNetConfig,
    /// Channels of the picture that it sees.
    pub conditioning_channels: i64,
    /// Channels of the picture's features at full size, half of it, a quarter, and so on.
    pub hint_channels: Vec<i64>,
    /// Whether the picture's channels are in reverse order, blue first.
    pub blue_first: bool,
}

impl ControlNetConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// Not JSON, a field missing, or a network of another family.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fields: Map<String, Value> = json::read(path)?;
        let refused = |what: String| {
            Err(Error::Unsupported { what: format!("the ControlNet's configuration: {what}"), hint: None })
        };
        if fields.get("global_pool_conditions").is_some_and(|value| *value != Value::Bool(false)) {
            return refused("global_pool_conditions is set, expected false".to_owned());
        }
        let take = |fields: &Map<String, Value>, name: &str, usual: Value| fields.get(name).cloned().unwrap_or(usual);
        let order = take(&fields, "controlnet_conditioning_channel_order", "rgb".into());
        let blue_first = match order.as_str() {
            Some("rgb") => false,
            Some("bgr") => true,
            _ => {
                return refused(format!(
                    "controlnet_conditioning_channel_order is {order}, expected \"rgb\" or \"bgr\""
                ));
            }
        };
        let hint = take(&fields, "conditioning_embedding_out_channels", Value::from(vec![16, 32, 96, 256]));
        let hint: Option<Vec<i64>> =
            hint.as_array().and_then(|list| list.iter().map(|channels| channels.as_i64().filter(|&c| c > 0)).collect());
        let Some(hint_channels) = hint.filter(|hint| (1..=8).contains(&hint.len())) else {
            return refused("conditioning_embedding_out_channels is no list of 1 to 8 numbers above 0".to_owned());
        };
        let channels = take(&fields, "conditioning_channels", 3.into());
        let Some(conditioning_channels) = channels.as_i64().filter(|&channels| channels == 3) else {
            return refused(format!("conditioning_channels is {channels}, expected 3 (RGB)"));
        };
        // It has no way up; the U-Net's reader wants one.
        let down = fields.get("down_block_types").and_then(Value::as_array).cloned().unwrap_or_default();
        let up = down.iter().map(|_| Value::from("UpBlock2D")).collect::<Vec<_>>();
        let inputs = take(&fields, "in_channels", 4.into());
        fields.insert("up_block_types".to_owned(), up.into());
        fields.insert("out_channels".to_owned(), inputs);
        Ok(ControlNetConfig {
            unet: UNetConfig::of_fields(path, fields)?,
            conditioning_channels,
            hint_channels,
            blue_first,
        })
    }

    /// The configuration that weights imply, for a file that brings none: what no shape tells is as in all of them.
    ///
    /// # Errors
    /// Tensors missing, or shapes that no ControlNet has.
    pub fn of_weights(source: &dyn Source) -> Result<Self> {
        let proj_in = source.shape("mid_block.attentions.0.proj_in.weight").unwrap_or_default();
        // Linear layers there, and heads of 64 channels, came together with Stable Diffusion 2.
        let heads = if proj_in.len() == 2 { Heads::Width(64) } else { Heads::Count(8) };
        let embedding = "controlnet_cond_embedding";
        let [first, conditioning_channels, _, _] = shape_of(source, &format!("{embedding}.conv_in.weight"))?;
        let blocks = count_of(source, |index| format!("{embedding}.blocks.{index}.weight"));
        let outputs = (0..blocks).skip(1).step_by(2);
        let outputs = outputs.map(|index| Ok(shape_of::<4>(source, &format!("{embedding}.blocks.{index}.weight"))?[0]));
        let hint_channels = std::iter::once(Ok(first)).chain(outputs).collect::<Result<_>>()?;
        let unet = UNetConfig::of_weights(source, heads)?;
        Ok(ControlNetConfig { unet, conditioning_channels, hint_channels, blue_first: false })
    }

    /// How many pixels of the picture one latent stands for, along each side.
    pub fn downscale(&self) -> i64 {
        1 << (self.hint_channels.len() - 1)
    }
}
