//! Identity tokens: a few vectors that stand for a face at the input of a frozen text encoder.
//!
//! This crate learns them from one picture ([`Trainer`], [`learn`]), keeps them in files ([`Identity`], [`checkpoint`],
//! [`Embedding`]) and puts them into prompts ([`Prompt`], [`condition`]). It never finds a face, reads a photo or writes a
//! picture: images and masks reach it as tensors.

mod config;
mod contexts;
mod error;
mod export;
mod identities;
mod identity;
mod learn;
mod method;
mod module;
mod prompt;
mod prompt_syntax;
mod report;
mod trainer;
mod training_picture;

pub mod checkpoint;
pub mod objective;

pub use config::{DEFAULT_TEMPLATE, LearnConfig};
pub use contexts::{TrainingPrompt, condition, place_rows};
pub use error::{FileError, Result, TokensError};
pub use export::Embedding;
pub use identities::Identities;
pub use identity::Identity;
pub use learn::{LearnControl, learn};
pub use method::{DEFAULT_LAMBDA, Learns, Method, MethodSpec};
pub use module::{ModuleConfig, TokenModule};
pub use prompt::{Placeholder, Prompt, PromptWarning, is_identity_name};
pub use prompt_syntax::{Meaning, OtherSyntax, other_syntax};
pub use report::{History, Measured, SENSIBLE_RATIOS, StepReport, gradient_ratio};
pub use trainer::Trainer;
