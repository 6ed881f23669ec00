//! The autoencoder of a checkpoint, or in a file of its own.

use idembed_weights::{Alias, Listing};

use crate::{Table, replaced};

/// Before the names of the autoencoder in a checkpoint.
pub const PREFIX: &str = "first_stage_model.";

/// In both halves.
const HALF: [(&str, &str); 5] = [
    ("conv_in", "conv_in"),
    ("norm_out", "conv_norm_out"),
    ("conv_out", "conv_out"),
    ("mid.block_1", "mid_block.resnets.0"),
    ("mid.block_2", "mid_block.resnets.1"),
];

/// In the attention of the coarsest resolution; its projections are convolutions of one pixel.
const ATTENTION: [(&str, &str); 5] =
    [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];

/// Where the tensors of the autoencoder lie below `prefix`: [`PREFIX`] in a checkpoint, nothing in a file of its own.
pub fn table(file: &Listing, prefix: &str) -> Table {
    let resolutions = (0..).take_while(|index| file.has_below(&format!("{prefix}decoder.up.{index}."))).count();
    let names = file.below(prefix).filter_map(|name| name.strip_prefix(prefix));
    let named = names.filter_map(|old| {
        let name = format!("{prefix}{old}");
        let new = new_name(old, resolutions)?;
        let is_projection = old.contains(".mid.attn_1.");
        let alias = match file.shape(&name) {
            Some(&[outputs, inputs, 1, 1]) if is_projection => Alias::of(name).reshaped(&[outputs, inputs]),
            _ => Alias::of(name),
        };
        Some((new, alias))
    });
    named.collect()
}

fn new_name(old: &str, resolutions: usize) -> Option<String> {
    if old.starts_with("quant_conv.") || old.starts_with("post_quant_conv.") {
        return Some(old.to_owned());
    }
    let (half, inner) = old.split_once('.').filter(|(half, _)| matches!(*half, "encoder" | "decoder"))?;
    if let Some(attention) = inner.strip_prefix("mid.attn_1.") {
        return Some(format!("{half}.mid_block.attentions.0.{}", replaced(attention, &ATTENTION)?));
    }
    if let Some(new) = replaced(inner, &HALF) {
        return Some(format!("{half}.{new}"));
    }
    // `down.0.block.1.norm1.weight`, `up.3.upsample.conv.bias`: the original code counts the way up from its end.
    let (way, inner) = inner.split_once('.')?;
    let (index, inner) = inner.split_once('.')?;
    let index: usize = index.parse().ok().filter(|&index| index < resolutions)?;
    let block = match way {
        "down" => format!("{half}.down_blocks.{index}"),
        "up" => format!("{half}.up_blocks.{}", resolutions - 1 - index),
        _ => return None,
    };
    let new = replaced(inner, &[("block", "resnets"), ("downsample", "downsamplers.0"), ("upsample", "upsamplers.0")])?;
    Some(format!("{block}.{}", new.replace("nin_shortcut", "conv_shortcut")))
}
