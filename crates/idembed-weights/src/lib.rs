//! The weights of networks and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] hands out tensors by their names, checked strictly, whatever their [`Source`] is: mapped safetensors
//! [`Files`]; [`Parameters`] that are being trained and start as the layer says ([`Init`]); another source under other names
//! ([`Renamed`]), or with something added to some of its tensors ([`Overlay`]). [`json`] reads the configuration beside them,
//! [`tensor_file`] keeps named tensors with metadata, and [`device`] turns the user's wishes into what the machine has.
//! This crate never sees a network: it knows names and shapes, not what is computed.

mod allocator;
mod conv_weight;
mod cuda;
pub mod device;
pub mod error;
pub mod json;
mod lost_pages;
pub mod packed;
mod pages;
mod scope;
mod source;
pub mod tensor_file;
mod unknown_name;
mod weights;

pub use allocator::keep_freed_memory;
pub use conv_weight::{ConvWeight, channels_last};
pub use device::Compute;
pub use error::{Error, Result, WeightsError};
pub use lost_pages::announce_lost_pages;
pub use scope::Scope;
pub use source::{Alias, Delta, Files, Init, Overlay, Parameters, Renamed, Source, Stored, weight_files};
pub use unknown_name::UnknownName;
pub use weights::Weights;
