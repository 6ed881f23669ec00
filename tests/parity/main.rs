//! Our numbers against PyTorch, diffusers and transformers: every expected value was made by the `generate.py`
//! beside it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod attention;
mod components;
mod pipelines;
mod schedulers;
mod staged;
mod tokenizer;
mod tokens;
