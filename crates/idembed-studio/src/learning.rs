//! Learning an identity: from cut photos to vectors, with checkpoints.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::{Callback, StableDiffusion, StepInfo, TextToImage, picture};
use idembed_tokens::{
    Example, Examples, History, Identity, LearnConfig, LearnControl, Measured, TokensError, Trainer, gradient_ratio,
};
use tch::Tensor;

use crate::error::{Result, StudioError};
use crate::event::Event;
use crate::hashes::ModelHash;
use crate::job::Context;
use crate::model::Model;
use crate::pixels;
use crate::preview::{Enough, PreviewWish};
use crate::subject::Cut;

/// How much work a kill may cost at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);

/// What is to be learned.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// The parts of photos to learn from, one at least, all at the same final size.
    pub subjects: Vec<Cut>,
    /// The settings.
    pub config: LearnConfig,
    /// Where the state is kept while the run goes on; without it, a stop loses what was learned. Whoever has written the
    /// identity removes it.
    pub checkpoint: Option<PathBuf>,
    /// The state to go on from.
    pub resume: Option<PathBuf>,
    /// Whether the state of the finished run is kept as well, to go on with more steps.
    pub keep_state: bool,
    /// The identity to start at, where the settings say so.
    pub start: Option<Identity>,
    /// What to draw on the way.
    pub preview: Option<PreviewWish>,
    /// Ends it before its last step.
    pub enough: Enough,
}

impl Lesson {
    /// A lesson that keeps no state, goes on from none, and draws nothing on the way.
    pub fn new(subjects: Vec<Cut>, config: LearnConfig) -> Lesson {
        Lesson {
            subjects,
            config,
            checkpoint: None,
            resume: None,
            keep_state: false,
            start: None,
            preview: None,
            enough: Enough::default(),
        }
    }
}

/// What came out of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Learned {
    /// The identity.
    pub identity: Identity,
    /// The losses of every step.
    pub history: History,
    /// What was measured at some steps of this run.
    pub measured: Vec<(usize, Measured)>,
    /// How many numbers were trained.
    pub parameters: usize,
    /// Seconds for drawing class pictures, and encoding pictures and prompts.
    pub prepare_seconds: f64,
    /// Seconds for the steps.
    pub seconds: f64,
    /// The steps of this run: fewer than all for a resumed one.
    pub steps_here: usize,
}

impl AsRef<Identity> for Learned {
    fn as_ref(&self) -> &Identity {
        &self.identity
    }
}

/// Learns to the end.
///
/// # Errors
/// A wish to stop, numbers that overflow, a checkpoint that cannot be written or does not fit.
pub(crate) fn learn(
    model: &StableDiffusion,
    own: &Model,
    lesson: &Lesson,
    hash: &ModelHash,
    context: &Context,
) -> Result<Learned> {
    let started = Instant::now();
    let pictures = lesson.subjects.iter().map(|subject| {
        let mask = subject.mask.as_ref().map(pixels::to_mask).transpose()?;
        Ok(Example { image: picture::to_tensor(&subject.picture)?, mask, template: subject.caption.clone() })
    });
    let examples = Examples {
        pictures: pictures.collect::<Result<_>>()?,
        class_pictures: class_pictures(model, own, lesson, context)?,
        names: if lesson.config.tokens.needs_names() { own.known_names()? } else { Vec::new() },
        start: lesson.start.clone(),
    };
    let mut trainer = Trainer::new(model, &examples, lesson.config.clone())?;
    if let Some(path) = &lesson.resume {
        trainer.resume(path)?;
    }
    let prepare_seconds = started.elapsed().as_secs_f64();

    let (first, of) = (trainer.steps_done(), lesson.config.steps);
    context.tell(Event::LearnBegins { done: first, of });
    let mut measured: Vec<(usize, Measured)> = Vec::new();
    let control = LearnControl {
        checkpoint: lesson.checkpoint.clone(),
        checkpoint_every: CHECKPOINT_EVERY,
        keep_state: lesson.keep_state,
        stop: context.stop_flag(),
    };
    let preview = |trainer: &Trainer<'_>| -> Result<()> {
        let Some(wish) = lesson.preview.as_ref().filter(|wish| wish.is_due(trainer.steps_done(), of)) else {
            return Ok(());
        };
        let drawn = wish.draw(model, own, trainer, hash, context)?;
        drawn.into_iter().for_each(|drawn| context.tell(Event::Preview(Box::new(drawn))));
        Ok(())
    };
    let started = Instant::now();
    if first == 0 {
        preview(&trainer)?;
    }
    let ended = idembed_tokens::learn(&mut trainer, &control, |trainer, report| {
        measured.extend(report.measured.clone().map(|measured| (report.step, measured)));
        context.tell(Event::LearnStep { report: report.clone(), of });
        preview(trainer).map_err(|error| Ended::Failed(Box::new(error)))?;
        if lesson.enough.was_said() { Err(Ended::Enough) } else { Ok(()) }
    });
    let identity = match ended {
        Ok(identity) => identity,
        Err(Ended::Enough) => {
            if let Some(checkpoint) = lesson.checkpoint.as_ref().filter(|_| lesson.keep_state) {
                trainer.save(checkpoint)?;
            }
            trainer.identity()?
        }
        Err(Ended::Failed(error)) => return Err(*error),
    };
    Ok(Learned {
        identity,
        history: trainer.history().clone(),
        measured,
        parameters: trainer.parameter_count(),
        prepare_seconds,
        seconds: started.elapsed().as_secs_f64(),
        steps_here: trainer.steps_done() - first,
    })
}

/// Why learning ended before its last step.
enum Ended {
    Enough,
    Failed(Box<StudioError>),
}

impl From<TokensError> for Ended {
    fn from(error: TokensError) -> Self {
        Ended::Failed(Box::new(error.into()))
    }
}

/// Pictures of the class word, drawn by the model itself as it likes to draw, where the method learns them beside the photo.
fn class_pictures(model: &StableDiffusion, own: &Model, lesson: &Lesson, context: &Context) -> Result<Vec<Tensor>> {
    let config = &lesson.config;
    let Some(unet) = config.unet.filter(|unet| unet.prior_weight > 0.0) else { return Ok(Vec::new()) };
    let (prompt, negative) = (model.condition(&format!("a photo of {}", config.class))?, model.condition("")?);
    let Some((width, height)) = lesson.subjects.first().map(|subject| subject.picture.dimensions()) else {
        return Ok(Vec::new());
    };
    let of = unet.class_pictures;
    let seeds: Vec<u64> = (0..of as u64).map(|index| config.seed.wrapping_add(index)).collect();
    let request = TextToImage {
        guidance_scale: own.settings.guidance,
        steps: own.settings.steps,
        scheduler: own.settings.scheduler,
        width: i64::from(width),
        height: i64::from(height),
        batch: own.settings.batch,
        ..TextToImage::new(model, &prompt, &negative, &seeds)
    };
    let mut pictures = Vec::with_capacity(of);
    request.run(model, &mut Stoppable(context), |index, drawn| -> Result<()> {
        pictures.push(picture::to_tensor(&drawn)?);
        context.tell(Event::ClassPicture { done: index + 1, of });
        Ok(())
    })?;
    Ok(pictures)
}

/// Ends a drawing when its job is cancelled.
struct Stoppable<'a>(&'a Context);

impl Callback for Stoppable<'_> {
    fn on_step_begin(&mut self, _: &StepInfo) -> idembed_diffusion::Result<Option<&mut dyn AttentionHook>> {
        if self.0.is_stopped() { Err(idembed_diffusion::Error::Stopped) } else { Ok(None) }
    }
}

impl Learned {
    /// The noise loss, averaged over the last tenth of the steps: single steps differ too much to tell anything.
    pub fn noise_loss(&self) -> Option<f64> {
        last_mean(&self.history.noise)
    }

    /// The attention loss before lambda, averaged in the same way.
    pub fn attention_loss(&self) -> Option<f64> {
        last_mean(&self.history.attention)
    }

    /// How strongly the attention loss pulled beside the noise loss.
    pub fn gradient_ratio(&self) -> Option<f64> {
        gradient_ratio(self.measured.iter().map(|(_, measured)| measured))
    }

    /// The leakage, averaged over the last tenth of its measurements.
    pub fn leakage(&self) -> Option<f64> {
        let shares: Vec<f32> =
            self.measured.iter().filter_map(|(_, measured)| measured.leakage).map(|share| share as f32).collect();
        last_mean(&shares)
    }
}

/// The mean of the last tenth of the values, of one at least.
fn last_mean(values: &[f32]) -> Option<f64> {
    let last = &values[values.len() - values.len().div_ceil(10)..];
    (!last.is_empty()).then(|| last.iter().map(|&value| f64::from(value)).sum::<f64>() / last.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_counts() {
        assert_eq!(last_mean(&[]), None);
        assert_eq!(last_mean(&[3.0]), Some(3.0));
        let values: Vec<f32> = (1..=20u8).map(f32::from).collect();
        assert_eq!(last_mean(&values), Some(19.5));
    }
}
