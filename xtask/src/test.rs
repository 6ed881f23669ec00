//! `cargo xtask test`: all tests of the workspace, with libtorch and the face detector set up first.

use anyhow::{Result, ensure};

use crate::{processors, reference, setup, workspace};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install the Python reference too and run the tests that need it, which are skipped without it
    #[arg(long)]
    python: bool,
    /// Repeat the parity tests as processors without AVX-512 and without AVX would compute them
    #[arg(long)]
    processors: bool,
    /// Arguments of `cargo test`, after `--`
    #[arg(last = true)]
    cargo_test: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the set-up or a test fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace"]).args(&args.cargo_test);
    // The set-up has just brought the detector, so no test may skip for want of it.
    cargo.env("IDEMBED_REQUIRE_WEIGHTS", "1");
    if args.python {
        cargo.env("IDEMBED_PYTHON", reference::python()?).env("IDEMBED_REQUIRE_PYTHON", "1");
    }
    let passed = workspace::status(&mut cargo)?.success();
    // Also after a failure: what else fails elsewhere is worth knowing at once.
    let elsewhere = if args.processors { processors::repeat() } else { Ok(()) };
    ensure!(passed, "`cargo test` failed");
    elsewhere
}
