//! Methods over people: the program `idembed-eval` learns, draws and scores, and here its scores are summed up, compared,
//! checked and shown.
//!
//! A unit is a method and a person. Units are independent of each other, so processes and machines can share them out.

mod check;
mod columns;
mod cost;
mod curves;
mod evaluation;
mod frontiers;
mod gallery;
mod merge;
mod page;
mod program;
mod record;
mod table;
mod tally;
#[cfg(all(test, unix))]
mod tests;
mod units;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Output;
use crate::hint::Hinted;
use crate::{atomic, setup, workspace};
use evaluation::Evaluation;
use program::Shard;
use record::Run;
use tally::Bootstrap;
use units::Unit;

/// The most processes of a quick run: it has four units.
const QUICK_JOBS: usize = 4;

/// Options of this form alone.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    evaluation: EvaluationArgs,
}

/// What is learned, drawn and scored; most of it is handed on to the program as it is.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Methods over people")]
#[group(id = "run")]
struct RunArgs {
    /// A set of prompts: a name from crates/idembed-eval/protocols, or a file [default: miniature]
    #[arg(long, value_name = "NAME|FILE")]
    protocol: Option<OsString>,
    /// The methods to compare, with commas between; the first is what the others are compared with
    #[arg(long, value_name = "A,B,...")]
    methods: Option<OsString>,
    /// Try several values of one setting: lambda, stages, split-kv, target, layers, norm, start or steps
    #[arg(long, value_name = "SETTING")]
    ablation: Option<OsString>,
    /// Each method with every value of a setting, as in steps=50,200,800; given again, with all combinations. The table then
    /// compares the methods by the best that each can do at equal likeness
    #[arg(long, value_name = "SETTING=A,B,...")]
    grid: Vec<OsString>,
    /// How many people
    #[arg(long, value_name = "N")]
    identities: Option<OsString>,
    /// A folder of photos of the people, a folder each; the first photo is learned, with the caption in a text file beside
    /// it if there is one; default: those that come with the model
    #[arg(long, value_name = "DIR")]
    people: Option<OsString>,
    /// The model that draws: its name in models/, or a folder
    #[arg(long)]
    model: Option<OsString>,
    /// Steps of learning
    #[arg(long, value_name = "N")]
    steps: Option<OsString>,
    /// Few people, prompts and steps: a first table in three minutes on two cores
    #[arg(long)]
    quick: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<OsString>,
    /// auto, f32, bf16 or f16
    #[arg(long)]
    dtype: Option<OsString>,
    /// So many processes side by side, each with its share of the units and one thread [default: 1; of a quick run, one for
    /// each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Only the units of one of N equal parts, and no table: --merge makes it when all parts are finished
    #[arg(long, value_name = "I/N", conflicts_with = "jobs")]
    shard: Option<Shard>,
    /// The program `idembed-eval`, where it is compiled already; nothing is set up then
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// More options of `idembed-eval run`, after `--`
    #[arg(last = true)]
    more: Vec<OsString>,
}

/// What becomes of the scores.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Tables")]
#[group(id = "evaluation")]
struct EvaluationArgs {
    /// Draw nothing: bring the finished units of these folders together in --out, and make the tables
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["run", "pictures"])]
    merge: Vec<PathBuf>,
    /// Make the tables although units are missing
    #[arg(long, requires = "merge")]
    partial: bool,
    /// The method that the others are compared with; default: the first
    #[arg(long, value_name = "METHOD")]
    baseline: Option<String>,
    /// Fail when a figure is worse than in this earlier scores.json by more than half its interval
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    check: Option<PathBuf>,
}

/// Draws and scores what is not there yet, or merges; then makes the tables.
///
/// # Errors
/// When the set-up, the build, the program, the disk or a check fails, or units are missing.
pub(super) fn run(args: &Args, pictures: Option<&OsStr>, output: &Output) -> Result<()> {
    let done = run_until(args, pictures, output, stop_on_signals)?;
    super::print(&done.printed)?;
    done.checked
}

/// What came of a run.
struct Done {
    /// What is to be printed.
    printed: String,
    /// Whether the figures are what they were; said after they are printed.
    checked: Result<()>,
}

/// Does it all but print; `listen` gives what ends the program early.
fn run_until(
    args: &Args,
    pictures: Option<&OsStr>,
    output: &Output,
    listen: impl FnOnce() -> Result<Receiver<()>>,
) -> Result<Done> {
    let Args { run, evaluation } = args;
    if let Some(check) = &evaluation.check {
        fs::metadata(check).with_context(|| format!("cannot open `{}`", check.display()))?;
    }
    if !evaluation.merge.is_empty() {
        let out = merge_target(&evaluation.merge, output.out.as_deref())?;
        merge::merge(&evaluation.merge, out)?;
        return evaluate(out, evaluation, output);
    }
    let out = output.out.clone().unwrap_or_else(|| run.default_out());
    let arguments = run.arguments(pictures, &out)?;
    let program = run.program()?;
    program::run(&program, &arguments, run.shard, run.jobs(), &listen()?)?;
    match run.shard {
        Some(shard) => tell_shard(shard, &out),
        None => evaluate(&out, evaluation, output),
    }
}

impl RunArgs {
    /// How many processes share the units: one, and of a quick run, which is of a small model, one for each core.
    fn jobs(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from).min(QUICK_JOBS);
        self.jobs.map_or_else(|| if self.quick && self.shard.is_none() { cores() } else { 1 }, usize::from)
    }

    /// The protocol to use.
    fn protocol(&self) -> &OsStr {
        self.protocol.as_deref().unwrap_or("miniature".as_ref())
    }

    /// A folder for each protocol, and one for each kind of run that cannot share it.
    fn default_out(&self) -> PathBuf {
        let mut name = Path::new(self.protocol()).file_stem().unwrap_or_default().to_owned();
        if let Some(ablation) = &self.ablation {
            name.push("-");
            name.push(ablation);
        }
        if !self.grid.is_empty() {
            name.push("-grid");
        }
        if self.quick {
            name.push("-quick");
        }
        workspace::root().join("out/eval").join(name)
    }

    /// The command line of the program, but for the shard.
    fn arguments(&self, pictures: Option<&OsStr>, out: &Path) -> Result<Vec<OsString>> {
        if let Some(pictures) = pictures.filter(|text| text.to_str().and_then(|it| it.parse::<u32>().ok()).is_none()) {
            let message = format!("`{}` is no number of pictures", pictures.display());
            return Err(Hinted::new(message, "a folder of pictures needs --photo too").into());
        }
        let mut arguments: Vec<OsString> = vec!["run".into(), "--protocol".into(), self.protocol().to_owned()];
        let flags = [
            ("--methods", self.methods.as_deref()),
            ("--ablation", self.ablation.as_deref()),
            ("--identities", self.identities.as_deref()),
            ("--people", self.people.as_deref()),
            ("--model", self.model.as_deref()),
            ("--pictures", pictures),
            ("--steps", self.steps.as_deref()),
            ("--device", self.device.as_deref()),
            ("--dtype", self.dtype.as_deref()),
            ("--out", Some(out.as_os_str())),
        ];
        for (flag, value) in flags {
            arguments.extend(value.into_iter().flat_map(|value| [flag.into(), value.to_owned()]));
        }
        arguments.extend(self.grid.iter().flat_map(|grid| ["--grid".into(), grid.clone()]));
        arguments.extend(self.quick.then(|| "--quick".into()));
        arguments.extend(self.more.iter().cloned());
        Ok(arguments)
    }

    /// The program, compiled if it is not named.
    fn program(&self) -> Result<PathBuf> {
        if let Some(program) = &self.program {
            return std::path::absolute(program).with_context(|| format!("not a path: `{}`", program.display()));
        }
        setup::ensure()?;
        crate::program::build("idembed-eval", &["--package", "idembed-eval"])
    }
}

/// Where merged units go.
fn merge_target<'a>(sources: &'a [PathBuf], out: Option<&'a Path>) -> Result<&'a Path> {
    match (out, sources) {
        (Some(out), _) => Ok(out),
        (None, [only]) => Ok(only),
        _ => Err(Hinted::new("it is not said where the merged run goes", "give `--out DIR`").into()),
    }
}

/// Sends a message for each Ctrl-C and each request to end.
fn stop_on_signals() -> Result<Receiver<()>> {
    let (sender, stop) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody waits any more when all is done.
        sender.send(()).ok();
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Says how far the whole run is, and how to go on.
fn tell_shard(shard: Shard, out: &Path) -> Result<Done> {
    let units = Unit::all(&Run::read(out)?, out);
    let finished = units.iter().filter(|unit| unit.is_finished()).count();
    eprintln!("part {shard} is finished; of the whole run {finished} of {} units are in this folder", units.len());
    eprintln!("when all are: cargo xtask eval --merge {}", out.display());
    Ok(Done { printed: String::new(), checked: Ok(()) })
}

/// Makes the tables of the run in `out`, writes them down, and checks them if asked to.
fn evaluate(out: &Path, args: &EvaluationArgs, output: &Output) -> Result<Done> {
    let evaluation = Evaluation::read(out, args.partial)?;
    let bootstrap = Bootstrap { resamples: output.resamples, seed: output.seed };
    let scores = evaluation.scores(args.baseline.as_deref(), bootstrap)?;
    let costs = evaluation.costs();
    let table = scores.table();
    let mut as_json = serde_json::to_value(&scores)?;
    let page = page::render(&evaluation, &scores, &costs)?;

    let file = |name: &str| out.join(name);
    evaluation.write_lines(&file(record::PICTURES))?;
    atomic::write(&file("table.txt"), table.as_bytes())?;
    atomic::write(&file("scores.json"), pretty(&as_json)?.as_bytes())?;
    atomic::write(&file("cost.json"), pretty(&json!(costs))?.as_bytes())?;
    atomic::write(&file("index.html"), page.as_bytes())?;

    let printed = if output.json {
        as_json["cost"] = json!(costs);
        pretty(&as_json)?
    } else {
        format!("{table}\n{}\npage: `{}`\n", table::costs(&costs), file("index.html").display())
    };
    Ok(Done { printed, checked: args.check.as_deref().map_or(Ok(()), |file| check::check(&scores, file)) })
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
