//! Our numbers against PyTorch, diffusers and transformers: every expected value was made by the `generate.py`
//! beside it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests stop at the first surprise and say why they skip")]

mod alignment;
mod attention;
mod attention_precision;
mod clip;
mod components;
mod controlnet;
mod detection;
mod dlib;
mod embeddings;
mod from_picture;
mod lora;
mod methods;
mod metrics;
mod optimizer;
mod parsing;
mod pipelines;
mod prompts;
mod recognition;
mod schedulers;
mod sdxl;
mod search;
mod single_file;
mod staged;
mod text_encoders;
mod tokenizer;
mod tokens;
mod training;
mod unet_input;
mod weights;
