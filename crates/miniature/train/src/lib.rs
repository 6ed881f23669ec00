//! Training of the miniature's networks on the drawn world.
//!
//! A [`Task`] is one network with its data and its loss; [`train`] runs any of them: steps along gradients on all cores
//! or on a GPU, an average of the parameters, checkpoints to go on from bit for bit, figures on pictures that were never
//! trained on. [`report`] measures what came of it. This crate knows the world and the networks; it never sees a photo.

mod captions;
mod checkpoint;
pub mod clip;
pub mod controlnet;
mod degrade;
mod error;
mod gather;
pub mod judge;
mod outputs;
mod pixels;
mod prefetch;
mod progress;
mod recipe;
pub mod recogniser;
pub mod report;
mod run;
mod seeds;
mod state;
mod task;
pub mod tokenizer;
pub mod unet;
pub mod vae;
mod worker;

pub use error::{PretrainError, Result};
pub use gather::gather;
pub use recipe::{Choices, Recipe};
pub use run::{Outcome, RunOptions, train};
pub use task::{Check, Losses, Share, Task};
