//! `cargo xtask world`: pictures of the miniature world.
//!
//! Drawing is the work of `idembed-world`; its examples are run, so that this package stays light.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Options of `cargo xtask world`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What is drawn.
#[derive(clap::Subcommand)]
enum What {
    /// A sheet of pictures like those that the networks are trained on
    Sheet(SheetArgs),
    /// Photos of people whom no network knows, a folder each, to learn and to evaluate with
    People(PeopleArgs),
}

#[derive(clap::Args)]
struct SheetArgs {
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

#[derive(clap::Args)]
struct PeopleArgs {
    /// The number of the first person
    #[arg(long, default_value_t = 10_000)]
    first: u64,
    /// How many people
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// Photos of each: the first to learn from, the others to compare with
    #[arg(long, default_value_t = 3)]
    photos: u64,
    /// The people hold things, laugh and wear hats; else they look into the camera and wear nothing
    #[arg(long)]
    busy: bool,
    /// The folder for their folders
    #[arg(long, value_name = "DIR", default_value = "out/people")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the build or the drawing fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Sheet(args) => sheet(args),
        What::People(args) => people(args),
    }
}

fn sheet(args: &SheetArgs) -> Result<()> {
    let mut cargo = example("sheet");
    cargo.args(["--seed", &args.seed.to_string()]);
    cargo.args(["--columns", &args.columns.to_string(), "--rows", &args.rows.to_string()]);
    cargo.args(args.truth.then_some("--truth"));
    draw(cargo, &args.out)
}

fn people(args: &PeopleArgs) -> Result<()> {
    let mut cargo = example("people");
    let numbers = [("--first", args.first), ("--count", args.count), ("--photos", args.photos)];
    for (flag, number) in numbers {
        cargo.args([flag, &number.to_string()]);
    }
    cargo.args(args.busy.then_some("--busy"));
    draw(cargo, &args.out)
}

/// What compiles and runs an example of the world; its arguments follow.
fn example(name: &str) -> Command {
    let mut cargo = workspace::cargo();
    let without_libtorch = workspace::WITHOUT_LIBTORCH;
    cargo.args([
        "run",
        without_libtorch,
        "--quiet",
        "--release",
        "--package",
        "idembed-world",
        "--example",
        name,
        "--",
    ]);
    cargo
}

/// Runs it, and says what it wrote.
fn draw(mut cargo: Command, out: &Path) -> Result<()> {
    // Cargo runs in the repository, wherever this command was given.
    let absolute = std::path::absolute(out).with_context(|| format!("not a path: `{}`", out.display()))?;
    cargo.arg("--out").arg(absolute);
    ensure!(workspace::status(&mut cargo)?.success(), "nothing, or not all, was drawn");
    eprintln!("{}", out.display());
    Ok(())
}
