//! What listens at the cross-attention hook of `idembed-diffusion`.
//!
//! - [`FaceWiseLoss`] pulls the attention of the learned words to a reference prompt's, or into a mask, during one
//!   forward pass of training.
//! - [`MapRecorder`] averages the attention of chosen words over steps, heads and layers; [`AttentionMaps`] answers with
//!   maps and [`leakage`], [`HeatMap`] shows them.
//! - [`Listeners`] puts several listeners at the hook of one pass.
//!
//! This crate never sees a photo, a face or a file: a mask reaches it as a tensor, a heat map leaves it as a picture in
//! memory. It does not know how prompts become text states, or what its loss trains.
//!
//! ```
//! use idembed_attention::{HeatMap, Mask, Scale, leakage};
//! use tch::Tensor;
//!
//! let map = Tensor::from_slice(&[0.75f32, 0.0, 0.25, 0.0]).view([2, 2]); // of one word
//! let face = Mask::new(&Tensor::from_slice(&[1.0f32, 1.0, 0.0, 0.0]).view([1, 1, 2, 2]))?;
//! assert_eq!(leakage(&map, &face)?, Some(0.25));
//! assert_eq!(HeatMap::new(&map, Scale::PerMap)?.picture.dimensions(), (2, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod check;
mod distance;
mod error;
mod heat_map;
mod layers;
mod leakage;
mod listeners;
mod loss;
mod maps;
mod mask;
mod options;
mod recorder;
mod reference_keys;
mod resize;
mod word;

pub use error::{AttentionError, Result};
pub use heat_map::{HeatMap, Scale};
pub use layers::{LayerChoice, Layers};
pub use leakage::{leakage, leakage_each};
pub use listeners::Listeners;
pub use loss::{FaceWiseLoss, LayerLoss, TargetMaps};
pub use maps::{AttentionMaps, RecordedLayer, Selection};
pub use mask::Mask;
pub use options::{LossOptions, NORMAL_SIDE, Norm, Reduction, Target};
pub use recorder::MapRecorder;
pub use reference_keys::ReferenceKeys;
pub use resize::to_picture_size;
pub use word::Word;
