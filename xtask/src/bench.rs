//! `cargo xtask bench`: speed and memory side by side with diffusers and facenet-pytorch, same weights, number format
//! and threads.
//!
//! Each measurement is a process of its own on either side; the two sides take turns, so that a machine that slows down
//! slows both. What counts is the ratio within one run.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::disk::GIB;
use crate::hint::Hinted;
use crate::{disk, program, reference, report, setup, workspace};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A true size with random weights instead of the bundled miniature: SD 1.5 at 512 x 512, or SDXL at 1024 x 1024 in bf16
    /// alone (24 GiB of memory; half an hour, for SDXL more)
    #[arg(long, conflicts_with = "model", num_args = 0..=1, default_missing_value = "sd15")]
    full: Option<FullSize>,
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
    /// Only these: load, unet_step, train_step, detect
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,
    /// Optimise our own code fully too; libtorch, which does most of the work, is the same
    #[arg(long)]
    release: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The models that are made in their true size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FullSize {
    Sd15,
    Sdxl,
}

impl FullSize {
    fn name(self) -> &'static str {
        match self {
            FullSize::Sd15 => "sd15",
            FullSize::Sdxl => "sdxl",
        }
    }

    /// What it takes on the disk.
    fn bytes(self) -> u64 {
        match self {
            FullSize::Sd15 => 5 * GIB,
            FullSize::Sdxl => 8 * GIB,
        }
    }
}

/// One line that either program prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// `load`, `unet_step`, `train_step` or `detect`.
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
    /// diffusers, or facenet-pytorch for `detect`, as it comes.
    Reference,
    /// diffusers with its U-Net in channels-last memory order, which is faster for some.
    ReferenceChannelsLast,
}

/// The measurement of the face detector; it has its own reference, and a photo instead of a model.
const DETECT: &str = "detect";

const ALL_SIDES: &[Side] = &[Side::Ours, Side::Reference, Side::ReferenceChannelsLast];
const TWO_SIDES: &[Side] = &[Side::Ours, Side::Reference];

/// What can be measured, in this order.
const WHATS: [What; 4] = [
    What { name: "load", dtypes: &["f32", "bf16"], sides: TWO_SIDES },
    What { name: "unet_step", dtypes: &["f32", "bf16"], sides: ALL_SIDES },
    What { name: "train_step", dtypes: &["f32", "bf16"], sides: ALL_SIDES },
    What { name: DETECT, dtypes: &["f32"], sides: TWO_SIDES },
];

/// A kind of measurement.
struct What {
    name: &'static str,
    dtypes: &'static [&'static str],
    sides: &'static [Side],
}

impl What {
    fn is_wanted(&self, only: &[String]) -> bool {
        only.is_empty() || only.iter().any(|only| only == self.name)
    }
}

/// Runs the command.
///
/// # Errors
/// When the set-up or a measurement fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_libtorch()?;
    let wanted: Vec<What> = WHATS.into_iter().filter(|what| what.is_wanted(&args.only)).collect();
    let python = reference::python()?;
    let detector = wanted.iter().any(|what| what.name == DETECT).then(|| Detector::find(&python)).transpose()?;
    let bench = Bench {
        program: build(args.release)?,
        python,
        model: model(args)?,
        detector,
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        runs: args.runs.unwrap_or(if args.full.is_some() { 1 } else { 5 }),
    };
    read_once(&bench.model)?;
    let mut taken = Vec::new();
    for round in 0..args.rounds {
        for what in &wanted {
            // In f32, SDXL's weights alone take 13 GiB.
            for dtype in what.dtypes.iter().filter(|dtype| args.full != Some(FullSize::Sdxl) || **dtype == "bf16") {
                let mut sides = what.sides.to_vec();
                if round % 2 == 1 {
                    sides.reverse();
                }
                for side in sides {
                    let measurement = bench.measure(side, what.name, dtype)?;
                    let (name, seconds, memory) = (what.name, measurement.seconds, measurement.peak_rss_mb);
                    eprintln!("round {}: {name} {dtype} {side:?}: {seconds:.3} s, {memory:.0} MiB", round + 1);
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
    detector: Option<Detector>,
    threads: usize,
    runs: usize,
}

impl Bench {
    fn command(&self, side: Side, what: &str, dtype: &str) -> Command {
        let threads = self.threads.to_string();
        let script = |name: &str| {
            let mut command = Command::new(&self.python);
            command.arg(workspace::root().join("xtask/bench").join(name));
            command
        };
        let detector = self.detector.as_ref().filter(|_| what == DETECT);
        let (mut command, subject) = match (side, detector) {
            (Side::Ours, Some(detector)) => (Command::new(&self.program), &detector.weights),
            (Side::Ours, None) => (Command::new(&self.program), &self.model),
            (_, Some(detector)) => (script("facenet_bench.py"), &detector.photo),
            (_, None) => (script("diffusers_bench.py"), &self.model),
        };
        command.arg(subject).args([what, dtype, &self.runs.to_string(), &threads]);
        match (side, detector) {
            (Side::Ours, Some(detector)) => command.arg(&detector.photo),
            (Side::ReferenceChannelsLast, _) => command.arg("channels_last"),
            _ => &mut command,
        };
        // Our pixels are worked on by threads that libtorch does not count.
        command.env("RAYON_NUM_THREADS", threads);
        command
    }

    fn measure(&self, side: Side, what: &str, dtype: &str) -> Result<Measurement> {
        let mut command = self.command(side, what, dtype);
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

/// The face detector's weights and the photo to look at.
struct Detector {
    weights: PathBuf,
    photo: PathBuf,
}

impl Detector {
    /// Side of the photo, in pixels.
    const SIDE: &str = "1024";

    /// Both sides read the photo from one file, enlarged once, so that they see the same pixels.
    fn find(python: &OsStr) -> Result<Self> {
        let root = workspace::root();
        let weights = root.join("models/mtcnn");
        if !weights.is_dir() {
            return Err(Hinted::new(
                "`detect` cannot be measured: there is no `models/mtcnn`",
                "`cargo xtask setup` fetches it",
            )
            .into());
        }
        let folder = root.join("out/bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        let photo = folder.join(format!("astronaut-{}.png", Self::SIDE));
        if !photo.exists() {
            let mut enlarge = Command::new(python);
            enlarge.arg(root.join("xtask/bench/enlarge.py")).arg(root.join("tests/fixtures/photos/astronaut.png"));
            enlarge.arg(&photo).arg(Self::SIDE).stdin(Stdio::null());
            ensure!(workspace::status(&mut enlarge)?.success(), "the photo could not be enlarged");
        }
        Ok(Self { weights, photo })
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
    let Some(size) = args.full else { return Ok(root.join("models/mini")) };
    // Where `cargo xtask parity --full` leaves one.
    let folder = root.join("out/full/models");
    let model = folder.join(size.name());
    if model.join("model_index.json").exists() {
        return Ok(model);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    disk::require(&folder, size.bytes(), "a model of full size")?;
    eprintln!("making a model of full size with random weights in `{}`", model.display());
    let mut python = Command::new(reference::python()?);
    python.arg(root.join("xtask/bench/full_model.py")).arg(&folder).arg(size.name()).stdin(Stdio::null());
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
