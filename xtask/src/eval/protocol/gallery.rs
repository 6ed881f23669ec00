//! Which of the pictures are worth a look.

use std::cmp::Ordering;

use anyhow::Result;

use super::columns::DECIDING;
use super::evaluation::Evaluation;
use super::record::{Line, Prompt, Run};

/// How many prompts are shown side by side.
const PROMPTS: usize = 12;
/// How many of a method's best and worst pictures.
pub(crate) const RANKED: usize = 3;

/// Pictures to show; for each method as many lines as are shown, whatever the number of its pictures.
#[derive(Debug)]
pub(crate) struct Gallery {
    /// Whose pictures stand side by side.
    pub(crate) person: String,
    /// Their seed.
    pub(crate) seed: u64,
    /// A row for each prompt.
    pub(crate) rows: Vec<Row>,
    /// The best and the worst pictures of each method, if there is a score to tell.
    pub(crate) ranked: Vec<Ranked>,
    /// The score that tells.
    pub(crate) by: Option<&'static str>,
}

/// The pictures of one prompt.
#[derive(Debug)]
pub(crate) struct Row {
    /// The prompt.
    pub(crate) prompt: Prompt,
    /// A picture for each method that has one.
    pub(crate) pictures: Vec<Option<Line>>,
}

/// The best and the worst pictures of a method, each list from better to worse.
#[derive(Debug, Default)]
pub(crate) struct Ranked {
    /// The best.
    pub(crate) best: Vec<Line>,
    /// The worst, and none that is among the best.
    pub(crate) worst: Vec<Line>,
}

impl Gallery {
    /// Looks for the pictures to show.
    ///
    /// # Errors
    /// When a unit cannot be read any more.
    pub(crate) fn of(evaluation: &Evaluation, scores: &[&str]) -> Result<Option<Self>> {
        let run = &evaluation.run;
        let Some(person) = shown_person(evaluation) else { return Ok(None) };
        let Some(&seed) = run.seeds.first() else { return Ok(None) };
        let by = DECIDING.into_iter().find(|name| scores.contains(name));
        let empty = |prompt: &Prompt| Row { prompt: prompt.clone(), pictures: vec![None; run.methods.len()] };
        let mut rows: Vec<Row> = shown_prompts(run).into_iter().map(empty).collect();
        let mut ranked: Vec<Ranked> = run.methods.iter().map(|_| Ranked::default()).collect();
        for (unit, _) in &evaluation.units {
            for line in unit.pictures(run)?.into_iter().map(|scored| scored.line) {
                if let Some(by) = by {
                    ranked[unit.method].add(&line, by);
                }
                let row = rows.iter_mut().find(|row| row.prompt.number == line.number);
                if let Some(row) = row.filter(|_| unit.identity == person && line.seed == seed && !line.swapped) {
                    row.pictures[unit.method] = Some(line);
                }
            }
        }
        ranked.iter_mut().for_each(Ranked::finish);
        Ok(Some(Self { person: run.identities[person].clone(), seed, rows, ranked, by }))
    }
}

impl Ranked {
    /// Remembers the picture if it is among the best or the worst so far.
    fn add(&mut self, line: &Line, by: &str) {
        if !line.scores.contains_key(by) {
            return;
        }
        // Equal ones stay in the order in which they come.
        let before = |other: &Line| better(other, line, by) != Ordering::Greater;
        let place = self.best.partition_point(before);
        if place < RANKED {
            self.best.insert(place, line.clone());
            self.best.truncate(RANKED);
        }
        let place = self.worst.partition_point(before);
        if place > 0 || self.worst.len() < RANKED {
            self.worst.insert(place, line.clone());
            self.worst.drain(..self.worst.len().saturating_sub(RANKED));
        }
    }

    /// Leaves no picture in both lists.
    fn finish(&mut self) {
        let best = &self.best;
        self.worst.retain(|line| best.iter().all(|other| other.path != line.path));
    }
}

/// The better picture first; of many with nothing at all, the one with the higher likeness.
fn better(one: &Line, other: &Line, by: &str) -> Ordering {
    let key = |line: &Line| [by, "id_others", "id", "prompt"].map(|name| line.scores.get(name).copied().unwrap_or(0.0));
    let pairs = key(other).into_iter().zip(key(one));
    pairs.map(|(other, one)| other.total_cmp(&one)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The first person of whom most methods are finished.
fn shown_person(evaluation: &Evaluation) -> Option<usize> {
    let count = |person: usize| evaluation.units.iter().filter(|(unit, _)| unit.identity == person).count();
    let people = 0..evaluation.run.identities.len();
    // The last of equal ones wins, so they are asked from behind.
    people.rev().max_by_key(|person| count(*person)).filter(|person| count(*person) > 0)
}

/// Prompts of every category, in turn, as many as are shown; in their order.
fn shown_prompts(run: &Run) -> Vec<&Prompt> {
    let of_category =
        |category: &str| run.prompts.iter().filter(|prompt| prompt.category == category).collect::<Vec<_>>();
    let categories: Vec<Vec<&Prompt>> = run.categories().into_iter().map(of_category).collect();
    let longest = categories.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| categories.iter().filter_map(move |prompts| prompts.get(turn).copied()));
    let chosen: Vec<u64> = turns.take(PROMPTS).map(|prompt| prompt.number).collect();
    run.prompts.iter().filter(|prompt| chosen.contains(&prompt.number)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(path: &str, id_p: f64, id: f64) -> Line {
        let line = json!({"method": "m", "identity": "i", "category": "c", "prompt": "p", "number": 0, "seed": 0,
            "path": path, "scores": {"id_p": id_p, "id": id}});
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn the_best_and_the_worst_are_found_whatever_comes_first() {
        // By falling quality: of those that nobody would want, the less similar is worse.
        let lines = [("a", 0.9, 0.9), ("b", 0.5, 0.5), ("c", 0.25, 0.75), ("d", 0.0, 0.5), ("e", 0.0, 0.25)];
        let lines = lines.map(|(path, id_p, id)| line(path, id_p, id));
        let paths = |lines: &[Line]| lines.iter().map(|line| line.path.clone()).collect::<String>();
        for turn in 0..lines.len() {
            let ranked = |count: usize| {
                let mut ranked = Ranked::default();
                let start = turn % count;
                lines[start..count].iter().chain(&lines[..start]).for_each(|line| ranked.add(line, "id_p"));
                ranked.finish();
                (paths(&ranked.best), paths(&ranked.worst))
            };
            assert_eq!(ranked(5), ("abc".to_owned(), "de".to_owned()), "{turn}");
            assert_eq!(ranked(4), ("abc".to_owned(), "d".to_owned()), "{turn}");
            assert_eq!(ranked(2), ("ab".to_owned(), String::new()), "{turn}");
        }
    }

    #[test]
    fn prompts_of_every_category_are_shown() {
        let prompt = |number: u64| {
            let category = if number < 20 { "many" } else { "few" };
            json!({"number": number, "category": category, "prompt": "p"})
        };
        let run: Run = serde_json::from_value(json!({"format": "", "protocol": "", "model": "", "methods": [],
            "identities": [], "prompts": (0..22).map(prompt).collect::<Vec<_>>(), "seeds": []}))
        .unwrap();
        let shown: Vec<u64> = shown_prompts(&run).iter().map(|prompt| prompt.number).collect();
        assert_eq!(shown, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21]);
    }
}
