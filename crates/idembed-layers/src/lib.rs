//! The layers that networks are built from: linear, convolution, normalisations, activation, attention.
//!
//! A layer reads its tensors below a [`Scope`](idembed_weights::Scope), by the names that PyTorch gives them, and says what
//! a parameter that is trained from nothing starts with: what PyTorch's layer does. This crate never sees a network or a
//! file: it knows neither how layers follow each other nor where tensors come from.

pub mod attention;
mod batch_norm;
mod conv;
mod group_norm;
mod layer_norm;
mod linear;
mod prelu;

pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, ConvShape};
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use prelu::PRelu;
