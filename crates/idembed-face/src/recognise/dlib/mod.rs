//! dlib's face recogniser: its residual network, and its own way to bring a face into the network's frame.
//!
//! The network was trained on faces that dlib's [predictor](LandmarkPredictor) of five landmarks aligned, and those lie
//! elsewhere than a detector's: at the corners of the eyes and below the nose. So the predictor belongs to the network
//! and lies in the same file, made by `cargo xtask download dlib-face`.

mod chip;
mod face_box;
mod landmarks;
mod network;

pub use chip::{CHIP_SIDE, face_chip};
pub use face_box::PixelBox;
pub use landmarks::{LandmarkPredictor, Parts};
pub use network::DlibResNet;
