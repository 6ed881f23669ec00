//! `cargo xtask eval`: how well methods learn a person, and how much pictures look like a photo.
//!
//! Two forms. [`protocol`] has the program `idembed-eval` learn people, draw prompts and score the pictures, and compares
//! methods over people. [`likeness`] looks at a folder of pictures that are there already, by way of `idembed compare`.
//! Either sums up, writes down and shows what the program measured.

mod bootstrap;
mod inline;
mod likeness;
mod parts;
mod protocol;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

const EXAMPLES: &str = "\
Examples:
  cargo xtask eval --quick
      a first table in three minutes on two cores, once compiled
  cargo xtask eval --methods textual-inversion,sefi --identities 4
      two methods over the same four people; the later one is compared with the first
  cargo xtask eval --ablation lambda --methods sefi
      one method with several values of one setting, shown as curves
  cargo xtask eval --jobs 4
      four processes at once; killed at any moment, the same command goes on from there
  cargo xtask eval --shard 2/4 --out /shared/run
      the second of four parts, for one of several machines (see xtask/eval/jobs)
  cargo xtask eval --merge /shared/run
      the tables of a run whose parts are finished
  cargo xtask eval --merge a b --out both --check stored/scores.json
      the units of two runs together; fails when a figure fell below a stored one
  cargo xtask eval --photo me.jpg --pictures out/me
      only how much the pictures of a folder look like a photo

A run ends with OUT/table.txt (also printed), scores.json, cost.json, pictures.jsonl and index.html.
Means are over people: of each person's mean. Intervals are 95 % bootstrap intervals over people, so
one person alone has none. ID is the cosine of the faces in picture and photo, where a missing face
counts 0; the numbers of different recognition networks cannot be compared. Beside every ID stands
what true pairs of photos and what strangers reach.

With --photo, intervals are over the pictures of the folder. Prompt and ID(P) are there when the
pictures say what they were drawn from, as those of idembed do, and a CLIP is there.";

/// Options of `cargo xtask eval`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Pictures of each prompt; with --photo: the folder of pictures, all .png, .jpg, .jpeg and .webp files in it but the
    /// photo itself
    #[arg(long, value_name = "N|DIR")]
    pictures: Option<OsString>,
    #[command(flatten)]
    protocol: protocol::Args,
    #[command(flatten)]
    likeness: likeness::Args,
    #[command(flatten)]
    output: Output,
}

/// What both forms have.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Results")]
#[group(skip)]
struct Output {
    /// Where the results go; default: a folder named for the protocol in `out/eval` of the repository, with --photo
    /// `out/eval` itself, with --merge of one folder that folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Samples of the bootstrap
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    resamples: u32,
    /// Where the bootstrap's random numbers start
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is nothing to evaluate, a figure fell, or the set-up, the build, the program or the disk fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.likeness.photo() {
        Some(photo) => likeness::run(photo, &args.likeness, args.pictures.as_deref(), &args.output),
        None => protocol::run(&args.protocol, args.pictures.as_deref(), &args.output),
    }
}

/// Prints a result.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that went away is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the result"),
        _ => Ok(()),
    }
}
