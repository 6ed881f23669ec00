//! All scores of a run, added up picture by picture: memory grows with methods, people and categories, not with pictures.

use std::collections::BTreeMap;

use super::record::Run;
use super::units::{Scored, Unit};
use crate::eval::bootstrap::{OverPeople, Sum};

/// What the figures are drawn from.
#[derive(Debug)]
pub(crate) struct Tally {
    people: usize,
    categories: Vec<String>,
    /// For each method, and each of its categories or all of them together.
    cells: BTreeMap<Key, Scores>,
    /// How many pictures were added.
    pub(crate) pictures: usize,
}

/// A method, and a category or all of them.
type Key = (usize, Option<usize>);

/// Each person's sum, by the name of the score.
type Scores = BTreeMap<String, Vec<Sum>>;

/// How intervals are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bootstrap {
    /// How many samples are drawn.
    pub(crate) resamples: u32,
    /// Where the random numbers start.
    pub(crate) seed: u64,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new(run: &Run) -> Self {
        let categories = run.categories().into_iter().map(str::to_owned).collect();
        Self { people: run.identities.len(), categories, cells: BTreeMap::new(), pictures: 0 }
    }

    /// Adds the pictures of a unit.
    pub(crate) fn add(&mut self, unit: &Unit, pictures: &[Scored]) {
        for Scored { line, .. } in pictures {
            let category = self.categories.iter().position(|category| *category == line.category);
            for key in [None, category].into_iter().take(if category.is_some() { 2 } else { 1 }) {
                let scores = self.cells.entry((unit.method, key)).or_default();
                for (name, value) in &line.scores {
                    let people = match scores.get_mut(name) {
                        Some(people) => people,
                        None => scores.entry(name.clone()).or_insert_with(|| vec![Sum::default(); self.people]),
                    };
                    people[unit.identity].add(*value);
                }
            }
            self.pictures += 1;
        }
    }

    /// Whether a method has a score.
    pub(crate) fn has(&self, method: usize, score: &str) -> bool {
        self.cells.get(&(method, None)).is_some_and(|scores| scores.contains_key(score))
    }

    /// The mean of a person's pictures by a method.
    pub(crate) fn mean_of(&self, method: usize, score: &str, person: usize) -> Option<f64> {
        self.cells.get(&(method, None))?.get(score)?.get(person)?.mean()
    }

    /// The means of a method over people, by the name of the score.
    pub(crate) fn means(
        &self,
        method: usize,
        category: Option<usize>,
        bootstrap: Bootstrap,
    ) -> BTreeMap<String, OverPeople> {
        let of = |people: &Vec<Sum>| OverPeople::of(people, bootstrap.resamples, bootstrap.seed);
        let scores = self.cells.get(&(method, category)).into_iter().flatten();
        scores.filter_map(|(name, people)| Some((name.clone(), of(people)?))).collect()
    }

    /// How much more a method has than another, over people, by the name of the score.
    pub(crate) fn differences(
        &self,
        method: usize,
        baseline: usize,
        bootstrap: Bootstrap,
    ) -> BTreeMap<String, OverPeople> {
        let those = self.cells.get(&(baseline, None));
        let of = |name: &str, these: &Vec<Sum>| {
            OverPeople::of_differences(these, those?.get(name)?, bootstrap.resamples, bootstrap.seed)
        };
        let scores = self.cells.get(&(method, None)).into_iter().flatten();
        scores.filter_map(|(name, these)| Some((name.clone(), of(name, these)?))).collect()
    }
}
