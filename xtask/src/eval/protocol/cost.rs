//! What a method costs: time, memory, size.

use serde::Serialize;

use super::record::UnitReport;

/// The cost of a method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// The label of the method.
    pub(crate) method: String,
    /// How many people it learned.
    pub(crate) units: usize,
    /// Steps of learning, of each person.
    pub(crate) steps: Option<f64>,
    /// Time to learn a person.
    pub(crate) learn_seconds: Option<f64>,
    /// Time to draw all pictures of a person.
    pub(crate) draw_seconds: Option<f64>,
    /// Time to score them.
    pub(crate) score_seconds: Option<f64>,
    /// Numbers that are learned.
    pub(crate) parameters: Option<f64>,
    /// Size of an identity file.
    pub(crate) file_bytes: Option<f64>,
    /// The most memory that a process held.
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Cost {
    /// Means over the units of a method; of the memory the most.
    pub(crate) fn of<'a>(method: &str, units: impl Iterator<Item = &'a UnitReport> + Clone) -> Self {
        let mean = |of: &dyn Fn(&UnitReport) -> Option<f64>| {
            let values: Vec<f64> = units.clone().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Self {
            method: method.to_owned(),
            units: units.clone().count(),
            steps: mean(&|unit| unit.steps.map(|steps| steps as f64)),
            learn_seconds: mean(&|unit| unit.learn_seconds),
            draw_seconds: mean(&|unit| unit.draw_seconds),
            score_seconds: mean(&|unit| unit.score_seconds),
            parameters: mean(&|unit| unit.parameters.map(|parameters| parameters as f64)),
            file_bytes: mean(&|unit| unit.file_bytes.map(|bytes| bytes as f64)),
            peak_memory_bytes: units.filter_map(|unit| unit.peak_memory_bytes).max(),
        }
    }

    /// The heads of [`Cost::cells`].
    pub(crate) const HEADS: [&str; 7] =
        ["steps", "learn, s", "draw, s", "score, s", "parameters", "file, KiB", "memory, MiB"];

    /// The cost as it stands in tables; a dash where it is not known.
    pub(crate) fn cells(&self) -> [String; 7] {
        let number =
            |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
        let memory = self.peak_memory_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
        [
            number(self.steps, 0),
            number(self.learn_seconds, 1),
            number(self.draw_seconds, 1),
            number(self.score_seconds, 1),
            number(self.parameters, 0),
            number(self.file_bytes.map(|bytes| bytes / 1024.0), 1),
            number(memory, 0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_means_and_memory_is_the_most() {
        let unit = |seconds: f64, memory: u64| -> UnitReport {
            serde_json::from_value(serde_json::json!({
                "method": "m", "identity": "i", "steps": 200, "learn_seconds": seconds, "parameters": 7680,
                "file_bytes": 31_000, "peak_memory_bytes": memory,
            }))
            .unwrap()
        };
        let cost = Cost::of("m", [unit(40.0, 1 << 30), unit(43.0, 1 << 29)].iter());
        assert_eq!(cost.cells(), ["200", "41.5", "-", "-", "7680", "30.3", "1024"]);
        assert_eq!(Cost::of("m", [].iter()).cells(), ["-"; 7]);
    }
}
