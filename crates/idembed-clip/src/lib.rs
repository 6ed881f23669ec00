//! CLIP: tokens to text states, which is all that Stable Diffusion takes of it; and pictures and texts in one space, to
//! measure how well they fit.
//!
//! Reads folders as `transformers` writes them. This crate never sees a U-Net or a latent: it does not know what text states
//! are used for. Source: arXiv 2103.00020; layout as in `transformers`.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_clip::ClipScorer;
//! use idembed_weights::Compute;
//!
//! let scorer = ClipScorer::load(&mini.join("clip"), Compute::CPU_F32)?;
//! let desert = image::open(mini.join("portraits/person3_a.png"))?.to_rgb8();
//! let scores = scorer.score(&[desert], &["a photo of a woman in the desert", "a photo of a woman in a library"])?;
//! assert!(scores.double_value(&[0, 0]) > scores.double_value(&[0, 1]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod encoder;
mod error;
mod model;
mod preprocessor;
mod scorer;
mod text_model;
mod tokenizer;
mod vision_model;
mod vocabulary;
mod words;

pub use config::{ClipConfig, ClipTextConfig, ClipVisionConfig};
pub use encoder::Activation;
pub use error::{Error, Result};
pub use model::ClipModel;
pub use preprocessor::ClipPreprocessor;
pub use scorer::ClipScorer;
pub use text_model::{ClipTextModel, EncodedText, TextLayer};
pub use tokenizer::{Encoding, Padding, Tokenizer};
pub use words::WordSplitter;
