//! `cargo xtask bench`: speed and memory side by side with diffusers, same weights, number format and threads.
//!
//! Each measurement is a process of its own on either side; the two sides take turns, so that a machine that slows down
//! slows both. What counts is the ratio within one run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::disk::GIB;
use crate::{disk, program, reference, report, setup, workspace};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The true size of SD 1.5 at 512 x 512, random weights, instead of the bundled miniature (24 GiB of memory, half an hour)
    #[arg(long, conflicts_with = "model")]
    full: bool,
    /// A model folder of your own
    #[arg(long)]
    model: Option<PathBuf>,
    /// Threads on both sides; default: the machine's cores
    #[arg(long)]
    threads: Option<usize>,
    /// How often each process is started
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Timed steps in each process, after one to warm up; default: 1 with --full, else 5
    #[arg(long)]
    runs: Option<usize>,
    /// Only these: load, unet_step, train_step
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,
    /// Optimise our own code fully too; libtorch, which does the work, is the same
    #[arg(long)]
    release: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// One line that either program prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// `load`, `unet_step` or `train_step`.
    pub(crate) what: String,
    /// `f32` or `bf16`.
    pub(crate) dtype: String,
    /// Device and number format.
    pub(crate) device: String,
    /// Median of the timed steps.
    pub(crate) seconds: f64,
    /// How many were timed.
    pub(crate) runs: usize,
    /// The most memory that was resident, in MiB.
    pub(crate) peak_rss_mb: f64,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `idembed`.
    Ours,
    /// diffusers as it comes.
    Diffusers,
    /// diffusers with its U-Net in channels-last memory order, which is faster for some.
    DiffusersChannelsLast,
}

/// Runs the command.
///
/// # Errors
/// When the set-up or a measurement fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_libtorch()?;
    let bench = Bench {
        program: build(args.release)?,
        python: reference::python()?,
        model: model(args)?,
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        runs: args.runs.unwrap_or(if args.full { 1 } else { 5 }),
    };
    read_once(&bench.model)?;
    let mut taken = Vec::new();
    for round in 0..args.rounds {
        for what in ["load", "unet_step", "train_step"] {
            if !args.only.is_empty() && !args.only.iter().any(|only| only == what) {
                continue;
            }
            for dtype in ["f32", "bf16"] {
                let mut sides = vec![Side::Ours, Side::Diffusers];
                if what != "load" {
                    sides.push(Side::DiffusersChannelsLast);
                }
                if round % 2 == 1 {
                    sides.reverse();
                }
                for side in sides {
                    let measurement = bench.measure(side, what, dtype)?;
                    let (seconds, memory) = (measurement.seconds, measurement.peak_rss_mb);
                    eprintln!("round {}: {what} {dtype} {side:?}: {seconds:.3} s, {memory:.0} MiB", round + 1);
                    taken.push((side, measurement));
                }
            }
        }
    }
    let report = report::Report::new(&bench.model, bench.threads, &taken)?;
    let folder = workspace::root().join("out/bench");
    report.write(&folder)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
        println!("report: `{}`", folder.display());
    }
    Ok(())
}

struct Bench {
    program: PathBuf,
    python: OsString,
    model: PathBuf,
    threads: usize,
    runs: usize,
}

impl Bench {
    fn measure(&self, side: Side, what: &str, dtype: &str) -> Result<Measurement> {
        let mut command = match side {
            Side::Ours => Command::new(&self.program),
            Side::Diffusers | Side::DiffusersChannelsLast => {
                let mut python = Command::new(&self.python);
                python.arg(workspace::root().join("xtask/bench/diffusers_bench.py"));
                python
            }
        };
        command.arg(&self.model).args([what, dtype, &self.runs.to_string(), &self.threads.to_string()]);
        if side == Side::DiffusersChannelsLast {
            command.arg("channels_last");
        }
        if !setup::has_cuda() {
            // The reference's PyTorch could use a GPU that our libtorch cannot.
            command.env("CUDA_VISIBLE_DEVICES", "");
        }
        let output = command.stdin(Stdio::null()).output().context("cannot start a measurement")?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().last().and_then(|line| serde_json::from_str::<Measurement>(line).ok()) {
            Some(measurement) if output.status.success() => Ok(measurement),
            _ => bail!(
                "measuring {what} {dtype} of {side:?} failed ({}):\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            ),
        }
    }
}

/// Compiles our half; called directly, it cannot be changed between rounds.
fn build(release: bool) -> Result<PathBuf> {
    // The whole workspace, as in `cargo test --workspace`: another selection would compile many dependencies again.
    let mut options = vec!["--workspace"];
    options.extend(release.then_some("--release"));
    program::build("bench", &options)
}

/// The model folder to measure; one of full size is made if there is none yet.
fn model(args: &Args) -> Result<PathBuf> {
    let root = workspace::root();
    if let Some(model) = &args.model {
        ensure!(
            model.join("model_index.json").exists(),
            "`{}` is no model folder: it has no model_index.json",
            model.display()
        );
        return Ok(std::path::absolute(model)?);
    }
    if !args.full {
        return Ok(root.join("models/mini"));
    }
    // Where `cargo xtask parity --full` leaves one.
    let folder = root.join("out/full/pipelines");
    let model = folder.join("sd15");
    if model.join("model_index.json").exists() {
        return Ok(model);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    disk::require(&folder, 5 * GIB, "a model of full size")?;
    eprintln!("making a model of full size with random weights in `{}`", model.display());
    let mut python = Command::new(reference::python()?);
    python.arg(root.join("xtask/bench/full_model.py")).arg(&model).stdin(Stdio::null());
    ensure!(workspace::status(&mut python)?.success(), "the model could not be made");
    Ok(model)
}

/// Reads every file once, so that no side pays for a cold disk.
fn read_once(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_once(&path)?;
        } else {
            std::io::copy(&mut fs::File::open(&path)?, &mut std::io::sink())?;
        }
    }
    Ok(())
}
