//! `cargo xtask test`: all tests of the workspace, with libtorch, the face detector and the recogniser set up first.

use anyhow::{Result, ensure};

use crate::{models, processors, pypi, reference, reference_faces, setup, workspace};

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
    pypi::install(&models::folder(), reference_faces::RECOGNISER)?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace"]).args(&args.cargo_test);
    // The detector and the recogniser have just been brought, so no test may skip for want of them.
    cargo.env("IDEMBED_REQUIRE_WEIGHTS", "1");
    if args.python {
        cargo.env("IDEMBED_PYTHON", reference::python()?).env("IDEMBED_REQUIRE_PYTHON", "1");
        cargo.env("IDEMBED_FACES", reference_faces::folder()?);
    }
    let passed = workspace::status(&mut cargo)?.success();
    // Also after a failure: what else fails elsewhere is worth knowing at once.
    let elsewhere = if args.processors { processors::repeat() } else { Ok(()) };
    ensure!(passed, "`cargo test` failed");
    elsewhere
}
