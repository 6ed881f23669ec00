//! How far an evaluation is, on a terminal as a bar, elsewhere as a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// The progress over units.
pub(crate) struct Progress {
    units: usize,
    /// Those that were done here, and before.
    done: usize,
    done_here: usize,
    label: String,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with some of the units done.
    pub(crate) fn new(units: usize, done: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            // The template is fixed; should it be wrong, a plain bar will do.
            let style = ProgressStyle::with_template("{prefix} {bar:20} {pos}/{len}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(units as u64).with_style(style).with_prefix("units");
            bar.set_position(done as u64);
            bar
        });
        let now = Instant::now();
        Progress { units, done, done_here: 0, label: String::new(), started: now, last_line: now, bar }
    }

    /// A unit begins.
    pub(crate) fn begin(&mut self, label: String) {
        self.label = label;
        self.say("");
    }

    /// What is being done in it.
    pub(crate) fn at(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {what}{}", self.label, self.left()));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.say(what);
        }
    }

    /// The unit is done.
    pub(crate) fn finish(&mut self) {
        self.done += 1;
        self.done_here += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
    }

    fn say(&mut self, what: &str) {
        self.last_line = Instant::now();
        if self.bar.is_some() {
            return self.at(what);
        }
        let what = if what.is_empty() { String::new() } else { format!(": {what}") };
        let (next, units, left) = (self.done + 1, self.units, self.left());
        tracing::info!("unit {next} of {units}, {}{what}{left}", self.label);
    }

    /// How long the rest will take, once a unit tells.
    fn left(&self) -> String {
        if self.done_here == 0 {
            return String::new();
        }
        let each = self.started.elapsed().as_secs_f64() / self.done_here as f64;
        let minutes = (each * (self.units - self.done) as f64 / 60.0).ceil();
        format!("; about {minutes} min left")
    }
}
