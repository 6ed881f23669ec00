//! The weights of networks and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] hands out tensors by their names, checked strictly: from mapped safetensors files, or from [`Parameters`]
//! that are being trained, which start with what is asked for ([`Init`]). [`json`] reads the configuration beside them,
//! [`TensorFile`] keeps named tensors with metadata, and [`Compute`] turns the user's wishes into what the machine has.
//! This crate never sees a network: it knows names and shapes, not what is computed.

mod conv_weight;
mod device;
mod error;
mod files;
mod initialisation;
pub mod json;
mod lost_pages;
mod mapped_file;
mod packed;
mod parameters;
mod tensor_file;
mod unknown_name;
mod weights;

pub use conv_weight::{ConvWeight, channels_last};
pub use device::{Compute, DeviceChoice, DtypeChoice, keep_freed_memory};
pub use error::{Error, FileError, Result, WeightsError};
pub use files::weight_files;
pub use initialisation::Init;
pub use lost_pages::announce_lost_pages;
pub use packed::{Packed, pack};
pub use parameters::Parameters;
pub use tensor_file::TensorFile;
pub use unknown_name::UnknownName;
pub use weights::{Scope, Weights};
