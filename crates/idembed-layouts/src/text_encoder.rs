//! The text encoders of a checkpoint: as `transformers` has them (1.x, the first of SDXL), or OpenCLIP (2.x, the second).

use idembed_weights::{Alias, Listing};

use crate::Table;

/// Where a text encoder lies in a checkpoint, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What stands before all names.
    pub prefix: &'static str,
    /// How they go on.
    pub form: Form,
}

/// How a text encoder is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By `transformers`.
    Transformers,
    /// By OpenCLIP.
    OpenClip {
        /// Whether its last layer and its projection are of use, not only the states before them.
        whole: bool,
    },
}

impl Place {
    /// Stable Diffusion 1.x's.
    pub const FIRST: Place = Place { prefix: "cond_stage_model.transformer.", form: Form::Transformers };
    /// Stable Diffusion 2.x's.
    pub const SECOND: Place = Place { prefix: "cond_stage_model.model.", form: Form::OpenClip { whole: false } };
    /// SDXL's two.
    pub const OF_XL: [Place; 2] = [
        Place { prefix: "conditioner.embedders.0.transformer.", form: Form::Transformers },
        Place { prefix: "conditioner.embedders.1.model.", form: Form::OpenClip { whole: true } },
    ];
}

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

/// From the last state to what compares with pictures. OpenCLIP has inputs as rows.
const PROJECTION: &str = "text_projection";

/// Where the tensors of a text encoder lie, without those that Stable Diffusion does not use.
pub fn table(file: &Listing, place: Place) -> Table {
    match place.form {
        Form::Transformers => transformers(file, place.prefix),
        Form::OpenClip { whole } => open_clip(file, place.prefix, whole),
    }
}

/// Whether a name is of a text encoder, and of use: OpenCLIP's last layer may not be, nor what compares texts with pictures.
pub fn is_used(file: &Listing, place: Place, name: &str) -> bool {
    let Some(inner) = name.strip_prefix(place.prefix) else { return false };
    let Form::OpenClip { whole } = place.form else { return true };
    let layer = inner.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let of_pictures = ["logit_scale", "attn_mask", "visual."];
    let is_unused = of_pictures.iter().any(|part| inner.starts_with(part))
        || (!whole && inner.starts_with(PROJECTION))
        || layer.is_some_and(|layer: usize| layer >= used_layers(file, place.prefix, whole));
    !is_unused
}

fn transformers(file: &Listing, prefix: &str) -> Table {
    let named = file.below(prefix).map(|name| {
        let inner = &name[prefix.len()..];
        (inner.strip_prefix(ROOT).unwrap_or(inner).to_owned(), Alias::of(name))
    });
    named.collect()
}

fn open_clip(file: &Listing, prefix: &str, whole: bool) -> Table {
    let old = |inner: &str| format!("{prefix}{inner}");
    let mut table = Table::new();
    for (inner, new) in OUTSIDE {
        if file.shape(&old(inner)).is_some() {
            table.insert(new.to_owned(), Alias::of(old(inner)));
        }
    }
    if whole && file.shape(&old(PROJECTION)).is_some() {
        table.insert(format!("{PROJECTION}.weight"), Alias::of(old(PROJECTION)).transposed());
    }
    let layers = (0..used_layers(file, prefix, whole))
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

/// How many of OpenCLIP's layers are used.
fn used_layers(file: &Listing, prefix: &str, whole: bool) -> usize {
    let there = |index: &usize| file.has_below(&format!("{prefix}transformer.resblocks.{index}."));
    let layers = (0..).take_while(there).count();
    let width = file.shape(&format!("{prefix}positional_embedding")).and_then(|shape| shape.last());
    let lacks_last = width == Some(&WIDE) && layers < LAYERS_OF_WIDE;
    if whole || lacks_last { layers } else { layers.saturating_sub(1) }
}
