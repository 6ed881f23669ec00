//! The page about a learning, as `learn --report` and `demo` write it: a function for each section.

use idembed_diffusion::Compute;
use idembed_page::{Chart, Figure, Inlined, Page};
use image::RgbImage;

use idembed_studio::picture_file;
use idembed_studio::{Learned, Lesson, Model};

use crate::output;
use crate::progress::duration;

/// A picture with a caption, which may be empty.
///
/// # Errors
/// A picture without pixels.
pub(crate) fn figure(picture: &RgbImage, caption: &str) -> anyhow::Result<Figure> {
    Ok(Figure::new(Inlined::png(&picture_file::encode(picture, None)?), caption))
}

/// What was learned, in a few numbers.
pub(crate) fn facts(page: Page, learned: &Learned) -> Page {
    let mut facts = vec![("learned in", duration(learned.seconds)), ("steps", learned.identity.steps.to_string())];
    facts.extend(learned.noise_loss().map(|loss| ("noise loss, last tenth", format!("{loss:.4}"))));
    facts.extend(learned.attention_loss().map(|loss| ("attention loss, last tenth", format!("{loss:.3}"))));
    facts.extend(learned.leakage().map(|share| ("leakage, last tenth", percent(share))));
    let vectors = learned.identity.vectors();
    facts.push(("vectors learned", format!("{vectors} x {}", learned.identity.hidden())));
    page.facts(&facts)
}

/// What was learned from, with what is to be said about pictures without a caption of their own, and about masks.
///
/// # Errors
/// A picture without pixels.
pub(crate) fn photo(page: Page, lesson: &Lesson, about_picture: &str, about_mask: &str) -> anyhow::Result<Page> {
    let mut figures = Vec::new();
    for subject in &lesson.subjects {
        figures.push(figure(&subject.picture, subject.caption.as_deref().unwrap_or(about_picture))?);
        if let Some(mask) = &subject.mask {
            figures.push(figure(mask, about_mask)?);
        }
    }
    let title = if lesson.subjects.len() == 1 { "The photo" } else { "The photos" };
    Ok(page.section(title).pictures(&figures))
}

/// Points to average for one point of a loss curve.
fn window(points: usize) -> usize {
    (points / 12).clamp(1, 60)
}

/// How the learning went: loss curves, gradients, leakage.
pub(crate) fn charts(page: Page, learned: &Learned) -> Page {
    let noise = &learned.history.noise;
    let mut page = page.section("How the learning went").chart(
        &Chart::new("Noise loss (mean squared error of the predicted noise)", "step", "loss")
            .smoothed(window(noise.len()))
            .series("noise loss", by_step(noise)),
    );
    let attention = &learned.history.attention;
    if !attention.is_empty() {
        page = page.chart(
            &Chart::new("Attention loss (before lambda)", "step", "loss")
                .log()
                .smoothed(window(attention.len()))
                .series("attention loss", by_step(attention)),
        );
    }
    let measured = &learned.measured;
    let series = |value: fn(&idembed_tokens::Measured) -> f64| {
        measured.iter().map(move |(step, measured)| (*step as f64, value(measured)))
    };
    if !measured.is_empty() {
        let mut chart = Chart::new("Gradient norms at the tokens", "step", "norm")
            .log()
            .smoothed(window(measured.len()))
            .series("noise loss", series(|measured| measured.grad_norm_noise));
        if !attention.is_empty() {
            chart = chart.series("lambda x attention loss", series(|measured| measured.grad_norm_attention));
        }
        page = page.chart(&chart);
    }
    if learned.leakage().is_some() {
        page = page.chart(
            &Chart::new("Leakage: share of the identity's attention outside the face", "step", "share")
                .smoothed(window(measured.len()))
                .series("leakage", series(|measured| measured.leakage.unwrap_or(f64::NAN))),
        );
    }
    page
}

/// Every setting that decides what was learned; `own` are those of the page's command.
///
/// # Errors
/// Settings that cannot be written.
pub(crate) fn settings(
    page: Page,
    model: &Model,
    compute: Compute,
    own: impl IntoIterator<Item = (impl Into<String>, String)>,
    lesson: &Lesson,
) -> anyhow::Result<Page> {
    let mut settings = vec![("model".to_owned(), model.name.clone()), ("device".to_owned(), compute.to_string())];
    settings.extend(own.into_iter().map(|(name, value)| (name.into(), value)));
    settings.extend(lesson.config.fields()?.into_iter().map(|(name, value)| (name.replace('-', " "), value)));
    Ok(page.section("Settings").settings(&settings))
}

/// Where the time went, in seconds: loading, learning, and what came after it.
pub(crate) fn timings(page: Page, load_seconds: f64, learned: &Learned, after: &[(&str, f64)]) -> Page {
    let learning = [
        ("loading the model", load_seconds),
        ("encoding photo and prompts", learned.prepare_seconds),
        ("learning", learned.seconds),
    ];
    let mut rows: Vec<(&str, String)> =
        learning.iter().chain(after).map(|&(what, seconds)| (what, duration(seconds))).collect();
    rows.extend(output::peak_memory_mib().map(|mib| ("peak memory", format!("{mib} MiB"))));
    page.section("Time and memory").settings(&rows)
}

/// What to do with the identity: commands to copy.
pub(crate) fn commands(page: Page, commands: &str) -> Page {
    page.section("Go on").code(commands)
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn by_step(values: &[f32]) -> impl Iterator<Item = (f64, f64)> {
    values.iter().enumerate().map(|(index, &value)| ((index + 1) as f64, f64::from(value)))
}
