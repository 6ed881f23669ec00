//! Pictures that are drawn while an identity is being learned, and which of its states is the best.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use idembed_diffusion::StableDiffusion;
use idembed_tokens::{Identity, Trainer};

use crate::drawing::{self, Draw, Drawing, Drawn, NamedIdentity};
use crate::error::{Result, StudioError};
use crate::hashes::ModelHash;
use crate::job::Context;
use crate::model::Model;

/// What is drawn while learning goes on: always the same.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewWish {
    /// After every how many steps; also before the first and after the last one.
    pub every: usize,
    /// The prompts, each with one `{}` for the identity.
    pub prompts: Vec<String>,
    /// How to draw, and with which seeds.
    pub draw: Draw,
}

/// What was drawn after some steps.
#[derive(Debug)]
pub struct Preview {
    /// Steps done.
    pub step: usize,
    /// What was learned by then.
    pub identity: Identity,
    /// For each prompt the pictures of its seeds: those that drawing with this identity gives at any time.
    pub pictures: Vec<Vec<Drawn>>,
}

impl PreviewWish {
    /// Whether there is a preview after `step` of `steps` steps.
    pub(crate) fn is_due(&self, step: usize, steps: usize) -> bool {
        step == steps || (self.every > 0 && step.is_multiple_of(self.every))
    }

    /// Draws; `None` if the job was cancelled meanwhile.
    pub(crate) fn draw(
        &self,
        model: &StableDiffusion,
        own: &Model,
        trainer: &Trainer<'_>,
        hash: &ModelHash,
        context: &Context,
    ) -> Result<Option<Preview>> {
        let identity = trainer.identity()?;
        let name = identity.name.clone();
        let mut pictures = Vec::with_capacity(self.prompts.len());
        for prompt in &self.prompts {
            let prompt = prompt.replace("{}", &format!("<{name}>"));
            let drawing = Drawing::plan(own, &prompt, vec![NamedIdentity::new(&name, &identity)?], &self.draw)?;
            let mut drawn = Vec::with_capacity(drawing.seeds.len());
            match drawing::draw_each(model, &drawing, hash, context, |picture| drawn.push(picture)) {
                // The loop of steps sees it too, and keeps its state.
                Err(StudioError::Stopped) => return Ok(None),
                ended => ended?,
            }
            pictures.push(drawn);
        }
        Ok(Some(Preview { step: trainer.steps_done(), identity, pictures }))
    }
}

/// Says to a run that it has learned enough: it then ends after the step that it is at, as if that had been the last one.
#[derive(Debug, Clone, Default)]
pub struct Enough(Arc<AtomicBool>);

impl Enough {
    /// Ends the run.
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Follows previews and tells when learning on is of no use.
///
/// A preview is better than another one if its value is higher; what the value means is for the caller to say.
#[derive(Debug)]
pub struct BestPreview {
    patience: usize,
    best: Option<(f64, usize, Identity)>,
    since: usize,
}

impl BestPreview {
    /// Gives up after so many previews in a row that are not better than the best.
    pub fn new(patience: usize) -> Self {
        BestPreview { patience, best: None, since: 0 }
    }

    /// Takes the next preview. Of equal ones the earlier is kept: it was learned for less.
    pub fn add(&mut self, value: f64, step: usize, identity: Identity) {
        match &self.best {
            Some((best, ..)) if value <= *best => self.since += 1,
            _ => {
                self.best = Some((value, step, identity));
                self.since = 0;
            }
        }
    }

    /// Whether the last ones were all not better.
    pub fn has_passed(&self) -> bool {
        self.since >= self.patience
    }

    /// The best one so far: its value, after how many steps it was, and what was learned by then.
    pub fn into_best(self) -> Option<(f64, usize, Identity)> {
        self.best
    }
}
