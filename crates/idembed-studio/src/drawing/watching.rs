//! Who follows the steps of a drawing: for progress, for stopping, for attention maps.

use std::cell::Cell;

use idembed_attention::{Layers, MapRecorder, Word};
use idembed_diffusion::conditioning::stage_of;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::{Callback, StepInfo};

use crate::event::Event;
use crate::job::Context;

/// Words being watched in one picture.
pub(super) struct Watching {
    pub(super) words: Vec<Word>,
    pub(super) layers: Layers,
    pub(super) stages: usize,
    pub(super) train_timesteps: usize,
    pub(super) recorder: Option<MapRecorder>,
}

impl Watching {
    pub(super) fn begin(&mut self, step: &StepInfo) -> idembed_attention::Result<&mut MapRecorder> {
        let mut recorder = match self.recorder.take() {
            Some(recorder) => recorder,
            None => {
                MapRecorder::new(self.words.clone(), self.layers.clone())?.watching(step.conditional_rows.clone())?
            }
        };
        recorder.begin_step(stage_of(step.timestep, self.stages, self.train_timesteps));
        Ok(self.recorder.insert(recorder))
    }
}

/// How far a job has come.
pub(super) struct Progress<'a> {
    context: &'a Context,
    begun: Cell<u64>,
    of: u64,
}

impl<'a> Progress<'a> {
    /// A job of so many steps.
    pub(super) fn new(context: &'a Context, of: u64) -> Self {
        Progress { context, begun: Cell::new(0), of }
    }

    /// Counts steps that turned out to be none.
    pub(super) fn skip(&self, steps: usize) {
        self.begun.set(self.begun.get() + steps as u64);
    }

    /// Whether the job is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.context.is_stopped()
    }

    fn step(&self) -> idembed_diffusion::Result<()> {
        if self.is_stopped() {
            return Err(idembed_diffusion::Error::Stopped);
        }
        self.skip(1);
        self.context.tell(Event::DrawStep { begun: self.begun.get(), of: self.of });
        Ok(())
    }
}

/// Tells of every step, hands out the recorder, stops a cancelled job.
pub(super) struct Follower<'a> {
    pub(super) progress: &'a Progress<'a>,
    pub(super) watching: Option<&'a mut Watching>,
    /// Stops the drawing after so many steps.
    pub(super) steps: Option<usize>,
}

impl Callback for Follower<'_> {
    fn on_step_begin(&mut self, step: &StepInfo) -> idembed_diffusion::Result<Option<&mut dyn AttentionHook>> {
        if self.steps == Some(step.step) {
            return Err(idembed_diffusion::Error::Stopped);
        }
        self.progress.step()?;
        match &mut self.watching {
            Some(watching) => Ok(Some(watching.begin(step)?)),
            None => Ok(None),
        }
    }
}
