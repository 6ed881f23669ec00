//! Identity tokens: a few vectors that stand for a face at the input of a model's frozen text encoders.
//!
//! This crate learns them from pictures ([`Trainer`], [`learn()`]), keeps them in files ([`Identity`], [`checkpoint`],
//! [`Embedding`]) and puts them into prompts ([`Prompt`], [`condition`]). It never finds a face, reads a photo or writes a
//! picture: images and masks reach it as tensors.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_diffusion::{Compute, StableDiffusion};
//! use idembed_tokens::{Examples, Identities, LearnConfig, Method, Prompt, Trainer, condition};
//!
//! let model = StableDiffusion::load(mini, Compute::CPU_F32)?;
//! let picture = tch::Tensor::rand([1, 3, 128, 128], tch::kind::FLOAT_CPU) * 2 - 1; // of a face, one would hope
//! let config = LearnConfig { steps: 2, ..LearnConfig::new("me", "person", Method::Sefi) };
//! let mut trainer = Trainer::new(&model, &Examples::one(&picture, None), config)?;
//! while !trainer.is_done() {
//!     println!("noise loss {}", trainer.step()?.noise_loss);
//! }
//! let prompt = Prompt::parse("a photo of <me> at the beach", model.text_encoders.tokenizers())?;
//! let conditioning = condition(&model, &prompt, &Identities::named([("me", &trainer.identity()?)])?, false)?;
//! # assert_eq!(conditioning.pieces().len(), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod basis;
mod blend;
mod config;
mod contexts;
mod embedding_file;
mod emphasis;
mod error;
mod examples;
mod export;
mod identities;
mod identity;
mod identity_start;
mod layout;
mod learn;
mod learned_rows;
mod method;
mod module;
mod prompt;
mod prompt_chunks;
mod prompt_syntax;
mod prompt_tokens;
mod regions;
mod report;
mod start;
mod strength;
mod token_options;
mod trainer;
mod training_pictures;
mod training_prompts;
mod unet_changes;
mod unet_options;
mod unet_training;
mod vectors;
mod weighted_text;

pub mod checkpoint;
pub mod objective;

pub use blend::{Ingredient, Weighted, blend, subtract};
pub use config::{DEFAULT_RARE_WORD, DEFAULT_TEMPLATE, LearnConfig, LearnWishes, template_parts};
pub use contexts::{Conditions, TrainingPrompt, condition, condition_as, place_rows};
pub use error::{FileError, Result, TokensError};
pub use examples::{Example, Examples};
pub use export::{Embedding, Half, Schedule, StagedEmbeddings, Switches};
pub use idembed_optimizer::{Decay, OptimizerName};
pub use identities::Identities;
pub use identity::{EncoderRows, Identity};
pub use layout::Layout;
pub use learn::{LearnControl, learn};
pub use method::{DEFAULT_LAMBDA, Method, MethodSpec, Recipe};
pub use module::{ModuleConfig, TokenModule};
pub use prompt::{Placeholder, Prompt, PromptSyntax, PromptWarning, is_identity_name};
pub use prompt_syntax::{Meaning, OtherSyntax, other_syntax};
pub use prompt_tokens::replace_identities;
pub use regions::{Regions, condition_in_regions};
pub use report::{History, Measured, SENSIBLE_RATIOS, StepReport, gradient_ratio};
pub use start::Start;
pub use strength::{Strength, class_vectors};
pub use token_options::{Rows, StageRange, TokenOptions};
pub use trainer::Trainer;
pub use unet_changes::UNetChanges;
pub use unet_options::{UNetOptions, UNetPart};
