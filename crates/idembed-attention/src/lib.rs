//! What listens at the cross-attention hook of `idembed-diffusion`.
//!
//! - [`FaceWiseLoss`] pulls the attention of the learned words to a reference prompt's, or into a mask, during one
//!   forward pass of training.
//! - [`MapRecorder`] averages the attention of chosen words over steps, heads and layers; [`AttentionMaps`] answers with
//!   maps, [`leakage()`] and [`heat_map`]s.
//! - [`Listeners`] puts several listeners at the hook of one pass.
//!
//! This crate never sees a photo, a face or a file: a mask reaches it as a tensor, pictures are tensors too. It does not
//! know how prompts become text states, or what its loss trains.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

pub mod error;
pub mod heat_map;
pub mod layers;
pub mod leakage;
pub mod listeners;
pub mod loss;
pub mod maps;
pub mod mask;
pub mod options;
pub mod recorder;
pub mod reference_keys;
pub mod resize;
pub mod word;

mod check;
mod distance;

pub use error::{AttentionError, Result};
pub use heat_map::{HeatMap, Scale, overlay};
pub use layers::{LayerChoice, Layers};
pub use leakage::{leakage, leakage_each};
pub use listeners::Listeners;
pub use loss::{FaceWiseLoss, LayerLoss, Target};
pub use maps::{AttentionMaps, RecordedLayer, Selection};
pub use mask::Mask;
pub use options::{LossOptions, Norm, Reduction, TargetKind};
pub use recorder::MapRecorder;
pub use reference_keys::ReferenceKeys;
pub use resize::to_picture_size;
pub use word::Word;
