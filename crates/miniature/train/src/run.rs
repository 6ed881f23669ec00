//! The loop that trains any stage.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use idembed_weights::Compute;
use tch::Kind;

use crate::outputs::{make_folder, write_png};
use crate::progress::Progress;
use crate::state::State;
use crate::worker::{Work, Worker};
use crate::{Check, PretrainError, Recipe, Result, Share, Task, seeds};

/// Where and for how long a run computes; changes nothing in what is learned but the rounding.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The folder for checkpoint, sheet and network.
    pub out: PathBuf,
    /// The folder of a model whose network is trained further, as long as there is no checkpoint.
    pub from: Option<PathBuf>,
    /// Device and number format.
    pub compute: Compute,
    /// Cores to compute with.
    pub threads: usize,
    /// How long to go on for at most.
    pub time: Option<Duration>,
    /// How often a line is said.
    pub line_every: Duration,
    /// How often the state is saved.
    pub save_every: Duration,
    /// How often the sheet is drawn.
    pub sheet_every: Duration,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Steps done, those of earlier runs included.
    pub step: usize,
    /// Whether the training is complete.
    pub complete: bool,
    /// The figures on what is held out.
    pub checks: Vec<Check>,
}

/// Trains a stage, from its checkpoint if there is one, until it is complete, the time is over or `stop` becomes true.
///
/// The state is saved then, the network written and the sheet drawn, whatever the reason for the end.
///
/// # Errors
/// A setting out of range, a checkpoint of another run, a file that cannot be written, a loss that is not finite.
pub fn train<S: Task>(
    stage: &S,
    recipe: &Recipe,
    options: &RunOptions,
    stop: &AtomicBool,
    say: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    recipe.check()?;
    seeds::check_run(recipe.seed)?;
    let started = Instant::now();
    // libtorch's own threads wait for each other in every layer; here each worker has a core to itself.
    tch::set_num_threads(1);
    make_folder(&options.out)?;
    let checkpoint = options.out.join(format!("{}.ckpt", stage.name()));
    let settings = [stage.settings(), recipe.settings()].concat();

    let from = options.from.as_deref().filter(|_| !checkpoint.exists());
    let mut state = State::new(stage, recipe, options.compute.device, from)?;
    if checkpoint.exists() {
        state.resume(recipe, &settings, &checkpoint)?;
        say(&format!("going on after step {} of `{}`", state.step, checkpoint.display()));
    }
    let over = |state: &State| {
        state.step >= recipe.steps()
            || stop.load(Ordering::Relaxed)
            || options.time.is_some_and(|time| started.elapsed() >= time)
    };
    // The average is updated in place: one network shows it from now on.
    let average = stage.build(&state.average.parameters, Kind::Float)?;
    std::thread::scope(|scope| {
        // A GPU is one worker, for which many threads draw.
        let on_gpu = options.compute.device.is_cuda();
        let workers = if on_gpu { 1 } else { options.threads.clamp(1, recipe.batch) };
        let drawing_threads = if on_gpu { options.threads.max(1) } else { 1 };
        let workers: Vec<Worker> = (0..workers)
            .map(|index| {
                let share = Share { index, of: workers };
                let (batch, first, kind) = (recipe.batch, state.step, options.compute.kind);
                let work = Work { share, batch, first, kind, drawing_threads };
                Ok(Worker::start(scope, stage, state.trained.parameters.replica()?, work))
            })
            .collect::<Result<_>>()?;
        let (mut progress, mut saved, mut drawn) = (Progress::new(), Instant::now(), Instant::now());
        while !over(&state) {
            workers.iter().try_for_each(Worker::go)?;
            let found = workers.iter().map(Worker::found).collect::<Result<_>>()?;
            let (total, parts) = state.advance(recipe, found)?;
            progress.add(total, parts);
            if progress.is_due(options.line_every) {
                let checks = tch::no_grad(|| stage.glance(&average))?;
                say(&progress.line(recipe, state.step, &checks));
            }
            if saved.elapsed() >= options.save_every {
                state.save(&settings, &checkpoint)?;
                saved = Instant::now();
            }
            if drawn.elapsed() >= options.sheet_every {
                show(stage, &average, &state, &options.out)?;
                drawn = Instant::now();
            }
        }
        Ok::<_, PretrainError>(())
    })?;
    state.save(&settings, &checkpoint)?;
    show(stage, &average, &state, &options.out)?;
    let checks = tch::no_grad(|| stage.check(&average))?;
    Ok(Outcome { step: state.step, complete: state.step >= recipe.steps(), checks })
}

/// Writes the network as it is, then the sheet, which may be made with what was written.
fn show<S: Task>(stage: &S, network: &S::Network, state: &State, folder: &Path) -> Result<()> {
    tch::no_grad(|| stage.export(network, &state.average.parameters, folder))?;
    write_png(&folder.join(format!("{}.png", stage.name())), tch::no_grad(|| stage.sheet(network))?)
}
