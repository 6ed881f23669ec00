//! CLIP: tokens to text states, which is all that Stable Diffusion takes of it; and pictures and texts in one space, to
//! measure how well they fit.
//!
//! Reads folders as `transformers` writes them. This crate never sees a U-Net or a latent: it does not know what text states
//! are used for. Source: arXiv 2103.00020; layout as in `transformers`.

mod config;
mod encoder;
mod error;
mod model;
mod preprocessor;
mod scorer;
mod text_model;
mod tokenizer;
mod vision_model;
mod words;

pub use config::{ClipConfig, ClipTextConfig, ClipVisionConfig};
pub use encoder::Activation;
pub use error::{Error, Result};
pub use model::ClipModel;
pub use preprocessor::ClipPreprocessor;
pub use scorer::ClipScorer;
pub use text_model::{ClipTextModel, EncodedText, TextLayer};
pub use tokenizer::{Encoding, Tokenizer};
pub use words::WordSplitter;
