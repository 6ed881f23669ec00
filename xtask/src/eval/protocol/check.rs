//! Whether figures still are what they were.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use serde::Deserialize;

use super::columns::{Better, Score};
use super::evaluation::Scores;
use super::record;
use crate::eval::bootstrap::OverPeople;
use crate::hint::Hinted;

/// What is read of a stored `scores.json`; it may hold any part of one.
#[derive(Deserialize)]
struct Stored {
    methods: Vec<StoredMethod>,
}

#[derive(Deserialize)]
struct StoredMethod {
    method: String,
    #[serde(default)]
    scores: BTreeMap<String, StoredFigure>,
    #[serde(default)]
    categories: Vec<StoredCategory>,
}

#[derive(Deserialize)]
struct StoredCategory {
    category: String,
    scores: BTreeMap<String, StoredFigure>,
}

/// A figure; what it was made from does not count.
#[derive(Clone, Copy, Deserialize)]
struct StoredFigure {
    mean: f64,
    low: Option<f64>,
    high: Option<f64>,
}

/// Compares with the figures stored in `file`: one that is worse by more than half the stored interval's width has fallen.
///
/// # Errors
/// When a figure fell, is missing, or was stored without an interval, with all of those named.
pub(crate) fn check(scores: &Scores, file: &Path) -> Result<()> {
    let stored: Stored = record::read(file)?;
    let mut checked = 0;
    let mut complaints = Vec::new();
    for StoredMethod { method, scores: stored, categories } in &stored.methods {
        let now = scores.methods.iter().find(|now| now.method == *method);
        let whole = (String::new(), stored, now.map(|now| &now.scores));
        let parts = categories.iter().map(|StoredCategory { category, scores }| {
            let now = now.and_then(|now| now.categories.iter().find(|now| now.category == *category));
            (format!(" ({category})"), scores, now.map(|now| &now.scores))
        });
        for (of, stored, now) in [whole].into_iter().chain(parts) {
            for (name, stored) in stored {
                checked += 1;
                let now = now.and_then(|now| now.get(name));
                complaints
                    .extend(complaint(&Score::named(name), *stored, now).map(|why| format!("{method}{of}: {why}")));
            }
        }
    }
    if checked == 0 {
        let hint = "give a `scores.json` of an earlier run, or a part of one";
        return Err(Hinted::new(format!("no figure is stored in `{}`", file.display()), hint).into());
    }
    if !complaints.is_empty() {
        bail!(
            "{} of {checked} figures are not what `{}` holds:\n  {}",
            complaints.len(),
            file.display(),
            complaints.join("\n  ")
        );
    }
    eprintln!("none of {checked} figures fell below those in `{}`", file.display());
    Ok(())
}

/// What is wrong with a figure.
fn complaint(score: &Score<'_>, stored: StoredFigure, now: Option<&OverPeople>) -> Option<String> {
    let name = score.name;
    let show = |value| score.show(value);
    let Some(now) = now else { return Some(format!("{name} is missing, it was {}", show(stored.mean))) };
    let worse_by = match score.better() {
        Better::Up => stored.mean - now.mean,
        Better::Down => now.mean - stored.mean,
        Better::Neither => return None,
    };
    let (Some(low), Some(high)) = (stored.low, stored.high) else {
        return Some(format!("{name} was stored without an interval, so nothing can be said about it"));
    };
    let allowed = (high - low) / 2.0;
    // The last digits of a sum may differ between machines.
    let fell = worse_by > allowed + 1e-9;
    fell.then(|| format!("{name} is {}, it was {} +- {}", show(now.mean), show(stored.mean), show(allowed)))
}
