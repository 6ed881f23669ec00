//! Sections that several pages share.

use idembed_tokens::LearnConfig;

use crate::learning::Learned;
use crate::progress::duration;
use idembed_page::{Chart, Page};

/// Points to average for one point of a loss curve.
fn window(points: usize) -> usize {
    (points / 12).clamp(1, 60)
}

/// How the learning went: loss curves, gradients, leakage.
pub(crate) fn learning_charts(page: Page, learned: &Learned) -> Page {
    let noise = &learned.history.noise;
    let mut page = page.chart(
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

/// What was learned, in a few numbers.
pub(crate) fn learning_facts(learned: &Learned) -> Vec<(&'static str, String)> {
    let mut facts = vec![("learned in", duration(learned.seconds)), ("steps", learned.identity.steps.to_string())];
    facts.extend(learned.noise_loss().map(|loss| ("noise loss, last tenth", format!("{loss:.4}"))));
    facts.extend(learned.attention_loss().map(|loss| ("attention loss, last tenth", format!("{loss:.3}"))));
    facts.extend(learned.leakage().map(|share| ("leakage, last tenth", percent(share))));
    let vectors = 2 * learned.identity.stages();
    facts.push(("vectors learned", format!("{vectors} x {}", learned.identity.hidden())));
    facts
}

/// Every setting that decides what was learned.
pub(crate) fn learning_settings(config: &LearnConfig) -> Vec<(String, String)> {
    config.fields().into_iter().map(|(name, value)| (name.replace('-', " "), value)).collect()
}

/// Where the time went.
pub(crate) fn timings(rows: &[(&str, f64)], peak_memory_mib: Option<u64>) -> Vec<(String, String)> {
    let mut table: Vec<(String, String)> =
        rows.iter().map(|&(what, seconds)| (what.to_owned(), duration(seconds))).collect();
    table.extend(peak_memory_mib.map(|mib| ("peak memory".to_owned(), format!("{mib} MiB"))));
    table
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn by_step(values: &[f32]) -> impl Iterator<Item = (f64, f64)> {
    values.iter().enumerate().map(|(index, &value)| ((index + 1) as f64, f64::from(value)))
}
