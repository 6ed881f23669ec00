//! The loop: steps until done or stopped, with checkpoints on the way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::report::StepReport;
use crate::trainer::Trainer;
use crate::{Identity, Result, TokensError};

/// How a run is kept safe and stopped.
#[derive(Debug)]
pub struct LearnControl<'a> {
    /// Where to write checkpoints; nowhere if `None`. The caller removes the file when it no longer needs it.
    pub checkpoint: Option<PathBuf>,
    /// How long a kill may cost at most.
    pub checkpoint_every: Duration,
    /// Whether a checkpoint is written after the last step, too: the run can then go on with more steps.
    pub keep_state: bool,
    /// Stops the run after the current step once it is true.
    pub stop: &'a AtomicBool,
}

/// Trains to the end and returns what was learned. `callback` gets the trainer after every step.
///
/// A checkpoint is written before the first step, from time to time, and when the run stops early.
///
/// # Errors
/// [`TokensError::Stopped`] if asked to stop, [`TokensError::NotFinite`] if training breaks down,
/// [`TokensError::ModelChanged`] if the model's files do (all three name the checkpoint that was just written), a
/// checkpoint that cannot be written, or whatever a step or the callback reports.
pub fn learn<E: From<TokensError>>(
    trainer: &mut Trainer<'_>,
    control: &LearnControl<'_>,
    mut callback: impl FnMut(&Trainer<'_>, &StepReport) -> std::result::Result<(), E>,
) -> std::result::Result<Identity, E> {
    let checkpoint = control.checkpoint.as_deref();
    let mut saved = Instant::now();
    save(trainer, checkpoint)?;
    while !trainer.is_done() {
        if control.stop.load(Ordering::Relaxed) {
            save(trainer, checkpoint)?;
            let (step, steps) = (trainer.steps_done(), trainer.config().steps);
            return Err(TokensError::Stopped { step, steps, checkpoint: control.checkpoint.clone() }.into());
        }
        match trainer.step() {
            Ok(report) => callback(trainer, &report)?,
            Err(mut error) => {
                if let TokensError::NotFinite { checkpoint: written, .. }
                | TokensError::ModelChanged { checkpoint: written, .. } = &mut error
                {
                    save(trainer, checkpoint)?;
                    written.clone_from(&control.checkpoint);
                }
                return Err(error.into());
            }
        }
        if saved.elapsed() >= control.checkpoint_every && !trainer.is_done() {
            save(trainer, checkpoint)?;
            saved = Instant::now();
        }
    }
    if control.keep_state {
        save(trainer, checkpoint)?;
    }
    Ok(trainer.identity()?)
}

fn save(trainer: &Trainer<'_>, checkpoint: Option<&Path>) -> Result<()> {
    checkpoint.map_or(Ok(()), |path| trainer.save(path))
}
