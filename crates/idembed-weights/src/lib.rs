//! The weights of networks and the device to compute with: the ground that every network of the workspace stands on.
//!
//! [`Weights`] hands out tensors by their names, checked strictly, whatever their [`Source`] is: mapped safetensors
//! [`Files`]; [`Parameters`] that are being trained and start as the layer says ([`Init`]); another source under other names
//! ([`Renamed`]), or with something added to some of its tensors ([`Overlay`]). [`json`] reads the configuration beside them,
//! [`TensorFile`] keeps named tensors with metadata, [`Listing`] tells what a file holds, and [`Compute`] turns the user's wishes into what the machine has.
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

mod allocator;
mod conv_weight;
mod cuda;
mod device;
mod error;
mod header;
pub mod json;
mod lost_pages;
mod packed;
mod pages;
mod scope;
mod source;
mod tensor_file;
mod unknown_name;
mod weights;

pub use allocator::keep_freed_memory;
pub use conv_weight::{ConvWeight, channels_last};
pub use device::{Compute, DeviceChoice, DtypeChoice};
pub use error::{Error, FileError, Result, WeightsError};
pub use header::{Listed, Listing};
pub use lost_pages::announce_lost_pages;
pub use packed::{Packed, pack};
pub use scope::Scope;
pub use source::{
    Alias, Delta, Files, Init, Overlay, PICKLES, Parameters, Renamed, Source, Stored, count_of, shape_of, weight_files,
};
pub use tensor_file::TensorFile;
pub use unknown_name::UnknownName;
pub use weights::Weights;
