//! Stable Diffusion 1.x and 2.x on libtorch.
//!
//! This crate reads a model folder in diffusers layout and draws pictures with it; the text encoder is the one of
//! `idembed-clip`. It declares the cross-attention
//! [`hook`] and takes its text states per timestep range ([`conditioning`]), so that others can watch and steer it.
//! It never sees a face, an identity file, or a loss.

pub mod conditioning;
pub mod error;
pub mod hook;
pub mod memory;
pub mod noise;
pub mod picture;
mod resnet;
pub mod schedulers;
pub mod stable_diffusion;
pub mod text_encoders;
pub mod text_to_image;
pub mod unet;
pub mod vae;

pub use error::{Error, Result};
/// Where and in which number format to compute: every network is loaded with a [`device::Compute`].
pub use idembed_weights::device;
pub use stable_diffusion::StableDiffusion;
