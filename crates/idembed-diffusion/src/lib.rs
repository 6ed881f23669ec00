//! Stable Diffusion 1.x and 2.x on libtorch.
//!
//! This crate reads a model folder in diffusers layout and draws pictures with it. It declares the cross-attention
//! [`hook`] and takes its text states per timestep range ([`conditioning`]), so that others can watch and steer it.
//! It never sees a face, an identity file, or a loss.

pub mod conditioning;
pub mod device;
pub mod error;
pub mod hook;
pub mod noise;
pub mod schedulers;

pub use error::{Error, Result};
