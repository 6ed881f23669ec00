//! The library's jobs as users see them: what is loaded, what it will take, how far it is.

use idembed_diffusion::Compute;
use idembed_diffusion::schedulers::PredictionType;
use idembed_studio::{
    Drawing, Drawn, Event, Forecast, Job, Learned, Lesson, Model, Preview, Studio, Watch, Watched, bytes,
};
use idembed_tokens::{Measured, SENSIBLE_RATIOS, StepReport};

use crate::interrupt::Deferred;
use crate::progress::{Progress, duration};

/// Loads a model, and says where it runs and what its U-Net is taken to predict.
pub(crate) fn load(model: &Model, compute: Compute) -> anyhow::Result<Studio> {
    Ok(announced(Studio::load(model.clone(), compute)?))
}

/// As [`load`], as a drawing needs it.
pub(crate) fn load_for(drawing: &Drawing, model: &Model, compute: Compute) -> anyhow::Result<Studio> {
    if !drawing.settings.low_memory {
        return load(model, compute);
    }
    Ok(announced(Studio::load_sparing(model.clone(), compute)?))
}

fn announced(studio: Studio) -> Studio {
    let (model, compute, facts) = (studio.model(), studio.compute(), studio.facts());
    let origin = match (model.files.prediction(), facts.prediction_is_said) {
        (Some(_), _) => " as --prediction says",
        (None, true) => "",
        (None, false) => " (its files do not say)",
    };
    let (name, seconds, prediction) = (&model.name, facts.load_seconds, facts.prediction);
    tracing::info!("model `{name}` on {compute}, loaded in {seconds:.1} s, predicts {prediction}{origin}");
    if facts.prediction_is_doubtful {
        let other = match prediction {
            PredictionType::Epsilon => "v",
            PredictionType::VPrediction => "epsilon",
        };
        tracing::warn!(
            "some models like this one predict {other}: if the pictures are noise, try --prediction {other}"
        );
    }
    studio
}

/// Says how much memory work will take, and gives it in MiB.
pub(crate) fn announce(forecast: &Forecast) -> u64 {
    tracing::info!("{forecast}");
    if let Some(free) = forecast.free {
        tracing::warn!("only {} of memory are free: this may become very slow", bytes(free));
    }
    forecast.needed_mib()
}

/// Draws; `each` gets every picture as soon as it is there.
pub(crate) fn draw(
    studio: &Studio,
    drawing: Drawing,
    mut each: impl FnMut(Drawn) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut progress = Progress::new("drawing", 0, drawing.total_steps(drawing.seeds.len()));
    let job = studio.start_drawing(drawing);
    for event in job.events() {
        match event {
            Event::DrawStep { .. } => progress.begin_step(),
            Event::Picture(drawn) => {
                if let Err(error) = each(*drawn) {
                    job.cancel();
                    return Err(error);
                }
            }
            _ => {}
        }
    }
    Ok(job.wait()?)
}

/// Draws one picture and watches words; `progress` gets its steps.
pub(crate) fn watch(
    studio: &Studio,
    drawing: Drawing,
    watch: Watch,
    progress: &mut Progress,
) -> anyhow::Result<Watched> {
    let job = studio.start_watching(drawing, watch);
    for event in job.events() {
        if let Event::DrawStep { .. } = event {
            progress.begin_step();
        }
    }
    Ok(job.wait()?)
}

/// What is told of learning, beside how far it is.
pub(crate) enum Told<'a> {
    /// A step is done.
    Step(&'a StepReport),
    /// Pictures were drawn on the way.
    Preview(Box<Preview>),
}

/// Learns; the first wish to stop ends it after the step where its state is kept. `tell` hears of every step and preview.
pub(crate) fn learn(
    studio: &Studio,
    lesson: Lesson,
    tell: impl FnMut(Told<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<(Learned, Option<Deferred>)> {
    let keeps_state = lesson.checkpoint.is_some();
    let steps = lesson.config.steps;
    let job = studio.start_learning(lesson);
    let deferred = keeps_state.then(|| Deferred::begin(job.canceller()));
    let learned = follow_learning(job, steps, tell)?;
    tracing::info!("learned {} steps in {}", learned.steps_here, duration(learned.seconds));
    if let Some(ratio) = learned.gradient_ratio().filter(|ratio| !SENSIBLE_RATIOS.contains(ratio)) {
        let (too, other) = if ratio < 1.0 { ("weakly", "larger") } else { ("strongly", "smaller") };
        tracing::warn!(
            "the attention loss pulled very {too}: its gradient was {ratio:.2e} times the noise loss's; try a {other} \
             --lambda than {}",
            learned.identity.lambda
        );
    }
    Ok((learned, deferred))
}

fn follow_learning(
    job: Job<Learned>,
    steps: usize,
    mut tell: impl FnMut(Told<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Learned> {
    let mut tell = |told: Told<'_>| tell(told).inspect_err(|_| job.cancel());
    let mut progress = None;
    let mut measured: Option<Measured> = None;
    let mut noise = RunningMean::default();
    for event in job.events() {
        match event {
            Event::ClassPicture { done, of } => {
                let progress = progress.get_or_insert_with(|| Progress::new("drawing the class", 0, of as u64));
                progress.at(done as u64, "", "");
            }
            Event::Preview(drawn) => tell(Told::Preview(drawn))?,
            Event::LearnBegins { done, of } => {
                if done > 0 {
                    tracing::info!("going on after step {done} of {of}");
                }
                progress = Some(Progress::new("learning", done as u64, steps as u64));
            }
            Event::LearnStep { report, .. } => {
                tell(Told::Step(&report))?;
                noise.add(report.noise_loss);
                measured = report.measured.clone().or(measured);
                if let Some(progress) = &mut progress {
                    let note = note(&report, noise.value(), measured.as_ref());
                    progress.at(report.step as u64, &note, &details(&report, measured.as_ref()));
                }
            }
            _ => {}
        }
    }
    Ok(job.wait()?)
}

/// The losses.
fn note(report: &StepReport, noise: f64, measured: Option<&Measured>) -> String {
    let mut note = format!("noise {noise:.4}");
    if let Some(loss) = report.attention_loss {
        note += &format!("  attention {loss:.3}");
    }
    if let Some(leakage) = measured.and_then(|measured| measured.leakage) {
        note += &format!("  leakage {:.0} %", 100.0 * leakage);
    }
    note
}

/// What else is known of a step.
fn details(report: &StepReport, measured: Option<&Measured>) -> String {
    let mut details = format!("lr {}", rounded(report.step_size));
    if let Some(measured) = measured {
        details += &format!("  gradients: noise {:.1e}", measured.grad_norm_noise);
        if report.attention_loss.is_some() {
            details += &format!(", {} x attention {:.1e}", report.lambda, measured.grad_norm_attention);
        }
    }
    details
}

/// A number of any size without the digits that sums in binary leave at its end.
fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
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
    fn rates_are_short() {
        let shown = [0.005 * 3.0, 0.1 + 0.2, 3e-5, 0.0, 1e-12].map(|rate| rounded(rate).to_string());
        assert_eq!(shown, ["0.015", "0.3", "0.00003", "0", "0.000000000001"]);
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
