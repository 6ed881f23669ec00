//! A small drawn world: captioned portraits, and the truth about each of them.
//!
//! [`Sample`] is the plan of a picture, drawn from a seed: an [`Identity`] that stays the same from picture to picture,
//! and [`factors`] that vary independently of it. [`draw`] turns a plan into a [`Drawn`]: pixels, masks and a [`Truth`]
//! with captions, face boxes and landmarks. The same seed gives the same picture on every machine.
//!
//! This crate knows nothing of diffusion, of networks or of files: it returns pixels and plain data.

mod caption;
mod chance;
mod description;
mod draw;
mod drawn;
pub mod factors;
mod filter;
pub mod identity;
mod raster;
mod sample;
pub mod things;
mod truth;

pub use caption::Captions;
pub use drawn::{Drawn, MAX_SIDE, MIN_SIDE, Masks, SIDE, SideError, draw, draw_all};
pub use identity::{Identity, Who};
pub use sample::{Person, Sample, Subject};
pub use truth::{FaceTruth, Truth};
