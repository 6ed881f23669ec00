//! `cargo xtask world`: pictures of the miniature world.
//!
//! Drawing is the work of `idembed-world`; its examples are run, so that this package stays light.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Options of `cargo xtask world`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to draw
    what: What,
    /// Where to write it: a file for a sheet, a folder for people [default: out/world.png, out/people]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// More options, after `--`; `-- --help` shows them
    #[arg(last = true)]
    more: Vec<OsString>,
}

/// What is drawn: an example each.
#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// A sheet of pictures like those that the networks are trained on
    Sheet,
    /// Photos of people whom no network knows, a folder each, to learn and to evaluate with
    People,
}

/// Runs the command.
///
/// # Errors
/// When the build or the drawing fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (example, usual) = match args.what {
        What::Sheet => ("sheet", "out/world.png"),
        What::People => ("people", "out/people"),
    };
    let out = args.out.clone().unwrap_or_else(|| usual.into());
    // Cargo runs in the repository, wherever this command was given.
    let absolute = std::path::absolute(&out).with_context(|| format!("not a path: `{}`", out.display()))?;
    let mut cargo = workspace::cargo();
    let without_libtorch = workspace::WITHOUT_LIBTORCH;
    cargo.args(["run", without_libtorch, "--quiet", "--release", "--package", "idembed-world"]);
    cargo.args(["--example", example, "--", "--out"]).arg(absolute).args(&args.more);
    ensure!(workspace::status(&mut cargo)?.success(), "nothing, or not all, was drawn");
    eprintln!("{}", out.display());
    Ok(())
}
