//! Evaluation: people learned by several methods, drawn by a protocol, and every picture scored.
//!
//! A unit is one person learned by one method. Units do not depend on each other and are files of their own, so that any number
//! of processes can share them, and a process that was killed goes on where it was. One loaded model serves all of them. This
//! crate knows no statistics and makes no tables: `cargo xtask eval` reads what is written here.
//!
//! ```
//! use idembed_eval::{Protocol, Variant};
//!
//! let protocol = Protocol::find("miniature")?;
//! assert_eq!(protocol.prompts().len(), 16);
//! let variant: Variant = "textual-inversion+attention".parse()?;
//! assert_eq!(variant.wishes.lambda, Some(0.003));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod files;
mod learning;
mod memory;
mod people;
mod progress;
mod protocol;
mod run;
mod unit;
mod variant;

pub use error::{EvalError, Result};
pub use people::Candidate;
pub use protocol::{Entry, Prompt, PromptSet, Protocol, Sampler};
pub use run::{Run, Shard, run};
pub use variant::{Ablation, Grid, Variant};
