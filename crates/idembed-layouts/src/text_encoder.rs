//! The text encoder of a checkpoint: as `transformers` has it (1.x), or OpenCLIP (2.x).

use idembed_weights::{Alias, Listing};

use crate::Table;

/// Before the names of a text encoder that `transformers` wrote.
pub const TRANSFORMERS_PREFIX: &str = "cond_stage_model.transformer.";
/// Before the names of a text encoder that OpenCLIP wrote.
pub const OPEN_CLIP_PREFIX: &str = "cond_stage_model.model.";

/// Before the names of all of `transformers`' encoder but the oldest exports'.
const ROOT: &str = "text_model.";
/// Stable Diffusion 2.x reads the states before the last of OpenCLIP's layers, so that diffusers leaves that one out.
/// The encoder of this width has [`LAYERS_OF_WIDE`] of them; some files were saved without the last.
const WIDE: i64 = 1024;
const LAYERS_OF_WIDE: usize = 24;

/// Outside the layers of OpenCLIP's encoder.
const OUTSIDE: [(&str, &str); 4] = [
    ("token_embedding.weight", "embeddings.token_embedding.weight"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final.weight", "final_layer_norm.weight"),
    ("ln_final.bias", "final_layer_norm.bias"),
];

/// In a layer of OpenCLIP's encoder.
const LAYER: [(&str, &str); 5] = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
];

/// Query, key and value, which OpenCLIP stacks.
const STACKED: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Where the tensors lie of a text encoder that `transformers` wrote.
pub fn transformers(file: &Listing) -> Table {
    let names = file.below(TRANSFORMERS_PREFIX);
    let named = names.map(|name| {
        let inner = &name[TRANSFORMERS_PREFIX.len()..];
        (inner.strip_prefix(ROOT).unwrap_or(inner).to_owned(), Alias::of(name))
    });
    named.collect()
}

/// Where the tensors of OpenCLIP's text encoder lie, without those that Stable Diffusion does not use.
pub fn open_clip(file: &Listing) -> Table {
    let old = |inner: &str| format!("{OPEN_CLIP_PREFIX}{inner}");
    let mut table = Table::new();
    for (inner, new) in OUTSIDE {
        if file.shape(&old(inner)).is_some() {
            table.insert(new.to_owned(), Alias::of(old(inner)));
        }
    }
    let layers = (0..used_layers(file))
        .map(|index| (format!("transformer.resblocks.{index}"), format!("encoder.layers.{index}")));
    for (layer, new_layer) in layers {
        for kind in ["weight", "bias"] {
            for (inner, new) in LAYER {
                let name = old(&format!("{layer}.{inner}.{kind}"));
                table.insert(format!("{new_layer}.{new}.{kind}"), Alias::of(name));
            }
            let stacked = old(&format!("{layer}.attn.in_proj_{kind}"));
            let hidden = file.shape(&stacked).and_then(|shape| shape.first()).map_or(0, |rows| rows / 3);
            for (index, projection) in (0..).zip(STACKED) {
                let rows = index * hidden..(index + 1) * hidden;
                let alias = Alias::of(stacked.clone()).rows(rows);
                table.insert(format!("{new_layer}.self_attn.{projection}.{kind}"), alias);
            }
        }
    }
    table
}

/// Whether a name of OpenCLIP's encoder is of no use here: its last layer, and what only compares texts with pictures.
pub fn is_unused_by_open_clip(file: &Listing, name: &str) -> bool {
    let Some(inner) = name.strip_prefix(OPEN_CLIP_PREFIX) else { return true };
    let layer = inner.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let of_pictures = ["text_projection", "logit_scale", "attn_mask", "visual."];
    of_pictures.iter().any(|part| inner.starts_with(part))
        || layer.is_some_and(|layer: usize| layer >= used_layers(file))
}

/// How many of OpenCLIP's layers are used.
fn used_layers(file: &Listing) -> usize {
    let there = |index: &usize| file.has_below(&format!("{OPEN_CLIP_PREFIX}transformer.resblocks.{index}."));
    let layers = (0..).take_while(there).count();
    let width = file.shape(&format!("{OPEN_CLIP_PREFIX}positional_embedding")).and_then(|shape| shape.last());
    let lacks_last = width == Some(&WIDE) && layers < LAYERS_OF_WIDE;
    if lacks_last { layers } else { layers.saturating_sub(1) }
}
