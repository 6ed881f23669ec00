//! `cargo xtask demo`: `idembed demo`, with libtorch and the face detector set up first.

use anyhow::{Result, ensure};

use crate::{setup, workspace};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments of `idembed demo`, after `--`
    #[arg(last = true)]
    demo: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the set-up, the build or the demo fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--package", "idembed-cli", "--", "demo"]).args(&args.demo);
    ensure!(workspace::status(&mut cargo)?.success(), "the demo failed");
    Ok(())
}
