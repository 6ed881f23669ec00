//! The U-Net of a checkpoint.
//!
//! The original code counts all layers of the way down (`input_blocks.0` to `.11`) and up in one row, diffusers counts them
//! within each resolution; which is which is told by the layers themselves.

use std::collections::BTreeMap;

use idembed_weights::{Alias, Listing};

use crate::{Table, replaced};

/// Before the names of the U-Net.
pub const PREFIX: &str = "model.diffusion_model.";

/// Outside the blocks.
const OUTSIDE: [(&str, &str); 7] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// In a residual layer.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// What one layer of a block is, by its place in diffusers' layout.
enum Layer {
    Resnet(String),
    Attention(String),
    /// The name of its convolution in the original layout, and where that stands in diffusers'.
    Resampler(&'static str, String),
}

/// Where the tensors of the U-Net lie. What is below [`PREFIX`] and not in the table belongs to no U-Net of this family.
pub fn table(file: &Listing) -> Table {
    table_below(file, PREFIX)
}

/// The same below another prefix.
pub(crate) fn table_below(file: &Listing, prefix: &str) -> Table {
    let layers = layers(file, prefix);
    let names = file.below(prefix).filter_map(|name| name.strip_prefix(prefix));
    let named = names.filter_map(|old| Some((new_name(old, &layers)?, Alias::of(format!("{prefix}{old}")))));
    named.collect()
}

fn new_name(old: &str, layers: &BTreeMap<String, Layer>) -> Option<String> {
    if let Some(new) = replaced(old, &OUTSIDE) {
        return Some(new);
    }
    let (place, inner) = split_place(old)?;
    match layers.get(place)? {
        Layer::Resnet(new) => Some(format!("{new}.{}", replaced(inner, &RESNET)?)),
        Layer::Attention(new) => Some(format!("{new}.{inner}")),
        Layer::Resampler(conv, new) => replaced(inner, &[(conv, new)]),
    }
}

/// Cuts `input_blocks.4.1.proj_in.weight` or `middle_block.1.proj_in.weight` behind its layer.
fn split_place(name: &str) -> Option<(&str, &str)> {
    let numbers = if name.starts_with("middle_block.") { 1 } else { 2 };
    let (end, _) = name.match_indices('.').nth(numbers)?;
    Some((&name[..end], &name[end + 1..]))
}

/// All layers in the blocks, by their places in the original layout.
fn layers(file: &Listing, prefix: &str) -> BTreeMap<String, Layer> {
    let has = |place: &str| file.has_below(&format!("{prefix}{place}."));
    let mut layers = BTreeMap::new();

    let (mut block, mut layer) = (0, 0);
    for index in (1..).take_while(|index| has(&format!("input_blocks.{index}"))) {
        let old = format!("input_blocks.{index}");
        if has(&format!("{old}.0.op")) {
            layers
                .insert(format!("{old}.0"), Layer::Resampler("op", format!("down_blocks.{block}.downsamplers.0.conv")));
            (block, layer) = (block + 1, 0);
            continue;
        }
        layers.insert(format!("{old}.0"), Layer::Resnet(format!("down_blocks.{block}.resnets.{layer}")));
        layers.insert(format!("{old}.1"), Layer::Attention(format!("down_blocks.{block}.attentions.{layer}")));
        layer += 1;
    }

    layers.insert("middle_block.0".to_owned(), Layer::Resnet("mid_block.resnets.0".to_owned()));
    layers.insert("middle_block.1".to_owned(), Layer::Attention("mid_block.attentions.0".to_owned()));
    layers.insert("middle_block.2".to_owned(), Layer::Resnet("mid_block.resnets.1".to_owned()));

    (block, layer) = (0, 0);
    for index in (0..).take_while(|index| has(&format!("output_blocks.{index}"))) {
        let old = format!("output_blocks.{index}");
        layers.insert(format!("{old}.0"), Layer::Resnet(format!("up_blocks.{block}.resnets.{layer}")));
        // The convolution that enlarges stands behind the attention, or behind the residual layer where there is none.
        let upsampler = [1, 2].into_iter().find(|part| has(&format!("{old}.{part}.conv")));
        if upsampler != Some(1) {
            layers.insert(format!("{old}.1"), Layer::Attention(format!("up_blocks.{block}.attentions.{layer}")));
        }
        layer += 1;
        if let Some(part) = upsampler {
            let conv = Layer::Resampler("conv", format!("up_blocks.{block}.upsamplers.0.conv"));
            layers.insert(format!("{old}.{part}"), conv);
            (block, layer) = (block + 1, 0);
        }
    }
    layers
}

/// The original names of a U-Net's tensors, without [`PREFIX`], by those in diffusers' layout: the way back from [`table`], for
/// files that name layers so and hold no whole network.
pub fn original_names(names: &[String]) -> BTreeMap<String, String> {
    let places = original_places(names);
    let named = names.iter().filter_map(|name| Some((name.clone(), original_name(name, &places)?)));
    named.collect()
}

fn original_name(name: &str, places: &[(String, String)]) -> Option<String> {
    let swapped = |pairs: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
        pairs.iter().map(|(old, new)| (*new, *old)).collect()
    };
    if let Some(old) = replaced(name, &swapped(&OUTSIDE)) {
        return Some(old);
    }
    let (new, old) =
        places.iter().find(|(new, _)| name.strip_prefix(new.as_str()).is_some_and(|rest| rest.starts_with('.')))?;
    let inner = &name[new.len() + 1..];
    let is_resnet = new.contains(".resnets.");
    let inner = if is_resnet { replaced(inner, &swapped(&RESNET))? } else { inner.to_owned() };
    Some(format!("{old}.{inner}"))
}

/// All layers in the blocks: where they stand in diffusers' layout, and in the original one.
fn original_places(names: &[String]) -> Vec<(String, String)> {
    let has = |place: &str| names.iter().any(|name| name.strip_prefix(place).is_some_and(|rest| rest.starts_with('.')));
    let mut places = Vec::new();
    let mut put = |new: String, old: String| {
        let there = has(&new);
        if there {
            places.push((new, old));
        }
        there
    };
    let mut index = 1;
    for block in 0.. {
        let block = format!("down_blocks.{block}");
        for layer in 0.. {
            if !put(format!("{block}.resnets.{layer}"), format!("input_blocks.{index}.0")) {
                break;
            }
            put(format!("{block}.attentions.{layer}"), format!("input_blocks.{index}.1"));
            index += 1;
        }
        if !put(format!("{block}.downsamplers.0.conv"), format!("input_blocks.{index}.0.op")) {
            break;
        }
        index += 1;
    }
    for (new, part) in [("resnets.0", 0), ("attentions.0", 1), ("resnets.1", 2)] {
        put(format!("mid_block.{new}"), format!("middle_block.{part}"));
    }
    index = 0;
    for block in 0.. {
        let block = format!("up_blocks.{block}");
        let mut upsampler = 1;
        for layer in 0.. {
            if !put(format!("{block}.resnets.{layer}"), format!("output_blocks.{index}.0")) {
                break;
            }
            if put(format!("{block}.attentions.{layer}"), format!("output_blocks.{index}.1")) {
                upsampler = 2;
            }
            index += 1;
        }
        if !put(format!("{block}.upsamplers.0.conv"), format!("output_blocks.{}.{upsampler}.conv", index - 1)) {
            break;
        }
    }
    places
}
