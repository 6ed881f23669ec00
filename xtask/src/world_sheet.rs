//! `cargo xtask world-sheet`: a sheet of pictures of the miniature world.
//!
//! Drawing is the work of `idembed-world`; its example `sheet` is run, so that this package stays light.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Options of `cargo xtask world-sheet`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first picture's seed; the others follow
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the sheet
    #[arg(long, value_name = "FILE", default_value = "out/world.png")]
    out: PathBuf,
    /// Pictures side by side
    #[arg(long, default_value_t = 10)]
    columns: u32,
    /// Pictures one below the other
    #[arg(long, default_value_t = 6)]
    rows: u32,
    /// Mark face boxes and landmarks, and print each picture's captions and factors as one line of JSON
    #[arg(long)]
    truth: bool,
}

/// Runs the command.
///
/// # Errors
/// When the build or the drawing fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Cargo runs in the repository, wherever this command was given.
    let out = std::path::absolute(&args.out).with_context(|| format!("not a path: `{}`", args.out.display()))?;
    let mut cargo = workspace::cargo();
    cargo.args([
        "run",
        workspace::WITHOUT_LIBTORCH,
        "--quiet",
        "--release",
        "--package",
        "idembed-world",
        "--example",
        "sheet",
        "--",
    ]);
    cargo.args(["--seed", &args.seed.to_string()]).arg("--out").arg(&out);
    cargo.args(["--columns", &args.columns.to_string(), "--rows", &args.rows.to_string()]);
    cargo.args(args.truth.then_some("--truth"));
    ensure!(workspace::status(&mut cargo)?.success(), "the sheet was not drawn");
    eprintln!("{}", args.out.display());
    Ok(())
}
