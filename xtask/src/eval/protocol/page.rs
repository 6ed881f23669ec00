//! The page of a run: tables, drawings and pictures in one file.

mod charts;
mod pictures;

use std::collections::BTreeMap;

use anyhow::Result;
use idembed_page::{Cell, Page, Table};

use super::columns::{Better, Score};
use super::cost::Cost;
use super::evaluation::{Evaluation, MethodScores, Scores};
use super::gallery::Gallery;
use super::table::{describe, signed};
use crate::eval::bootstrap::OverPeople;
use crate::eval::inline::Room;
use crate::eval::parts::sentence;

/// All pictures together, in bytes: what a phone still opens.
const ROOM: u64 = 24 << 20;

/// Draws the page; of the pictures as many as there is room for.
///
/// # Errors
/// When a unit cannot be read any more.
pub(crate) fn render(evaluation: &Evaluation, scores: &Scores, costs: &[Cost]) -> Result<String> {
    let all = scores.all();
    let names: Vec<&str> = all.iter().map(|score| score.name).collect();
    let gallery = Gallery::of(evaluation, &names)?;
    let (short, further): (Vec<_>, Vec<_>) = all.iter().cloned().partition(Score::is_short);

    let mut page = Page::new(&format!("Evaluation: {}", scores.protocol), &scores.headline());
    if !scores.unfinished.is_empty() {
        page = page.facts(&[("units not finished: this is a part", scores.unfinished.len().to_string())]);
    }
    let explanations = scores.explanations().iter().map(|line| sentence(line)).collect::<Vec<_>>().join("\n");
    page = page.section("Scores").table(&means(scores, &short)).text(&explanations);
    if scores.methods.len() > 1 {
        page = page
            .section(&format!("Compared with {}", scores.baseline))
            .text("Differences over the same people; bold where the interval does not hold 0.")
            .table(&differences(scores, &short));
    }
    page = charts::plane(page, scores);
    page = charts::frontiers(page, scores);
    page = charts::ablations(page, scores);
    page = charts::curves(page, scores);
    if let Some(gallery) = &gallery {
        page = pictures::show(page, evaluation, gallery, &mut Room::new(ROOM));
    }
    if !further.is_empty() {
        page = page.section("Further scores").table(&means(scores, &further));
    }
    page = categories(page, scores, &short);
    page = page.section("Cost of a person").table(&cost_table(costs));
    page = page.section("What the scores are").settings(&explained(&all));
    Ok(settings(page, evaluation).render())
}

/// The means of some scores with their intervals; the best of each stands out.
fn means(scores: &Scores, columns: &[Score<'_>]) -> Table {
    let best: Vec<Option<f64>> = columns.iter().map(|score| best(scores, score)).collect();
    let mut table = Table::new(&columns.iter().map(Score::label).collect::<Vec<_>>());
    for method in &scores.methods {
        let cell = |(score, best): (&Score<'_>, &Option<f64>)| match method.scores.get(score.name) {
            Some(over) if *best == Some(over.mean) => figure(score, over).strong(),
            Some(over) => figure(score, over),
            None => Cell::new("–"),
        };
        table = table.row(&method.method, columns.iter().zip(&best).map(cell));
    }
    if columns.iter().any(Score::has_references) {
        for (name, label) in [("true_pairs", "true pairs of photos"), ("strangers", "strangers' photos")] {
            let Some(reference) = scores.references.get(name) else { continue };
            let (mean, lowest, highest) = (reference.mean, reference.lowest, reference.highest);
            let cell = |score: &Score<'_>| {
                if !score.has_references() {
                    return Cell::default();
                }
                Cell::new(score.show(mean)).note(format!("{} to {}", score.show(lowest), score.show(highest)))
            };
            table = table.aside(label, columns.iter().map(cell));
        }
    }
    table
}

/// The best mean of several methods.
fn best(scores: &Scores, score: &Score<'_>) -> Option<f64> {
    let means = scores.methods.iter().filter_map(|method| method.scores.get(score.name)).map(|over| over.mean);
    match score.better() {
        _ if scores.methods.len() < 2 => None,
        Better::Up => means.reduce(f64::max),
        Better::Down => means.reduce(f64::min),
        Better::Neither => None,
    }
}

fn differences(scores: &Scores, columns: &[Score<'_>]) -> Table {
    let mut table = Table::new(&columns.iter().map(Score::label).collect::<Vec<_>>());
    for MethodScores { method, differences, .. } in &scores.methods {
        let Some(differences) = differences else { continue };
        let cell = |score: &Score<'_>| {
            let Some(over) = differences.get(score.name) else { return Cell::new("–") };
            let cell = Cell::new(signed(score, over.mean));
            let (Some(low), Some(high)) = (over.low, over.high) else { return cell };
            let cell = cell.note(format!("{} to {}", signed(score, low), signed(score, high)));
            if low > 0.0 || high < 0.0 { cell.strong() } else { cell }
        };
        table = table.row(method, columns.iter().map(cell));
    }
    table
}

/// A table of categories for each score; nothing where there is one category.
fn categories(page: Page, scores: &Scores, columns: &[Score<'_>]) -> Page {
    let Some(categories) = scores.methods.first().map(|method| &method.categories).filter(|it| it.len() > 1) else {
        return page;
    };
    let heads: Vec<&str> = categories.iter().map(|category| category.category.as_str()).collect();
    columns.iter().fold(page.section("By category"), |page, score| {
        let mut table = Table::new(&heads);
        for method in &scores.methods {
            let of = |scores: &BTreeMap<String, OverPeople>| {
                scores.get(score.name).map_or(Cell::new("–"), |over| figure(score, over))
            };
            table = table.row(&method.method, method.categories.iter().map(|category| of(&category.scores)));
        }
        page.heading(&score.label()).table(&table)
    })
}

/// A mean, with its interval below.
fn figure(score: &Score<'_>, over: &OverPeople) -> Cell {
    let cell = Cell::new(score.show(over.mean));
    match (over.low, over.high) {
        (Some(low), Some(high)) => cell.note(format!("{} to {}", score.show(low), score.show(high))),
        _ => cell,
    }
}

fn cost_table(costs: &[Cost]) -> Table {
    costs.iter().fold(Table::new(&Cost::HEADS), |table, cost| table.row(&cost.method, cost.cells().map(Cell::new)))
}

/// What each score is, and which way it is better.
fn explained(scores: &[Score<'_>]) -> Vec<(String, String)> {
    let row = |score: &Score<'_>| {
        let label = score.label();
        let described = describe(score);
        let what = described.strip_prefix(&label).unwrap_or(&described).trim_start().to_owned();
        (label, what)
    };
    scores.iter().map(row).collect()
}

/// How the run and each method were set.
fn settings(page: Page, evaluation: &Evaluation) -> Page {
    let run = &evaluation.run;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let seeds = run.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut rows = vec![
        ("model".to_owned(), run.model.clone()),
        ("class".to_owned(), run.class.clone()),
        ("people".to_owned(), run.identities.join(", ")),
        ("seeds".to_owned(), seeds),
    ];
    rows.extend(run.sampler.iter().map(|(name, value)| (name.clone(), text(value))));
    rows.push(("version".to_owned(), run.version.clone()));
    let page = page.section("Settings").settings(&rows);

    let first = |method| evaluation.reports(method).next().map(|report| &report.settings);
    let of_methods: Vec<_> = (0..run.methods.len()).map(first).collect();
    let mut names: Vec<&str> = of_methods.iter().flatten().flat_map(|it| it.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return page;
    }
    let table = names.into_iter().fold(Table::new(&run.methods), |table, name| {
        let cell = |settings: &Option<&BTreeMap<String, String>>| {
            Cell::new(settings.and_then(|settings| settings.get(name)).map_or("–", String::as_str))
        };
        table.row(name, of_methods.iter().map(cell))
    });
    page.table(&table)
}
