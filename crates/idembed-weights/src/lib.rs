//! Weight files and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] maps safetensors and hands out tensors by their names, checked strictly; [`device`] turns the user's
//! wishes into what the machine has. This crate never sees a network: it knows names and shapes, not what is computed.

pub mod device;
pub mod error;
pub mod weights;

pub use device::Compute;
pub use error::{Error, Result, WeightsError};
pub use weights::{ConvWeight, Scope, Weights, channels_last};
