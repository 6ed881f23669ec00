//! The autoencoder between pictures and latents. Source: arXiv 2112.10752; layout as in diffusers' `AutoencoderKL`.

mod blocks;
mod config;
mod model;
mod tiles;

pub use config::VaeConfig;
pub use model::{LatentDistribution, LatentMoments, Vae};
pub use tiles::Tiles;
