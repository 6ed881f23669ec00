//! The way to libtorch: what a build says without it, and programs in other folders that import a crate.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod importing;
mod without_libtorch;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Cargo as in a new shell: without what cargo and the user set for these tests.
fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(folder).stdin(Stdio::null());
    for variable in [
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "LD_LIBRARY_PATH",
        "LIBTORCH",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(variable);
    }
    cargo
}

/// What a command said on both streams, and whether it succeeded.
fn said(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
