//! The weights of networks and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] hands out tensors by their names, checked strictly: from mapped safetensors files, or from [`Parameters`]
//! that are being trained and start as the layer says ([`Init`]). [`json`] reads the configuration beside them,
//! [`tensor_file`] keeps named tensors with metadata, and [`device`] turns the user's wishes into what the machine has.
//! This crate never sees a network: it knows names and shapes, not what is computed.

mod conv_weight;
pub mod device;
pub mod error;
mod files;
mod initialisation;
pub mod json;
mod lost_pages;
mod mapped_file;
pub mod packed;
mod parameters;
pub mod tensor_file;
mod unknown_name;
mod weights;

pub use conv_weight::{ConvWeight, channels_last};
pub use device::Compute;
pub use error::{Error, Result, WeightsError};
pub use files::weight_files;
pub use initialisation::Init;
pub use lost_pages::announce_lost_pages;
pub use parameters::Parameters;
pub use unknown_name::UnknownName;
pub use weights::{Scope, Weights};
