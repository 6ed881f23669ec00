//! The layers that networks are built from: linear, convolution, normalisations, activation, attention.
//!
//! A layer reads its tensors below a [`Scope`](idembed_weights::Scope), by the names that PyTorch gives them, and says what
//! a parameter that is trained from nothing starts with: what PyTorch's layer does. This crate never sees a network or a
//! file: it knows neither how layers follow each other nor where tensors come from.
//!
//! ```
//! use idembed_layers::Linear;
//! use idembed_weights::{Parameters, Weights};
//! use tch::{Device, Kind, Tensor};
//!
//! let parameters = Parameters::new(0, Device::Cpu);
//! let weights = Weights::from_parameters(&parameters, Kind::Float);
//! let to_q = Linear::load(&(&weights.root() / "to_q"), 8, 4)?;
//! assert_eq!(to_q.forward(&Tensor::ones([2, 8], (Kind::Float, Device::Cpu)))?.size(), [2, 4]);
//! assert_eq!(parameters.list()[1].0, "to_q.weight");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
