//! The drawings of the page.

use idembed_page::{Cell, Chart, Measured, Page, Scatter, Table, Uncertain};

use crate::eval::bootstrap::OverPeople;
use crate::eval::parts::sentence;
use crate::eval::protocol::columns::Score;
use crate::eval::protocol::evaluation::{MethodScores, Scores};

/// The scores that curves are drawn of, as far as they are there.
const DRAWN: [&str; 6] = ["id", "id_others", "prompt", "wishes", "id_p", "id_others_p"];

/// Likeness against how well prompts are followed, a point for each method.
pub(super) fn plane(page: Page, scores: &Scores) -> Page {
    let has = |name: &&str| scores.methods.iter().any(|method| method.scores.contains_key(*name));
    let Some(across) = ["prompt", "wishes"].into_iter().find(has) else { return page };
    let up: Vec<&str> = ["id", "id_others"].into_iter().filter(has).collect();
    if up.is_empty() {
        return page;
    }
    let across = Score::named(across);
    let title = format!("Likeness against {}", across.label());
    let page =
        page.section(&title).text("The better a method, the farther up and to the right. Lines are 95 % intervals.");
    let drawing = |up: Score<'_>| {
        let empty = Scatter::new(&format!("{} against {}", up.label(), across.label()), &across.label(), &up.label());
        scores.methods.iter().fold(empty, |scatter, method| {
            match (method.scores.get(across.name), method.scores.get(up.name)) {
                (Some(x), Some(y)) => scatter.point(&method.method, uncertain(x), uncertain(y)),
                _ => scatter,
            }
        })
    };
    page.drawings(&up.into_iter().map(Score::named).map(drawing).collect::<Vec<_>>())
}

/// How well prompts are followed at each likeness, a line through the best settings of each method; then all that is compared.
pub(super) fn frontiers(page: Page, scores: &Scores) -> Page {
    let Some(frontiers) = &scores.frontiers else { return page };
    let Some(prompt) = frontiers.compared.first().map(|name| Score::named(name).label()) else { return page };
    let likeness = Score::named(frontiers.likeness).label();
    let chart = frontiers.methods.iter().fold(Chart::new(&prompt, &likeness, ""), |chart, method| {
        let best = method.points.iter().filter(|point| point.on_frontier);
        let points = best.map(|point| Measured { x: point.likeness, y: point.prompt, interval: None });
        chart.measured(&method.method, &points.collect::<Vec<_>>(), None)
    });
    let page = page
        .section(&format!("{prompt} at equal {likeness}"))
        .text(&sentence(&frontiers.headline()))
        .drawings(&[chart]);
    frontiers.tables().iter().filter_map(|rows| rows.split_first()).fold(page, |page, (head, rows)| {
        let rows =
            rows.iter().fold(Table::new(&head[1..]), |table, row| table.row(&row[0], row[1..].iter().map(Cell::new)));
        page.heading(&head[0]).table(&rows)
    })
}

/// What the values of one setting do: curves where they are numbers, a table where they are words.
pub(super) fn ablations(mut page: Page, scores: &Scores) -> Page {
    for Ablation { method, setting, mut values } in Ablation::all(scores) {
        page = page.section(&format!("{method}: {setting}"));
        let numbers: Option<Vec<f64>> = values.iter().map(|(value, _)| value.parse().ok()).collect();
        if numbers.is_none() {
            page = page.table(&words(scores, &values));
            continue;
        }
        values.sort_by(|a, b| a.0.parse().unwrap_or(0.0_f64).total_cmp(&b.0.parse().unwrap_or(0.0)));
        let charts = drawn(|name| values.iter().any(|(_, method)| method.scores.contains_key(name))).map(|score| {
            let place = |(place, (_, method)): (usize, &(&str, &MethodScores))| {
                Some(measured(place as f64, method.scores.get(score.name)?))
            };
            let points: Vec<Measured> = values.iter().enumerate().filter_map(place).collect();
            let names = values.iter().map(|(value, _)| (*value).to_owned());
            Chart::new(&score.label(), setting, "").small().ticks(names).measured("", &points, None)
        });
        page = page.drawings(&charts.collect::<Vec<_>>());
    }
    page
}

/// Scores over the steps of learning, with the step at which to stop.
pub(super) fn curves(page: Page, scores: &Scores) -> Page {
    let learned: Vec<&MethodScores> = scores.methods.iter().filter(|it| it.curve.points.len() > 1).collect();
    if learned.is_empty() {
        return page;
    }
    let points = |method: &MethodScores, score: &Score<'_>| {
        let points = method.curve.points.iter();
        points.filter_map(|it| Some(measured(it.step as f64, it.scores.get(score.name)?))).collect::<Vec<_>>()
    };
    let has = |name: &str| learned.iter().any(|method| !points(method, &Score::named(name)).is_empty());
    let charts = drawn(has).map(|score| {
        learned.iter().fold(Chart::new(&score.label(), "steps", "").small(), |chart, method| {
            let best = method.curve.recommended.as_ref().map(|recommended| recommended.step as f64);
            chart.measured(&method.method, &points(method, &score), best)
        })
    });
    let charts: Vec<Chart> = charts.collect();
    let best: Vec<_> = scores
        .recommended()
        .into_iter()
        .map(|(method, step, by)| (method, format!("after step {step}, by {by}")))
        .collect();
    page.section("While it learns")
        .text("Means over people; a ring marks the step at which a method is best.")
        .drawings(&charts)
        .settings(&best)
}

/// The drawn scores that are there.
fn drawn(has: impl Fn(&str) -> bool) -> impl Iterator<Item = Score<'static>> {
    DRAWN.into_iter().filter(move |name| has(name)).map(Score::named)
}

fn uncertain(over: &OverPeople) -> Uncertain {
    Uncertain { value: over.mean, interval: over.low.zip(over.high) }
}

fn measured(x: f64, over: &OverPeople) -> Measured {
    Measured { x, y: over.mean, interval: over.low.zip(over.high) }
}

/// A row for each value.
fn words(scores: &Scores, values: &[(&str, &MethodScores)]) -> Table {
    let columns: Vec<Score<'_>> = scores.all().into_iter().filter(Score::is_short).collect();
    let empty = Table::new(&columns.iter().map(Score::label).collect::<Vec<_>>());
    values.iter().fold(empty, |table, (value, method)| {
        let cell =
            |score: &Score<'_>| method.scores.get(score.name).map_or(Cell::new("–"), |it| super::figure(score, it));
        table.row(value, columns.iter().map(cell))
    })
}

/// One setting of one method, tried with several values.
struct Ablation<'a> {
    method: &'a str,
    setting: &'a str,
    values: Vec<(&'a str, &'a MethodScores)>,
}

impl<'a> Ablation<'a> {
    /// All, by the labels of methods such as `sefi@lambda=0.01`.
    fn all(scores: &'a Scores) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for scores in &scores.methods {
            let parts = scores.method.split_once('@').and_then(|(method, rest)| Some((method, rest.split_once('=')?)));
            let Some((method, (setting, value))) = parts else { continue };
            match found.iter_mut().find(|it| it.method == method && it.setting == setting) {
                Some(ablation) => ablation.values.push((value, scores)),
                None => found.push(Self { method, setting, values: vec![(value, scores)] }),
            }
        }
        found.retain(|ablation| ablation.values.len() > 1);
        found
    }
}
