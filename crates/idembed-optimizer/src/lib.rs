//! Steps along gradients: AdamW, Prodigy, clipping, learning rates, averages of parameters.
//!
//! The ground of every training in the workspace. This crate never sees a network, a loss or a file: parameters and
//! gradients reach it as lists of tensors.
//!
//! ```
//! use idembed_optimizer::{AdamW, AdamWConfig};
//! use tch::{Kind, Tensor};
//!
//! let x = Tensor::from_slice(&[3.0f32]).set_requires_grad(true);
//! let mut optimizer = AdamW::new(AdamWConfig::default(), &[&x])?;
//! for _ in 0..200 {
//!     let gradients = Tensor::run_backward(&[x.square().sum(Kind::Float)], &[&x], false, false);
//!     optimizer.update(&[&x], &gradients, &[0.1])?;
//! }
//! assert!(x.double_value(&[0]).abs() < 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adamw;
mod clip;
mod ema;
mod learning_rate;
mod optimizer;
mod prodigy;

pub use adamw::{AdamW, AdamWConfig, Moments};
pub use clip::{clip_by_global_norm, global_norm};
pub use ema::Ema;
pub use learning_rate::{Decay, LearningRate};
pub use optimizer::{Optimizer, OptimizerName};
pub use prodigy::{Estimate, Prodigy, ProdigyConfig};
