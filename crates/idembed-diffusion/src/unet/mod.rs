//! The conditional U-Net of Stable Diffusion. Source: arXiv 2112.10752, and 2307.01952 for SDXL; layout as in diffusers' `UNet2DConditionModel`.

mod added;
mod blocks;
mod config;
mod down_path;
mod input;
mod model;
mod one_or_many;
mod projected;
mod time_embedding;
mod transformer;

pub use added::PictureSizes;
pub use config::{AddedConfig, BlockConfig, Heads, UNetConfig};
pub use input::{Residuals, UNetInput};
pub use model::{SiteInfo, UNet};
pub use projected::ProjectedContext;

pub(crate) use added::AddedEmbedding;
pub(crate) use blocks::SiteCounter;
pub(crate) use down_path::{DownPath, Features};
pub(crate) use model::no_added;
pub(crate) use projected::TextInput;
pub(crate) use transformer::{CrossAttention, CrossContext};
