//! The command line as a user meets it: the built program, on the bundled model, with few steps.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise and print why they skip"
)]

mod again;
mod attention;
mod bad_files;
mod bad_identities;
mod bad_models;
mod bad_photos;
mod changed_models;
mod compare;
mod controlnet;
mod demo;
mod doctor;
mod embeddings;
mod export;
mod face;
mod from_picture;
mod full_disk;
mod generate;
mod help;
mod identity;
mod inspect;
mod learn;
mod lora;
mod memory;
mod model;
mod prediction;
mod previews;
mod program;
mod prompts;
mod running;
mod same_file;
mod sdxl;
mod single_file;
mod stopping;
mod usage;
