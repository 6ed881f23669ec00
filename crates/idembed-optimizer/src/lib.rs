//! Steps along gradients: AdamW, clipping, learning rates, averages of parameters.
//!
//! The ground of every training in the workspace. This crate never sees a network, a loss or a file: parameters and
//! gradients reach it as lists of tensors.

mod adamw;
mod clip;
mod ema;
mod learning_rate;

pub use adamw::{AdamW, AdamWConfig, Moments};
pub use clip::{clip_by_global_norm, global_norm};
pub use ema::Ema;
pub use learning_rate::{Decay, LearningRate};
