//! What is said while a network learns.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::{Check, Recipe};

/// The line that tells how a run is getting on, at intervals.
pub(crate) struct Progress {
    since: Instant,
    steps: usize,
    total: f64,
    parts: Vec<(&'static str, f64)>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress { since: Instant::now(), steps: 0, total: 0.0, parts: Vec::new() }
    }

    /// Notes a step.
    pub(crate) fn add(&mut self, total: f64, parts: Vec<(&'static str, f64)>) {
        self.steps += 1;
        self.total += total;
        if self.parts.is_empty() {
            self.parts = parts;
            return;
        }
        for ((_, sum), (_, part)) in self.parts.iter_mut().zip(parts) {
            *sum += part;
        }
    }

    /// Whether it is time for the next line.
    pub(crate) fn is_due(&self, every: Duration) -> bool {
        self.steps > 0 && self.since.elapsed() >= every
    }

    /// The line for the steps since the one before, of which `step` is the last; then begins anew.
    pub(crate) fn line(&mut self, recipe: &Recipe, step: usize, checks: &[Check]) -> String {
        let count = self.steps.max(1) as f64;
        let speed = (self.steps * recipe.batch) as f64 / self.since.elapsed().as_secs_f64();
        let (samples, all) = (step * recipe.batch, recipe.steps() * recipe.batch);
        let mut line = format!("step {step}  {samples} of {all} samples  loss {:.4} (", self.total / count);
        for (index, (name, sum)) in self.parts.iter().enumerate() {
            let _ = write!(line, "{}{name} {:.4}", if index == 0 { "" } else { ", " }, sum / count);
        }
        line.push(')');
        for check in checks {
            let _ = write!(line, "  {} {:.2} {}", check.name, check.value, check.unit);
        }
        let left = Duration::from_secs_f64((all - samples) as f64 / speed.max(1e-9));
        let _ = write!(line, "  {speed:.1} samples/s  {} left", duration(left));
        *self = Progress::new();
        line
    }
}

/// Hours and minutes, or minutes and seconds.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{} min {} s", seconds / 60, seconds % 60),
        hours => format!("{hours} h {} min", seconds / 60 % 60),
    }
}
