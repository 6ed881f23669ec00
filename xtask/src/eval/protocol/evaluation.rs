//! A run, read from its folder, and the figures of it.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::cost::Cost;
use super::curves::Curve;
use super::frontiers::Frontiers;
use super::record::{self, Judges, References, Run, UnitReport};
use super::tally::{Bootstrap, Tally};
use super::units::Unit;
use crate::eval::bootstrap::OverPeople;
use crate::hint::Hinted;

/// A run whose finished units were read.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// The folder of the run.
    pub(crate) out: PathBuf,
    /// What is evaluated.
    pub(crate) run: Run,
    /// The units that are finished, in the order of methods and people.
    pub(crate) units: Vec<(Unit, UnitReport)>,
    /// The names of the others.
    pub(crate) unfinished: Vec<String>,
    references: References,
    tally: Tally,
}

/// The figures of a run: `scores.json`. Nothing in it depends on when, where or in how many parts the run was made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scores {
    format: &'static str,
    /// The name of the set of prompts.
    pub(crate) protocol: String,
    /// The model that drew.
    pub(crate) model: String,
    version: String,
    /// The method that the others are compared with.
    pub(crate) baseline: String,
    /// The people.
    pub(crate) identities: Vec<String>,
    /// The number of prompts.
    pub(crate) prompts: usize,
    /// The number of seeds of each prompt.
    pub(crate) seeds: usize,
    /// The number of pictures that were scored.
    pub(crate) pictures: usize,
    /// Units whose pictures are not all there.
    pub(crate) unfinished: Vec<String>,
    /// What decides whether a prompt was followed.
    pub(crate) followed: String,
    /// Prompt from which on CLIP says so.
    pub(crate) tau: Option<f64>,
    /// The networks that scored.
    pub(crate) judges: BTreeMap<&'static str, Vec<String>>,
    /// How the intervals were made.
    pub(crate) intervals: Intervals,
    /// What true pairs of photos and strangers reach, by the main recogniser.
    pub(crate) references: BTreeMap<&'static str, Reference>,
    /// The methods, in their order.
    pub(crate) methods: Vec<MethodScores>,
    /// Methods compared over all their settings, where they have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frontiers: Option<Frontiers>,
}

/// How the intervals were made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Intervals {
    method: &'static str,
    over: &'static str,
    /// How many samples were drawn.
    pub(crate) resamples: u32,
    /// Where the random numbers started.
    pub(crate) seed: u64,
}

/// Cosines of pairs of photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Reference {
    /// Over all pairs.
    pub(crate) mean: f64,
    /// The lowest.
    pub(crate) lowest: f64,
    /// The highest.
    pub(crate) highest: f64,
    /// How many pairs.
    pub(crate) n: usize,
}

/// The figures of a method.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MethodScores {
    /// Its label.
    pub(crate) method: String,
    /// Over all pictures, by the name of the score.
    pub(crate) scores: BTreeMap<String, OverPeople>,
    /// How much more than the baseline, over the people that both have; none for the baseline itself.
    pub(crate) differences: Option<BTreeMap<String, OverPeople>>,
    /// Over the pictures of each category.
    pub(crate) categories: Vec<CategoryScores>,
    /// While it learned.
    pub(crate) curve: Curve,
}

/// The figures of a method in one category.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CategoryScores {
    /// The kind of prompts.
    pub(crate) category: String,
    /// By the name of the score.
    pub(crate) scores: BTreeMap<String, OverPeople>,
}

impl Evaluation {
    /// Reads the finished units of the run in `out`; all have to be, unless `partial` is allowed.
    ///
    /// # Errors
    /// When there is no run, a unit is missing or nothing is finished, or a file is broken.
    pub(crate) fn read(out: &Path, partial: bool) -> Result<Self> {
        let run = Run::read(out)?;
        let references = out.join(record::REFERENCES);
        let references = if references.exists() { record::read(&references)? } else { References::default() };
        let (finished, unfinished): (Vec<_>, Vec<_>) = Unit::all(&run, out).into_iter().partition(Unit::is_finished);
        let unfinished: Vec<String> = unfinished.into_iter().map(|unit| unit.name).collect();
        if finished.is_empty() || !(partial || unfinished.is_empty()) {
            return Err(not_finished(out, &unfinished, !finished.is_empty()).into());
        }
        let mut tally = Tally::new(&run);
        let mut units = Vec::new();
        for unit in finished {
            tally.add(&unit, &unit.pictures(&run)?);
            let report = unit.report(&run)?;
            units.push((unit, report));
        }
        Ok(Self { out: out.to_path_buf(), run, units, unfinished, references, tally })
    }

    /// The figures, with `baseline` or the first method to compare with.
    ///
    /// # Errors
    /// When there is no such method.
    pub(crate) fn scores(&self, baseline: Option<&str>, bootstrap: Bootstrap) -> Result<Scores> {
        let run = &self.run;
        let baseline = match baseline {
            None => 0,
            Some(label) => run.methods.iter().position(|method| method == label).with_context(|| {
                let hint = format!("the run has: {}", run.methods.join(", "));
                Hinted::new(format!("there is no method `{}` to compare with", label.escape_debug()), hint)
            })?,
        };
        let categories = run.categories();
        let of_method = |(method, label): (usize, &String)| MethodScores {
            method: label.clone(),
            scores: self.tally.means(method, None, bootstrap),
            differences: (method != baseline).then(|| self.tally.differences(method, baseline, bootstrap)),
            categories: (0..categories.len())
                .map(|category| CategoryScores {
                    category: categories[category].to_owned(),
                    scores: self.tally.means(method, Some(category), bootstrap),
                })
                .collect(),
            curve: Curve::of(self.reports(method), bootstrap),
        };
        let Judges { id, prompt, wishes } = run.judges.clone();
        let judges = [("id", id), ("prompt", prompt), ("wishes", wishes.into_iter().collect())];
        let references = [("true_pairs", &self.references.true_pairs), ("strangers", &self.references.strangers)];
        Ok(Scores {
            format: "idembed-scores/1",
            protocol: run.protocol.clone(),
            model: run.model.clone(),
            version: run.version.clone(),
            baseline: run.methods.get(baseline).cloned().unwrap_or_default(),
            identities: run.identities.clone(),
            prompts: run.prompts.len(),
            seeds: run.seeds.len(),
            pictures: self.tally.pictures,
            unfinished: self.unfinished.clone(),
            followed: run.followed.clone(),
            tau: run.tau,
            judges: judges.into_iter().filter(|(_, names)| !names.is_empty()).collect(),
            intervals: Intervals {
                method: "95 % percentile bootstrap",
                over: "identities",
                resamples: bootstrap.resamples,
                seed: bootstrap.seed,
            },
            references: references.into_iter().filter_map(|(name, of)| Some((name, Reference::of(of)?))).collect(),
            methods: run.methods.iter().enumerate().map(of_method).collect(),
            frontiers: Frontiers::of(run, &self.tally, baseline, bootstrap),
        })
    }

    /// What each method cost, in their order.
    pub(crate) fn costs(&self) -> Vec<Cost> {
        let methods = self.run.methods.iter().enumerate();
        methods.map(|(method, label)| Cost::of(label, self.reports(method))).collect()
    }

    /// Writes the lines of all pictures, in the order of methods, people, prompts and seeds.
    ///
    /// # Errors
    /// When a unit cannot be read any more, or the disk is full.
    pub(crate) fn write_lines(&self, path: &Path) -> Result<()> {
        let mut broken = None;
        let written = idembed_files::write_with(path, |file| {
            let mut file = BufWriter::new(file);
            for (unit, _) in &self.units {
                match unit.pictures(&self.run) {
                    Ok(pictures) => pictures.iter().try_for_each(|scored| writeln!(file, "{}", scored.text))?,
                    Err(error) => return Err(std::io::Error::other(broken.insert(error).to_string())),
                }
            }
            file.flush()
        });
        match broken {
            Some(error) => Err(error),
            None => written.with_context(|| format!("cannot write `{}`", path.display())),
        }
    }

    /// The reports of a method's finished units.
    pub(crate) fn reports(&self, method: usize) -> impl Iterator<Item = &UnitReport> + Clone {
        self.units.iter().filter(move |(unit, _)| unit.method == method).map(|(_, report)| report)
    }
}

impl Reference {
    fn of(cosines: &[f64]) -> Option<Self> {
        let lowest = cosines.iter().copied().reduce(f64::min)?;
        let highest = cosines.iter().copied().reduce(f64::max)?;
        let n = cosines.len();
        Some(Self { mean: cosines.iter().sum::<f64>() / n as f64, lowest, highest, n })
    }
}

/// Why there is no table yet.
fn not_finished(out: &Path, unfinished: &[String], some: bool) -> Hinted {
    const NAMED: usize = 12;
    let named = unfinished.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = unfinished.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("not finished in `{}`: {named}{more}", out.display());
    let go_on = "the same command that began the run goes on with it";
    let hint = if some { format!("{go_on}; `--partial` makes the table of what is there") } else { go_on.to_owned() };
    Hinted::new(message, hint)
}
