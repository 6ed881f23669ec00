//! What the chores stand on: the manifest of weight files, wheels, conversion, disk, errors with hints.
//!
//! A library, because the program behind `cargo xtask download` needs the same and is a package of its own: its HTTP
//! and TLS would double the time to compile `xtask`. Never links libtorch, never opens a connection; pip does that.
#![allow(clippy::print_stderr, reason = "the parts of command-line programs")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

pub mod atomic;
pub mod disk;
pub mod dlib;
pub mod fingerprint;
pub mod hint;
pub mod lock;
pub mod models;
pub mod pickle;
pub mod program;
pub mod pypi;
pub mod python;
pub mod source_archive;
pub mod stamp;
pub mod wheel;
pub mod workspace;
