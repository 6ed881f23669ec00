//! The weights of networks and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] hands out tensors by their names, checked strictly: from mapped safetensors files, or from [`Parameters`]
//! that are being trained, which start with what is asked for ([`Init`]). [`json`] reads the configuration beside them,
//! [`TensorFile`] keeps named tensors with metadata, and [`Compute`] turns the user's wishes into what the machine has.
//! This crate never sees a network: it knows names and shapes, not what is computed.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_weights::{Compute, Init, Weights};
//!
//! let weights = Weights::open(&mini.join("vae"), "diffusion_pytorch_model", Compute::CPU_F32)?;
//! let decoder = &weights.root() / "decoder";
//! let bias = (&decoder / "conv_out").tensor("bias", &[3], Init::ZEROS)?;
//! assert_eq!(bias.size(), [3]);
//! assert!(weights.root().tensor("no.such.tensor", &[3], Init::ZEROS).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
