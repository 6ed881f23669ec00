//! Scores over the steps of learning, and the step at which to stop.

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::DECIDING;
use super::record::UnitReport;
use super::tally::Bootstrap;
use crate::eval::bootstrap::{OverPeople, Sum};

/// How a method fares while it learns, over people.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Curve {
    /// In the order of steps; only steps at which every person was scored.
    pub(crate) points: Vec<Point>,
    /// The step at which to stop.
    pub(crate) recommended: Option<Recommended>,
}

/// The scores at a step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// The step.
    pub(crate) step: u64,
    /// The means over people, by the name of the score.
    pub(crate) scores: BTreeMap<String, OverPeople>,
}

/// The step with the highest deciding score, the first of equal ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Recommended {
    /// The step.
    pub(crate) step: u64,
    /// The name of the score that decided.
    pub(crate) by: &'static str,
}

impl Curve {
    /// The curve of a method from its units.
    pub(crate) fn of<'a>(units: impl Iterator<Item = &'a UnitReport> + Clone, bootstrap: Bootstrap) -> Self {
        let people = units.clone().count();
        let mut sums: BTreeMap<u64, BTreeMap<&str, Vec<Sum>>> = BTreeMap::new();
        for (person, unit) in units.enumerate() {
            for point in &unit.curve {
                for (name, value) in &point.scores {
                    let scores = sums.entry(point.step).or_default();
                    scores.entry(name).or_insert_with(|| vec![Sum::default(); people])[person].add(*value);
                }
            }
        }
        // A mean over fewer people would be a jump in the line that no learning made.
        let whole =
            |sums: &Vec<Sum>| OverPeople::of(sums, bootstrap.resamples, bootstrap.seed).filter(|over| over.n == people);
        let points = sums.iter().map(|(step, scores)| {
            let scores = scores.iter().filter_map(|(name, sums)| Some(((*name).to_owned(), whole(sums)?)));
            Point { step: *step, scores: scores.collect() }
        });
        let points: Vec<Point> = points.filter(|point| !point.scores.is_empty()).collect();
        let recommended = recommended(&points);
        Self { points, recommended }
    }
}

fn recommended(points: &[Point]) -> Option<Recommended> {
    let by = DECIDING.into_iter().find(|name| points.iter().any(|point| point.scores.contains_key(*name)))?;
    let scored = points.iter().filter_map(|point| Some((point.step, point.scores.get(by)?.mean)));
    let best = scored.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    Some(Recommended { step: best.0, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(curve: &[(u64, f64, f64)]) -> UnitReport {
        let points = curve.iter().map(|(step, id, prompt)| {
            serde_json::json!({"step": step, "scores": {"id": id, "id_p": id * prompt, "prompt": prompt}})
        });
        let points: Vec<_> = points.collect();
        serde_json::from_value(serde_json::json!({"method": "m", "identity": "i", "curve": points})).unwrap()
    }

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 100, seed: 0 };

    #[test]
    fn the_step_with_the_best_product_is_recommended() {
        let units = [
            unit(&[(50, 0.1, 1.0), (100, 0.5, 0.75), (150, 0.75, 0.25)]),
            unit(&[(150, 0.5, 0.5), (100, 0.5, 0.5), (50, 0.3, 1.0)]),
        ];
        let curve = Curve::of(units.iter(), BOOTSTRAP);
        assert_eq!(curve.points.iter().map(|point| point.step).collect::<Vec<_>>(), [50, 100, 150]);
        assert!((curve.points[0].scores["id"].mean - 0.2).abs() < 1e-12);
        assert_eq!(curve.recommended, Some(Recommended { step: 100, by: "id_p" }));
    }

    #[test]
    fn steps_that_some_lack_are_left_out_and_no_curve_recommends_nothing() {
        let units = [unit(&[(50, 0.1, 1.0), (100, 0.9, 1.0)]), unit(&[(50, 0.1, 1.0)])];
        assert_eq!(Curve::of(units.iter(), BOOTSTRAP).points.len(), 1);
        let none = Curve::of([unit(&[])].iter(), BOOTSTRAP);
        assert!(none.points.is_empty() && none.recommended.is_none());
    }
}
