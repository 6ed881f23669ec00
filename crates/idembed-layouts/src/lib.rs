//! The weight files that people have: what a file is, told by its names and shapes, and its tensors under other names.
//!
//! Model sites hand out whole checkpoints as one file, in the layout of the original training code (CompVis' latent
//! diffusion, "LDM"). [`Kind`] tells such a file from LoRA, embeddings, autoencoders and ControlNets; [`unet`], [`vae`],
//! [`text_encoder`] and [`controlnet`] list where each tensor of a network lies in it, under the name that diffusers gives it.
//! This crate never sees a network: it maps names to names.

pub mod controlnet;
mod kind;
pub mod lora;
pub mod text_encoder;
pub mod unet;
pub mod vae;

use std::collections::BTreeMap;

use idembed_weights::Alias;

pub use kind::{Checkpoint, Conditioner, Family, Kind, LoraForm};

/// Where the tensors of a network lie in a file: the network's names first.
pub type Table = BTreeMap<String, Alias>;

/// Puts another beginning in the place of one that a name has, on a border between two parts of it.
fn replaced(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    pairs.iter().find_map(|(old, new)| {
        let rest = name.strip_prefix(old)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{new}{rest}"))
    })
}
