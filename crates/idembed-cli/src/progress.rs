//! How far long work has come: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::logging;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Work that takes longer than this is announced after its first step,
const WORTH_SAYING: Duration = Duration::from_secs(60);
/// and from here on as a warning.
const HOURS: Duration = Duration::from_secs(3600);

/// The progress of one piece of work of a known number of steps.
pub(crate) struct Progress {
    what: &'static str,
    /// What was done before this piece of work.
    first: u64,
    total: u64,
    done: u64,
    started: Instant,
    /// Whether a step was begun by [`Progress::begin_step`].
    begun: bool,
    /// Steps per second lately; 0 while unknown.
    speed: f64,
    last_line: Instant,
    /// What was done when the last line was written.
    last_done: u64,
    bar: Option<ProgressBar>,
    silent: bool,
}

impl Progress {
    /// Begins with `first` of `total` steps done; `what` names the work, as in `learning`.
    pub(crate) fn new(what: &'static str, first: u64, total: u64) -> Progress {
        let silent = !logging::progress_is_wanted();
        let bar = (!silent && std::io::stderr().is_terminal()).then(|| {
            // The template is fixed; should it be wrong, a plain bar will do.
            let style = ProgressStyle::with_template("{prefix} {bar:20} {pos}/{len}  {pace}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key("pace", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let left = state.len().unwrap_or(0).saturating_sub(state.pos());
                    // A pace that cannot be written is not worth an error.
                    let _ = out.write_str(&pace(state.per_sec(), left));
                });
            let bar = logging::bars().add(ProgressBar::new(total).with_style(style).with_prefix(what));
            bar.set_position(first);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Progress {
            what,
            first,
            total,
            done: first,
            started: now,
            begun: false,
            speed: 0.0,
            last_line: now,
            last_done: first,
            bar,
            silent,
        }
    }

    /// Says that `done` steps are done now. `note` tells how it goes, such as the loss; `more` stands in lines only.
    pub(crate) fn at(&mut self, done: u64, note: &str, more: &str) {
        self.done = done;
        if done == self.first + 1 {
            self.foretell();
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            if !note.is_empty() {
                bar.set_message(note.to_owned());
            }
        } else if !self.silent && self.last_line.elapsed() >= LINE_EVERY {
            self.measure_speed();
            tracing::info!("{}", self.line(note, more));
        }
    }

    /// Says that one more step is done.
    pub(crate) fn step(&mut self) {
        self.at(self.done + 1, "", "");
    }

    /// Says that one more step begins: those before it are done.
    pub(crate) fn begin_step(&mut self) {
        if self.begun {
            self.step();
        } else {
            (self.begun, self.started) = (true, Instant::now());
        }
    }

    /// Says how long all will take, once one step is done, if that is long.
    fn foretell(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let whole = seconds * self.total.saturating_sub(self.first) as f64;
        let text =
            format!("{}: one step took {}, all will take about {}", self.what, duration(seconds), duration(whole));
        if whole >= HOURS.as_secs_f64() {
            tracing::warn!("{text}");
        } else if whole >= WORTH_SAYING.as_secs_f64() && !self.silent {
            tracing::info!("{text}");
        }
    }

    /// The speed since the last line, softened by the one before.
    fn measure_speed(&mut self) {
        let lately = (self.done - self.last_done) as f64 / self.last_line.elapsed().as_secs_f64();
        self.speed = if self.speed > 0.0 { 0.5 * (self.speed + lately) } else { lately };
        (self.last_line, self.last_done) = (Instant::now(), self.done);
    }

    fn line(&self, note: &str, more: &str) -> String {
        let mut line = format!("{}: {}/{}", self.what, self.done, self.total);
        for part in [note, more].into_iter().filter(|part| !part.is_empty()) {
            line += &format!("  {part}");
        }
        format!("{line}  {}", pace(self.speed, self.total.saturating_sub(self.done)))
    }
}

/// The speed in steps per second, and how long the steps that are left will take; nothing while the speed is unknown.
fn pace(speed: f64, left: u64) -> String {
    let rest = duration(left as f64 / speed);
    match speed {
        speed if speed >= 1.0 => format!("{speed:.1}/s, {rest} left"),
        speed if speed > 0.0 => format!("{:.1} s each, {rest} left", 1.0 / speed),
        _ => String::new(),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            logging::bars().remove(bar);
        }
    }
}

/// A duration as people say it: `4.2 s`, `1 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_told_once_it_is_known() {
        assert_eq!(pace(12.34, 100), "12.3/s, 8.1 s left");
        assert_eq!(pace(0.25, 100), "4.0 s each, 6 min 40 s left");
        assert_eq!(pace(0.0, 100), "");
    }

    #[test]
    fn durations_read_well() {
        let told = [0.04, 4.23, 9.97, 59.4, 65.0, 3600.0, 7800.0].map(duration);
        assert_eq!(told, ["0.0 s", "4.2 s", "10 s", "59 s", "1 min 05 s", "1 h 00 min", "2 h 10 min"]);
    }
}
