//! The units of a run: one for each method and person, each a folder of its own.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::record::{self, Line, PICTURES, Run, UNIT, UNITS, UnitReport};
use crate::hint::Hinted;

/// A method and a person.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Which of the run's methods.
    pub(crate) method: usize,
    /// Which of the run's people.
    pub(crate) identity: usize,
    /// As it is called in messages.
    pub(crate) name: String,
    /// Where its files are.
    pub(crate) folder: PathBuf,
}

/// A picture: what is known of it, and the line that says so.
#[derive(Debug)]
pub(crate) struct Scored {
    /// What the line says.
    pub(crate) line: Line,
    /// The line as it was written.
    pub(crate) text: String,
}

impl Unit {
    /// All units of a run in the folder `out`, finished or not, in the order of methods and people.
    pub(crate) fn all(run: &Run, out: &Path) -> Vec<Unit> {
        let of_method = |(method, label): (usize, &String)| {
            let identities = run.identities.iter().enumerate();
            let units = identities.map(|(identity, person)| Unit {
                method,
                identity,
                name: format!("{label} of {person}"),
                folder: out.join(UNITS).join(label).join(person),
            });
            units.collect::<Vec<_>>()
        };
        run.methods.iter().enumerate().flat_map(of_method).collect()
    }

    /// Whether all its pictures are drawn and scored.
    pub(crate) fn is_finished(&self) -> bool {
        self.folder.join(UNIT).is_file()
    }

    /// What it cost; for a finished one.
    ///
    /// # Errors
    /// When the file cannot be read, or is about another unit.
    pub(crate) fn report(&self, run: &Run) -> Result<UnitReport> {
        let path = self.folder.join(UNIT);
        let report: UnitReport = record::read(&path)?;
        self.check(run, &report.method, &report.identity).with_context(|| format!("in `{}`", path.display()))?;
        Ok(report)
    }

    /// Its pictures, in the order of prompts and seeds, whatever the order of the lines.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is broken, about another unit or there twice.
    pub(crate) fn pictures(&self, run: &Run) -> Result<Vec<Scored>> {
        let path = self.folder.join(PICTURES);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let read = |text: &str| {
            let line: Line = serde_json::from_str(text)?;
            self.check(run, &line.method, &line.identity)?;
            ensure!(
                run.prompts.iter().any(|prompt| prompt.number == line.number) && run.seeds.contains(&line.seed),
                "prompt {} with seed {} is none of the run",
                line.number,
                line.seed
            );
            for path in [Some(&line.path), line.attention.as_ref()].into_iter().flatten() {
                ensure!(is_below(Path::new(path)), "`{}` leads out of the run", path.escape_debug());
            }
            anyhow::Ok(Scored { line, text: text.to_owned() })
        };
        let mut pictures = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let scored = read(text).with_context(|| format!("line {} of `{}`", index + 1, path.display()))?;
            pictures.push((index + 1, scored));
        }
        let place = |scored: &Scored| {
            let Line { number, seed, swapped, .. } = &scored.line;
            let prompt = run.prompts.iter().position(|prompt| prompt.number == *number);
            (prompt, run.seeds.iter().position(|other| other == seed), *swapped)
        };
        pictures.sort_by_key(|(_, scored)| place(scored));
        if let Some(pair) = pictures.windows(2).find(|pair| place(&pair[0].1) == place(&pair[1].1)) {
            let (first, second) = (pair[0].0, pair[1].0);
            let message = format!("lines {first} and {second} of `{}` are the same picture", path.display());
            let hint = format!("remove the folder `{}`; the same command makes it again", self.folder.display());
            return Err(Hinted::new(message, hint).into());
        }
        Ok(pictures.into_iter().map(|(_, scored)| scored).collect())
    }

    fn check(&self, run: &Run, method: &str, identity: &str) -> Result<()> {
        if run.methods[self.method] != method || run.identities[self.identity] != identity {
            bail!("this is about {method} of {identity}, not {}", self.name);
        }
        Ok(())
    }
}

/// Whether a path can only lead to what is in a folder: the files that it names stand on a page.
fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}
