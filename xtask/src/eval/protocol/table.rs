//! The figures as text: a short table, then every score with its intervals, then the categories.

use std::fmt::Write as _;

use super::columns::{self, Better, Score};
use super::cost::Cost;
use super::evaluation::{MethodScores, Scores};
use super::frontiers::{Compared, Frontier, Frontiers};
use crate::eval::bootstrap::OverPeople;

/// What is written where there is no figure.
const NOTHING: &str = "-";

/// The names of the references, for people.
const REFERENCES: [(&str, &str); 2] = [("true_pairs", "true pairs"), ("strangers", "strangers")];

impl Scores {
    /// `table.txt`.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        for line in self.explanations() {
            let _ = writeln!(text, "{line}");
        }
        let _ = write!(text, "\n{}", grid(&self.short()));
        for score in self.all() {
            let _ = write!(text, "\n{}\n{}", describe(&score), grid(&self.of_score(&score)));
        }
        if let Some(frontiers) = &self.frontiers {
            let _ = writeln!(text, "\n{}", frontiers.headline());
            frontiers.tables().iter().for_each(|rows| text += &format!("\n{}", grid(rows)));
        }
        let by_category = self.by_category();
        if !by_category.is_empty() {
            text += "\nby category, means over people\n";
            by_category.iter().for_each(|rows| text += &format!("\n{}", grid(rows)));
        }
        for (turn, (method, step, by)) in self.recommended().into_iter().enumerate() {
            let _ = writeln!(text, "{}{method}: best after step {step}, by {by}", if turn == 0 { "\n" } else { "" });
        }
        text
    }

    /// What was evaluated, in a line.
    pub(crate) fn headline(&self) -> String {
        let counted = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        let counts = [
            counted(self.methods.len(), "method", "methods"),
            counted(self.identities.len(), "person", "people"),
            counted(self.prompts, "prompt", "prompts"),
            counted(self.seeds, "seed", "seeds"),
            counted(self.pictures, "picture", "pictures"),
        ];
        format!("{} with {}: {}", self.protocol, self.model, counts.join(", "))
    }

    /// How the figures are to be read, a line each.
    pub(crate) fn explanations(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let judge = |key| self.judges.get(key).and_then(|names| names.first());
        let judges = [("ID", "id"), ("Prompt", "prompt"), ("Wishes", "wishes")];
        let judges: Vec<_> =
            judges.iter().filter_map(|(label, key)| Some(format!("{label} by {}", judge(key)?))).collect();
        if !judges.is_empty() {
            lines.push(judges.join(", "));
        }
        match (self.followed.as_str(), self.tau) {
            ("judge", _) => lines.push("a prompt was followed when the judge sees every wish".to_owned()),
            ("clip", Some(tau)) => lines.push(format!("a prompt was followed when Prompt is at least {tau}")),
            _ => {}
        }
        let people = "means over people, of each person's mean";
        lines.push(match self.identities.len() {
            1 => format!("{people}; one person alone has no interval"),
            _ => {
                let intervals = &self.intervals;
                let (resamples, seed) = (intervals.resamples, intervals.seed);
                format!("{people}; 95 % bootstrap intervals over people, {resamples} resamples, seed {seed}")
            }
        });
        for (name, label) in REFERENCES {
            if let Some(reference) = self.references.get(name) {
                lines.push(format!(
                    "{label}: {:.3}, from {:.3} to {:.3}, over {} pairs of photos",
                    reference.mean, reference.lowest, reference.highest, reference.n
                ));
            }
        }
        if !self.unfinished.is_empty() {
            lines.push(format!("PARTIAL, not finished: {}", self.unfinished.join(", ")));
        }
        lines
    }

    /// For each method with a curve, the step at which to stop and the score that says so.
    pub(crate) fn recommended(&self) -> Vec<(&str, u64, String)> {
        self.methods
            .iter()
            .filter_map(|MethodScores { method, curve, .. }| {
                let recommended = curve.recommended.as_ref()?;
                Some((method.as_str(), recommended.step, Score::named(recommended.by).label()))
            })
            .collect()
    }

    /// The scores that at least one method has.
    pub(crate) fn all(&self) -> Vec<Score<'_>> {
        columns::ordered(self.methods.iter().flat_map(|method| method.scores.keys()).map(String::as_str))
    }

    /// The means of the most important scores, with what photos reach: a head, a row for each method, the references.
    pub(crate) fn short(&self) -> Vec<Vec<String>> {
        let scores: Vec<_> = self.all().into_iter().filter(Score::is_short).collect();
        let head = row("", scores.iter().map(Score::label));
        let mean = |method: &MethodScores, score: &Score<'_>| {
            method.scores.get(score.name).map_or(NOTHING.to_owned(), |over| score.show(over.mean))
        };
        let methods = self.methods.iter().map(|method| row(&method.method, scores.iter().map(|it| mean(method, it))));
        let references = REFERENCES.iter().filter_map(|(name, label)| {
            let reference = self.references.get(name)?;
            let cell = |score: &Score<'_>| {
                if score.has_references() { score.show(reference.mean) } else { String::new() }
            };
            scores.iter().any(Score::has_references).then(|| row(label, scores.iter().map(cell)))
        });
        [head].into_iter().chain(methods).chain(references).collect()
    }

    /// One score of all methods with its intervals and its differences.
    pub(crate) fn of_score(&self, score: &Score<'_>) -> Vec<Vec<String>> {
        let is_compared = self.methods.len() > 1;
        let mut head = ["mean", "low", "high", "people", "pictures"].map(str::to_owned).to_vec();
        if is_compared {
            head.extend([format!("less {}", self.baseline), "low".to_owned(), "high".to_owned()]);
        }
        let mut rows = vec![row("", head)];
        for method in &self.methods {
            let Some(over) = method.scores.get(score.name) else { continue };
            let mut cells = interval(over, |value| score.show(value)).to_vec();
            cells.extend([over.n.to_string(), over.pictures.to_string()]);
            if is_compared {
                let difference = method.differences.as_ref().and_then(|differences| differences.get(score.name));
                cells.extend(difference.map_or([String::new(), String::new(), String::new()], |over| {
                    interval(over, |value| signed(score, value))
                }));
            }
            rows.push(row(&method.method, cells));
        }
        for (name, label) in REFERENCES {
            if let Some(reference) = self.references.get(name).filter(|_| score.has_references()) {
                rows.push(row(label, [score.show(reference.mean)]));
            }
        }
        rows
    }

    /// For each of the most important scores the means in every category; nothing where there is one category.
    pub(crate) fn by_category(&self) -> Vec<Vec<Vec<String>>> {
        let Some(categories) = self.methods.first().map(|method| &method.categories) else { return Vec::new() };
        if categories.len() < 2 {
            return Vec::new();
        }
        let of_score = |score: Score<'_>| {
            let head = row(&score.label(), categories.iter().map(|category| category.category.clone()));
            let methods = self.methods.iter().map(|method| {
                let figures = method.categories.iter().map(|category| category.scores.get(score.name));
                row(&method.method, figures.map(|over| over.map_or(NOTHING.to_owned(), |over| score.show(over.mean))))
            });
            [head].into_iter().chain(methods).collect()
        };
        self.all().into_iter().filter(Score::is_short).map(of_score).collect()
    }
}

/// What the methods cost; times differ from run to run, so this stands in no file that is compared.
pub(crate) fn costs(costs: &[Cost]) -> String {
    let head = row("cost of a person", Cost::HEADS.map(str::to_owned));
    let rows = costs.iter().map(|cost| row(&cost.method, cost.cells()));
    grid(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}

impl Frontiers {
    /// What is compared, in a line.
    pub(crate) fn headline(&self) -> String {
        let likeness = Score::named(self.likeness).label();
        format!(
            "each method by the best of its settings at equal {likeness}, where it and {} overlap, over {} people",
            self.baseline, self.people
        )
    }

    /// A table for each compared score at equal likeness, and one for each method's best setting.
    pub(crate) fn tables(&self) -> Vec<Vec<Vec<String>>> {
        let (likeness, deciding) = (Score::named(self.likeness), Score::named(self.deciding));
        let less = format!("less {}", self.baseline);
        let head = |score: &Score<'_>, last: String| {
            row(&score.label(), ["mean".to_owned(), less.clone(), "low".to_owned(), "high".to_owned(), last])
        };
        let cells = |score: &Score<'_>, compared: Option<&Compared>, last: String| {
            let nothing = || NOTHING.to_owned();
            let more = |value: Option<f64>| value.map_or_else(nothing, |value| signed(score, value));
            let [low, high] = [0, 1].map(|end| compared.and_then(|it| it.interval).map(|interval| interval[end]));
            let value = compared.map_or_else(nothing, |it| score.show(it.value));
            [value, more(compared.and_then(|it| it.difference)), more(low), more(high), last]
        };
        let at_equal_likeness = self.compared.iter().map(|name| {
            let score = Score::named(name);
            let of_method = |method: &Frontier| {
                let at = |[from, to]: [f64; 2]| format!("{} to {}", likeness.show(from), likeness.show(to));
                let at = method.shared.map_or_else(|| NOTHING.to_owned(), at);
                row(&method.method, cells(&score, method.at_equal_likeness.get(*name), at))
            };
            let head = head(&score, format!("at {}", likeness.label()));
            [head].into_iter().chain(self.methods.iter().map(of_method)).collect()
        });
        let best =
            |method: &Frontier| row(&method.method, cells(&deciding, Some(&method.best_score), method.best.clone()));
        let of_best = [head(&deciding, "of".to_owned())].into_iter().chain(self.methods.iter().map(best)).collect();
        at_equal_likeness.chain([of_best]).collect()
    }
}

/// What a score is, and which way it is better.
pub(crate) fn describe(score: &Score<'_>) -> String {
    let better = match score.better() {
        Better::Up => " (more is better)",
        Better::Down => " (less is better)",
        Better::Neither => "",
    };
    let label = score.label();
    let name = if score.name == label { String::new() } else { format!(" [{}]", score.name) };
    let what = if score.what().is_empty() { String::new() } else { format!(": {}", score.what()) };
    format!("{label}{name}{what}{better}")
}

/// A value with its sign.
pub(crate) fn signed(score: &Score<'_>, value: f64) -> String {
    let text = score.show(value);
    if text.starts_with('-') || score.show(0.0) == text { text } else { format!("+{text}") }
}

/// A mean and its interval.
fn interval(over: &OverPeople, show: impl Fn(f64) -> String) -> [String; 3] {
    let end = |end: Option<f64>| end.map_or(NOTHING.to_owned(), &show);
    [show(over.mean), end(over.low), end(over.high)]
}

fn row(label: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [label.to_owned()].into_iter().chain(cells).collect()
}

/// Rows as text: the first column to the left, the others to the right.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("  {cell:>width$}"),
        });
        text += cells.collect::<String>().trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row("", ["a".to_owned(), "bb".to_owned()]), row("näme", ["1.000".to_owned()])];
        assert_eq!(grid(&rows), "          a  bb\nnäme  1.000\n");
        assert_eq!(grid(&[]), "");
    }

    #[test]
    fn differences_have_a_sign_and_nothing_has_none() {
        let score = Score::named("id");
        assert_eq!(
            [0.1, -0.1, 0.0001, -0.0001].map(|value| signed(&score, value)),
            ["+0.100", "-0.100", "0.000", "0.000"]
        );
    }
}
