//! Identity tokens: a few vectors that stand for a face at the input of a model's frozen text encoders.
//!
//! This crate learns them from one picture ([`trainer`], [`learn()`]), keeps them in files ([`identity`],
//! [`checkpoint`], [`export`]) and puts them into prompts ([`prompt`], [`contexts`]). It never finds a face, reads a
//! photo or writes a picture: images and masks reach it as tensors.

mod encoder_modules;
mod training_picture;

pub mod checkpoint;
pub mod config;
pub mod contexts;
pub mod error;
pub mod export;
pub mod identities;
pub mod identity;
pub mod learn;
pub mod method;
pub mod module;
pub mod objective;
pub mod prompt;
pub mod prompt_syntax;
pub mod report;
pub mod trainer;

pub use config::LearnConfig;
pub use error::{Result, TokensError};
pub use identities::Identities;
pub use identity::Identity;
pub use learn::{LearnControl, learn};
pub use method::Method;
pub use report::{History, Measured, StepReport};
pub use trainer::Trainer;
