//! The training of the miniature's networks against PyTorch, diffusers and transformers: every expected value was made by
//! the `generate.py` beside it.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod autoencoder;
mod clip_loss;
mod grounding;
mod recogniser;

use std::path::Path;

use idembed_integration_tests::Fixture;

/// What the generator of a folder of `fixtures` left.
fn open(topic: &str) -> Fixture {
    Fixture::open_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), topic)
}
