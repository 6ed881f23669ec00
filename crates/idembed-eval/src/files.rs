//! The files of an evaluation: what was asked for, and one line for each scored picture.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use idembed_files::IoError;
use idembed_studio::Judges;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::{Prompt, Sampler};
use crate::{EvalError, Result};

/// The format of the files.
pub(crate) const FORMAT: &str = "idembed-eval/1";

/// What was asked for; the same for all who share the work.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunRecord {
    pub(crate) format: &'static str,
    pub(crate) protocol: String,
    pub(crate) model: String,
    pub(crate) class: String,
    pub(crate) methods: Vec<String>,
    pub(crate) identities: Vec<String>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) seeds: Vec<u64>,
    /// Training steps of every method, if not its own.
    pub(crate) steps: Option<u32>,
    /// After every how many of them something is drawn and scored.
    pub(crate) curve: Option<u32>,
    pub(crate) negative: String,
    pub(crate) judges: Judges,
    /// Who says whether a prompt was followed: `judge` or `clip`.
    pub(crate) followed: &'static str,
    pub(crate) tau: f64,
    pub(crate) sampler: Sampler,
    pub(crate) dtype: String,
    pub(crate) version: &'static str,
}

impl RunRecord {
    /// Writes `run.json`, or checks that the one that is there asks for the same.
    ///
    /// # Errors
    /// It asks for something else, or cannot be written.
    pub(crate) fn agree(&self, out: &Path) -> Result<()> {
        let path = out.join("run.json");
        let own = serde_json::to_value(self).map_err(|error| damaged(&path, &error))?;
        if !path.exists() {
            return write_json(&path, &own);
        }
        let there: Value = read_json(&path)?;
        let (Value::Object(own), Value::Object(there)) = (own, there) else {
            return Err(EvalError::Damaged { path, what: "it is no object".to_owned() });
        };
        match own.iter().find(|(key, value)| there.get(*key) != Some(value)) {
            Some((key, _)) => Err(EvalError::OtherRun { path: out.to_path_buf(), what: format!("`{key}`") }),
            None => Ok(()),
        }
    }
}

/// A scored picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) method: String,
    pub(crate) identity: String,
    pub(crate) partner: Option<String>,
    pub(crate) swapped: bool,
    pub(crate) category: String,
    pub(crate) prompt: String,
    pub(crate) number: usize,
    pub(crate) seed: u64,
    pub(crate) path: String,
    pub(crate) attention: Option<String>,
    pub(crate) scores: BTreeMap<String, f64>,
    pub(crate) seen: BTreeMap<String, String>,
}

/// The lines of a unit, which grow prompt by prompt.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    done: HashSet<usize>,
}

impl Lines {
    /// Reads what is there; what a killed process left of a prompt's lines is taken away.
    ///
    /// # Errors
    /// The file cannot be read or mended.
    pub(crate) fn open(path: PathBuf, lines_of: impl Fn(usize) -> usize) -> Result<Self> {
        let text = if path.exists() { read_text(&path)? } else { String::new() };
        // The last line may be cut, and then stands for nothing.
        let lines: Vec<(usize, &str)> = text
            .split_inclusive('\n')
            .map_while(|line| Some((serde_json::from_str::<Line>(line.strip_suffix('\n')?).ok()?.number, line)))
            .collect();
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for (number, _) in &lines {
            *counts.entry(*number).or_default() += 1;
        }
        let done: HashSet<usize> = counts
            .into_iter()
            .filter(|(number, count)| *count == lines_of(*number))
            .map(|(number, _)| number)
            .collect();
        let whole: String =
            lines.into_iter().filter(|(number, _)| done.contains(number)).map(|(_, line)| line).collect();
        if whole != text {
            idembed_files::write(&path, whole.as_bytes()).map_err(IoError::writing(&path))?;
        }
        Ok(Lines { path, done })
    }

    /// Whether a prompt's pictures are all scored.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.done.contains(&number)
    }

    /// Adds the lines of a prompt.
    ///
    /// # Errors
    /// The disk is full, or the folder gone.
    pub(crate) fn add(&mut self, number: usize, lines: &[Line]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            text += &serde_json::to_string(line).map_err(|error| damaged(&self.path, &error))?;
            text.push('\n');
        }
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(text.as_bytes())?;
            File::sync_data(&file)
        };
        append().map_err(IoError::writing(&self.path))?;
        self.done.insert(number);
        Ok(())
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path).map_err(IoError::reading(path))?)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|error| damaged(path, &error))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| damaged(path, &error))? + "\n";
    Ok(idembed_files::write(path, text.as_bytes()).map_err(IoError::writing(path))?)
}

fn damaged(path: &Path, error: &serde_json::Error) -> EvalError {
    EvalError::Damaged { path: path.to_path_buf(), what: error.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn line(number: usize, seed: u64) -> Line {
        Line {
            method: "sefi".to_owned(),
            identity: "anna".to_owned(),
            partner: None,
            swapped: false,
            category: "scene".to_owned(),
            prompt: "a {}".to_owned(),
            number,
            seed,
            path: String::new(),
            attention: None,
            scores: [("id".to_owned(), 0.1 + 0.2)].into(),
            seen: BTreeMap::new(),
        }
    }

    #[test]
    fn a_prompt_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pictures.jsonl");
        let open = || Lines::open(path.clone(), |_| 2).unwrap();
        let mut lines = open();
        for number in 0..3 {
            lines.add(number, &[line(number, 1), line(number, 2)]).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        assert!(open().has(2) && !open().has(3));
        // Wherever a process is killed, the prompts before it stay, and adding the rest gives the same file.
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut lines = open();
            let done = (0..3).filter(|number| lines.has(*number)).count();
            assert_eq!(done, cut * 3 / whole.len());
            for number in done..3 {
                lines.add(number, &[line(number, 1), line(number, 2)]).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
    }

    #[test]
    fn numbers_lose_no_digit() {
        let text = serde_json::to_string(&line(0, 1)).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line(0, 1));
    }

    #[test]
    fn another_run_in_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let record = |seed| RunRecord {
            format: FORMAT,
            protocol: "p".to_owned(),
            model: "m".to_owned(),
            class: "person".to_owned(),
            methods: vec!["sefi".to_owned()],
            identities: vec![],
            prompts: vec![],
            seeds: vec![seed],
            steps: None,
            curve: None,
            negative: String::new(),
            judges: Judges { id: vec![], prompt: vec![], wishes: None },
            followed: "clip",
            tau: 0.245,
            sampler: Sampler { scheduler: "ddim".to_owned(), steps: 1, guidance: 1.0 },
            dtype: "f32".to_owned(),
            version: "0",
        };
        record(1).agree(folder.path()).unwrap();
        record(1).agree(folder.path()).unwrap();
        let error = record(2).agree(folder.path()).unwrap_err();
        assert!(matches!(error, EvalError::OtherRun { what, .. } if what == "`seeds`"));
    }
}
