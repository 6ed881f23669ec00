//! ControlNet: a network beside the U-Net that sees a picture of edges, depth or poses, and says where things are.
//!
//! Source: arXiv 2302.05543; layout as in diffusers' `ControlNetModel`.

mod config;
mod control;
mod files;
mod hint;
mod model;

pub use config::ControlNetConfig;
pub use control::Control;
pub(crate) use control::Steering;
pub use model::{ControlNet, Hint};
