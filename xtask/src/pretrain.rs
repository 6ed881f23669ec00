//! `cargo xtask pretrain`: trains the networks of the miniature on the drawn world.
//!
//! The work is done by the program `idembed-pretrain`, which takes this process over: Ctrl-C reaches it directly.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{program, setup, workspace};

/// Options of `cargo xtask pretrain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to train: tokenizer, vae, clip, recogniser, judge, unet or controlnet; default: all, in their order
    #[arg(long)]
    stage: Option<String>,
    /// Train nothing; measure the whole model and write OUT/report.html and OUT/report.json
    #[arg(long)]
    report: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<String>,
    /// Stop after so many minutes; the same command goes on from there
    #[arg(long)]
    minutes: Option<String>,
    /// Folder for checkpoint, sheet and network
    #[arg(long, value_name = "DIR", default_value = "out/pretrain")]
    out: PathBuf,
    /// Cores to compute with; default: all
    #[arg(long)]
    threads: Option<String>,
    /// Decides the first weights, the data and all noise
    #[arg(long)]
    seed: Option<String>,
    /// More options of `idembed-pretrain`, after `--`
    #[arg(last = true)]
    more: Vec<OsString>,
}

/// Runs the command.
///
/// # Errors
/// When the set-up or the build fails; what comes after that, the program says itself.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Only the report looks for faces.
    if args.report { setup::ensure() } else { setup::ensure_libtorch() }?;
    let program = program::build("idembed-pretrain", &["--release", "--package", "idembed-pretrain"])?;
    let mut command = Command::new(&program);
    let flags = [
        ("--stage", &args.stage),
        ("--device", &args.device),
        ("--minutes", &args.minutes),
        ("--threads", &args.threads),
        ("--seed", &args.seed),
    ];
    for (flag, value) in flags {
        command.args(value.iter().flat_map(|value| [flag, value]));
    }
    if args.report {
        command.arg("--report").arg("--detector").arg(workspace::root().join("models/mtcnn"));
    }
    let error = command.arg("--out").arg(&args.out).args(&args.more).exec();
    Err(error).with_context(|| format!("cannot start `{}`", program.display()))
}
