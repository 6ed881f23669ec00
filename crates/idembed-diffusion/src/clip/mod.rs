//! CLIP's text side: tokens in, text states out. Source: arXiv 2103.00020; layout as in `transformers.CLIPTextModel`.

mod config;
mod text_model;
mod tokenizer;
mod words;

pub use config::{Activation, ClipTextConfig};
pub use text_model::ClipTextModel;
pub use tokenizer::{Encoding, Tokenizer};
pub use words::WordSplitter;
