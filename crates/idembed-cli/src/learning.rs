//! Learning an identity with a loaded model: progress, checkpoints, and what the run told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use idembed_diffusion::StableDiffusion;
use idembed_tokens::report::{SENSIBLE_RATIOS, gradient_ratio};
use idembed_tokens::{History, Identity, LearnConfig, LearnControl, Measured, StepReport, Trainer};
use image::RgbImage;

use crate::interrupt::{self, Deferred};
use crate::pixels;
use crate::progress::{Progress, duration};

/// How much work a kill may cost at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);

/// What is to be learned.
pub(crate) struct Lesson {
    /// The part of the photo to learn from, at its final size.
    pub(crate) picture: RgbImage,
    /// White where the face is, of the same size.
    pub(crate) mask: Option<RgbImage>,
    /// The settings.
    pub(crate) config: LearnConfig,
    /// Where to write the identity.
    pub(crate) out: PathBuf,
    /// Where the state is kept while the run goes on; without it, a stop loses what was learned.
    pub(crate) checkpoint: Option<PathBuf>,
    /// The state to go on from.
    pub(crate) resume: Option<PathBuf>,
}

/// What came out of a run.
pub(crate) struct Learned {
    /// The identity.
    pub(crate) identity: Identity,
    /// The losses of every step.
    pub(crate) history: History,
    /// What was measured at some steps of this run.
    pub(crate) measured: Vec<(usize, Measured)>,
    /// Seconds for encoding the picture and the prompts.
    pub(crate) prepare_seconds: f64,
    /// Seconds for the steps.
    pub(crate) seconds: f64,
    /// The steps of this run: fewer than all for a resumed one.
    pub(crate) steps_here: usize,
}

impl Lesson {
    /// Runs to the end and writes the identity.
    ///
    /// # Errors
    /// Ctrl-C, numbers that overflow, a checkpoint that cannot be written or does not fit.
    pub(crate) fn run(&self, model: &StableDiffusion) -> anyhow::Result<Learned> {
        let started = Instant::now();
        let image = pixels::to_tensor(&self.picture)?;
        let mask = self.mask.as_ref().map(pixels::to_mask).transpose()?;
        let mut trainer = Trainer::new(model, &image, mask.as_ref(), self.config.clone())?;
        if let Some(path) = &self.resume {
            trainer.resume(path)?;
            tracing::info!("going on after step {} of {}", trainer.steps_done(), self.config.steps);
        }
        let prepare_seconds = started.elapsed().as_secs_f64();

        let first = trainer.steps_done();
        let mut progress = Progress::new("learning", first as u64, self.config.steps as u64);
        let mut measured: Vec<(usize, Measured)> = Vec::new();
        let mut noise = RunningMean::default();
        let control = LearnControl {
            checkpoint: self.checkpoint.clone(),
            checkpoint_every: CHECKPOINT_EVERY,
            stop: interrupt::stop_flag(),
        };
        let started = Instant::now();
        let deferred = self.checkpoint.is_some().then(Deferred::begin);
        let identity = idembed_tokens::learn(&mut trainer, &control, &mut |report| {
            measured.extend(report.measured.clone().map(|measured| (report.step, measured)));
            noise.add(report.noise_loss);
            let note = note(report, noise.value(), measured.last());
            progress.at(report.step as u64, &note, &details(report, measured.last()));
        })?;
        identity.write(&self.out)?;
        drop(deferred);
        let seconds = started.elapsed().as_secs_f64();
        drop(progress);
        let steps_here = self.config.steps - first;
        tracing::info!("learned {steps_here} steps in {}", duration(seconds));
        let history = trainer.history().clone();
        let learned = Learned { identity, history, measured, prepare_seconds, seconds, steps_here };
        learned.warn_of_lambda();
        Ok(learned)
    }
}

impl Learned {
    /// The noise loss, averaged over the last tenth of the steps: single steps differ too much to tell anything.
    pub(crate) fn noise_loss(&self) -> Option<f64> {
        last_mean(&self.history.noise)
    }

    /// The attention loss before lambda, averaged in the same way.
    pub(crate) fn attention_loss(&self) -> Option<f64> {
        last_mean(&self.history.attention)
    }

    /// How strongly the attention loss pulled beside the noise loss.
    pub(crate) fn gradient_ratio(&self) -> Option<f64> {
        gradient_ratio(self.measured.iter().map(|(_, measured)| measured))
    }

    /// Says so if one of the two losses had next to no say.
    fn warn_of_lambda(&self) {
        let Some(ratio) = self.gradient_ratio().filter(|ratio| !SENSIBLE_RATIOS.contains(ratio)) else { return };
        let (too, other) = if ratio < 1.0 { ("weakly", "larger") } else { ("strongly", "smaller") };
        tracing::warn!(
            "the attention loss pulled very {too}: its gradient was {ratio:.2e} times the noise loss's; try a {other} \
             --lambda than {}",
            self.identity.lambda
        );
    }

    /// The leakage, averaged over the last tenth of its measurements.
    pub(crate) fn leakage(&self) -> Option<f64> {
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

/// The losses.
fn note(report: &StepReport, noise: f64, measured: Option<&(usize, Measured)>) -> String {
    let mut note = format!("noise {noise:.4}");
    if let Some(loss) = report.attention_loss {
        note += &format!("  attention {loss:.3}");
    }
    if let Some(leakage) = measured.and_then(|(_, measured)| measured.leakage) {
        note += &format!("  leakage {:.0} %", 100.0 * leakage);
    }
    note
}

/// What else is known of a step.
fn details(report: &StepReport, measured: Option<&(usize, Measured)>) -> String {
    let mut details = format!("lr {}", report.learning_rate);
    if let Some((_, measured)) = measured {
        details += &format!("  gradients: noise {:.1e}", measured.grad_norm_noise);
        if report.attention_loss.is_some() {
            details += &format!(", {} x attention {:.1e}", report.lambda, measured.grad_norm_attention);
        }
    }
    details
}

/// An exponential mean that starts as a plain one.
#[derive(Default)]
struct RunningMean {
    sum: f64,
    weight: f64,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        const KEEP: f64 = 0.95;
        self.sum = KEEP * self.sum + value;
        self.weight = KEEP * self.weight + 1.0;
    }

    fn value(&self) -> f64 {
        self.sum / self.weight
    }
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

    #[test]
    fn a_running_mean_of_equal_values_is_that_value() {
        let mut mean = RunningMean::default();
        for _ in 0..3 {
            mean.add(2.0);
        }
        assert!((mean.value() - 2.0).abs() < 1e-12);
    }
}
