//! Measured numbers and what they should be.

use serde::Serialize;

/// What a metric should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// A measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// The result.
    pub value: f64,
    /// Where its mean over many pictures lies with 95 %, where that is known.
    pub interval: Option<[f64; 2]>,
    /// Its unit; may be empty.
    pub unit: &'static str,
    /// What it should be, where something is asked for.
    pub target: Option<Target>,
}

impl Metric {
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: impl Into<Option<Target>>,
    ) -> Self {
        Metric { name: name.into(), value, interval: None, unit, target: target.into() }
    }

    /// The mean of many values with its 95 % interval, which takes the means of as many values for normally distributed.
    pub(crate) fn mean(name: impl Into<String>, values: &[f64], unit: &'static str) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let reach = 1.96 * (variance / count).sqrt();
        Metric { interval: Some([mean - reach, mean + reach]), ..Metric::new(name, mean, unit, None) }
    }

    /// Whether it is as it should be; `None` if nothing is asked for.
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        })
    }

    /// All about it in one line.
    pub(crate) fn line(&self) -> String {
        format!("{} {}: {}", self.mark(), self.name, self.result())
    }

    /// Whether it is as it should be, as a sign; a space if nothing is asked for.
    pub(crate) fn mark(&self) -> char {
        match self.is_met() {
            None => ' ',
            Some(true) => '\u{2713}',
            Some(false) => '\u{2717}',
        }
    }

    /// The result, and what is asked for.
    pub(crate) fn result(&self) -> String {
        let target = self.target_text();
        if target.is_empty() { self.text() } else { format!("{} ({target})", self.text()) }
    }

    /// The result with its unit, and its interval where there is one.
    pub fn text(&self) -> String {
        let value = join(self.value, self.unit);
        match self.interval {
            Some([low, high]) => format!("{value} ({} to {})", join(low, ""), join(high, "")),
            None => value,
        }
    }

    /// What is asked for, in words; empty if nothing is.
    pub fn target_text(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtLeast(least)) => format!("at least {}", join(least, self.unit)),
            Some(Target::AtMost(most)) => format!("at most {}", join(most, self.unit)),
        }
    }
}

fn join(value: f64, unit: &str) -> String {
    let value = format!("{value:.2}");
    let value = if value.contains('.') { value.trim_end_matches('0').trim_end_matches('.') } else { &value };
    if unit.is_empty() { value.to_owned() } else { format!("{value} {unit}") }
}

/// The share of `true`, in percent; NaN of nothing.
pub(crate) fn percent(answers: impl IntoIterator<Item = bool>) -> f64 {
    let (count, right) =
        answers.into_iter().fold((0u32, 0u32), |(count, right), answer| (count + 1, right + u32::from(answer)));
    100.0 * f64::from(right) / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_says_what_it_is_and_whether_that_is_enough() {
        let metric = |value, target: Option<Target>| Metric::new("x", value, "%", target);
        assert_eq!(metric(94.996, Some(Target::AtLeast(95.0))).is_met(), Some(false));
        assert_eq!(metric(95.0, Some(Target::AtLeast(95.0))).is_met(), Some(true));
        assert_eq!(metric(5.1, Some(Target::AtMost(5.0))).is_met(), Some(false));
        assert_eq!(metric(f64::NAN, Some(Target::AtMost(5.0))).is_met(), Some(false));
        assert_eq!(metric(1.0, None).is_met(), None);
        let metric = metric(12.5, Some(Target::AtLeast(90.0)));
        assert_eq!((metric.text(), metric.target_text()), ("12.5 %".to_owned(), "at least 90 %".to_owned()));
        assert_eq!(metric.line(), "\u{2717} x: 12.5 % (at least 90 %)");
        assert_eq!(Metric::new("x", 100.0, "", None).line(), "  x: 100");
    }

    #[test]
    fn a_mean_comes_with_its_interval() {
        let metric = Metric::mean("x", &[10.0, 12.0, 14.0, 16.0], "%");
        // A standard deviation of 2.582, over the root of four.
        assert_eq!(metric.text(), "13 % (10.47 to 15.53)");
        assert_eq!(metric.is_met(), None);
    }

    #[test]
    fn a_share_is_given_in_percent() {
        assert_eq!(percent([true, false, true, true]), 75.0);
        assert!(percent([]).is_nan());
    }
}
