//! CLIP: tokens to text states, which is all that Stable Diffusion takes of it; and pictures and texts in one space, to
//! measure how well they fit. Source: arXiv 2103.00020; layout as in `transformers`.

mod config;
mod encoder;
mod model;
mod preprocessor;
mod scorer;
mod text_model;
mod tokenizer;
mod vision_model;
mod words;

pub use config::{ClipConfig, ClipTextConfig, ClipVisionConfig};
pub use encoder::Activation;
pub use model::ClipModel;
pub use preprocessor::ClipPreprocessor;
pub use scorer::ClipScorer;
pub use text_model::ClipTextModel;
pub use tokenizer::{Encoding, Tokenizer};
pub use words::WordSplitter;
