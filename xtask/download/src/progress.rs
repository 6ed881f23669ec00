//! How far a transfer is: a bar on a terminal, otherwise a line every few seconds.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressStyle};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// The progress of one file.
pub(crate) struct Progress {
    bar: ProgressBar,
    total: Option<u64>,
    next: Instant,
}

impl Progress {
    /// Begins at `done` of `total` bytes.
    pub(crate) fn new(done: u64, total: Option<u64>) -> Result<Self> {
        // Hidden where there is no terminal, but it counts all the same.
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_position(done);
        let template = match total {
            Some(_) => "{bytes}/{total_bytes} [{wide_bar}] {bytes_per_sec}, {eta} left",
            None => "{bytes} {bytes_per_sec}",
        };
        bar.set_style(ProgressStyle::with_template(template)?);
        bar.reset_eta();
        Ok(Self { bar, total, next: Instant::now() + INTERVAL })
    }

    /// Adds `count` bytes.
    pub(crate) fn advance(&mut self, count: u64) {
        self.bar.inc(count);
        if self.bar.is_hidden() && Instant::now() >= self.next {
            self.next = Instant::now() + INTERVAL;
            eprintln!("  {}", self.line());
        }
    }

    fn line(&self) -> String {
        let speed = self.bar.per_sec();
        let (done, speed_shown) = (BinaryBytes(self.bar.position()), BinaryBytes(speed as u64));
        match self.total {
            Some(total) => {
                let left = total.saturating_sub(self.bar.position()) as f64 / speed.max(1.0);
                let left = HumanDuration(Duration::from_secs_f64(left));
                format!("{done} of {}, {speed_shown}/s, {left} left", BinaryBytes(total))
            }
            None => format!("{done}, {speed_shown}/s"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_size_speed_and_time_left() {
        let mut progress = Progress::new(1 << 20, Some(4 << 20)).unwrap();
        progress.advance(1 << 20);
        let line = progress.line();
        assert!(line.starts_with("2.00 MiB of 4.00 MiB, ") && line.ends_with(" left"), "{line}");
        assert!(Progress::new(0, None).unwrap().line().starts_with("0 B, "));
    }
}
