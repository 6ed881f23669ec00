//! The program `idembed-pretrain`, which `cargo xtask pretrain` runs: from flags to a recipe, one library call, a report.
#![allow(clippy::print_stderr, reason = "a program talks")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use idembed_pretrain::clip::ClipTask;
use idembed_pretrain::controlnet::ControlNetTask;
use idembed_pretrain::judge::JudgeTask;
use idembed_pretrain::recogniser::{self, RecogniserTask};
use idembed_pretrain::report::{self, Part, ReportOptions};
use idembed_pretrain::unet::UNetTask;
use idembed_pretrain::vae::VaeTask;
use idembed_pretrain::{Choices, Outcome, PretrainError, RunOptions, gather, tokenizer, train};
use idembed_weights::{Compute, DeviceChoice, DtypeChoice};

/// Train the networks of the miniature on the drawn world.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Args {
    /// What to train
    #[arg(long, value_enum, default_value = "all")]
    stage: StageName,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Format of weights and activations: f32, or bf16 on processors that compute with it
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    dtype: String,
    /// Stop after so many minutes; the same command goes on from there
    #[arg(long)]
    minutes: Option<f64>,
    /// Samples of the whole training, which a later run may change; default: what the stage is tuned for
    #[arg(long)]
    samples: Option<usize>,
    /// Samples per step; default: what the stage is tuned for
    #[arg(long)]
    batch: Option<usize>,
    /// The highest learning rate; default: what the stage is tuned for
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Train the network of this model further instead of one that begins by chance, as long as there is no checkpoint
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Folder for checkpoint, sheet and network
    #[arg(long, default_value = "out/pretrain")]
    out: PathBuf,
    /// Seconds between two checkpoints
    #[arg(long, default_value_t = 120)]
    save_every: u64,
    /// Cores to compute with; default: all
    #[arg(long)]
    threads: Option<usize>,
    /// Decides the first weights, the data and all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train nothing; measure the whole model and write OUT/report.html and OUT/report.json
    #[arg(long)]
    report: bool,
    /// With --report: the model; default: what the stages left in OUT
    #[arg(long, requires = "report")]
    model: Option<PathBuf>,
    /// Train nothing; measure how the cosines of the recogniser of MODEL are to be read, and write its scale.json
    #[arg(long, value_name = "MODEL", conflicts_with = "report")]
    scale: Option<PathBuf>,
    /// With --report: measure this alone and write no card (may be given several times): autoencoder, instruments, attention,
    /// prompts, traits, learned, edges or names
    #[arg(long = "part", value_name = "NAME", requires = "report")]
    parts: Vec<Part>,
    /// With --report: the weights of the face detector
    #[arg(long, requires = "report", default_value = "models/mtcnn")]
    detector: PathBuf,
}

/// The networks that can be trained.
#[derive(Clone, Copy, ValueEnum)]
enum StageName {
    /// All of them, in their order
    All,
    /// The tokenizer; others make it where it is missing
    Tokenizer,
    /// The autoencoder
    Vae,
    /// The noise predictor, with the text encoder
    Unet,
    /// Captions and pictures in one space, to score prompts
    Clip,
    /// The network that tells people apart
    Recogniser,
    /// The network that says what a picture shows
    Judge,
    /// What steers the noise predictor along the edges of a picture
    Controlnet,
}

impl StageName {
    /// The stages to run: each needs those before it.
    fn in_order(&self) -> &[StageName] {
        match self {
            StageName::All => &[
                StageName::Tokenizer,
                StageName::Vae,
                StageName::Recogniser,
                StageName::Judge,
                StageName::Clip,
                StageName::Unet,
                StageName::Controlnet,
            ],
            one => std::slice::from_ref(one),
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    idembed_weights::keep_freed_memory();
    idembed_weights::announce_lost_pages();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  caused by: {cause}"));
            let hint = error.chain().find_map(|cause| cause.downcast_ref::<PretrainError>()?.hint());
            hint.iter().for_each(|hint| eprintln!("\nhint: {hint}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    ctrlc::set_handler(|| {
        // Once more ends it at once; the checkpoint is whole all the same.
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(1);
        }
        eprintln!("\nstopping after this step; once more to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    let dtype: DtypeChoice = args.dtype.parse()?;
    let options = RunOptions {
        out: args.out.clone(),
        from: args.from.clone(),
        compute: Compute::resolve(args.device, dtype)?,
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        time: args
            .minutes
            .map(|minutes| Duration::try_from_secs_f64(60.0 * minutes))
            .transpose()
            .context("--minutes is no length of time")?,
        line_every: Duration::from_secs(30),
        save_every: Duration::from_secs(args.save_every),
        sheet_every: Duration::from_secs(900),
    };
    eprintln!("{} on {}, {} threads", args.out.display(), options.compute, options.threads);
    if let Some(model) = &args.scale {
        tch::set_num_threads(i32::try_from(options.threads)?);
        eprintln!("{}", recogniser::write_scale(&model.join("recogniser"))?);
        return Ok(());
    }
    if args.report {
        tch::set_num_threads(i32::try_from(options.threads)?);
        return write_report(args, options.compute);
    }
    let started = Instant::now();
    for stage in args.stage.in_order() {
        let left = options.time.map(|time| time.saturating_sub(started.elapsed()));
        eprintln!("\nstage {}", stage.name());
        if !run_stage(*stage, args, &RunOptions { time: left, ..options.clone() })? {
            eprintln!("the same command goes on from here");
            break;
        }
    }
    Ok(())
}

/// Trains one network; returns whether it is complete.
fn run_stage(stage: StageName, args: &Args, options: &RunOptions) -> Result<bool> {
    let say = &mut |line: &str| eprintln!("{line}");
    let Args { seed, samples, batch, learning_rate, .. } = *args;
    let choices = Choices { seed, samples, batch, learning_rate };
    let outcome = match stage {
        StageName::All => return Ok(true),
        StageName::Tokenizer => {
            tokenizer::ensure(&options.out.join("tokenizer"))?;
            return Ok(true);
        }
        StageName::Vae => {
            let recipe = VaeTask::recipe(&choices);
            train(&VaeTask::new(recipe)?, &recipe, options, &STOP, say)?
        }
        StageName::Unet => {
            let recipe = UNetTask::recipe(&choices);
            let stage = UNetTask::new(recipe, options, &STOP, say)?;
            train(&stage, &recipe, options, &STOP, say)?
        }
        StageName::Clip => {
            let recipe = ClipTask::recipe(&choices);
            train(&ClipTask::new(recipe, &options.out)?, &recipe, options, &STOP, say)?
        }
        StageName::Recogniser => {
            let recipe = RecogniserTask::recipe(&choices);
            train(&RecogniserTask::new(recipe)?, &recipe, options, &STOP, say)?
        }
        StageName::Judge => {
            let recipe = JudgeTask::recipe(&choices);
            train(&JudgeTask::new(recipe)?, &recipe, options, &STOP, say)?
        }
        StageName::Controlnet => {
            let recipe = ControlNetTask::recipe(&choices);
            let stage = ControlNetTask::new(recipe, options, &STOP, say)?;
            train(&stage, &recipe, options, &STOP, say)?
        }
    };
    say_outcome(&outcome);
    Ok(outcome.complete)
}

/// Measures the model; the page and the figures go into the folder.
fn write_report(args: &Args, compute: Compute) -> Result<()> {
    // What takes half an hour must not end for want of a folder.
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder `{}`", args.out.display()))?;
    let model = args.model.clone().map_or_else(|| gather(&args.out), Ok)?;
    let (detector, parts) = (args.detector.clone(), args.parts.clone());
    let options = ReportOptions { model, detector, compute, parts };
    let report = report::measure(&options, &STOP, &mut |line| eprintln!("{line}"))?;
    let figures = serde_json::to_vec_pretty(&report.json())?;
    for (name, content) in [("report.json", figures), ("report.html", report.page()?.render().into_bytes())] {
        let path = args.out.join(name);
        idembed_files::write(&path, &content).with_context(|| format!("cannot write `{}`", path.display()))?;
        eprintln!("wrote `{}`", path.display());
    }
    if args.model.is_none() && args.parts.is_empty() {
        report.write_card(&args.out)?;
    }
    Ok(())
}

fn say_outcome(outcome: &Outcome) {
    for check in &outcome.checks {
        eprintln!("{}: {:.2} {}", check.name, check.value, check.unit);
    }
    let how = if outcome.complete { "complete" } else { "stopped" };
    eprintln!("{how} after {} steps", outcome.step);
}
