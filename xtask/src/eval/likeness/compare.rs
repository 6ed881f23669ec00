//! Calling `idembed compare`, and reading what it answers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::workspace;

/// How many bytes of picture paths one call is given. Linux usually takes 2 MiB of arguments and environment, macOS
/// 1 MiB; more pictures mean more calls, and each has to load the networks again.
const ARGUMENT_BYTES: usize = 512 << 10;

/// All pictures, compared with the photo.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The network that compared.
    pub(crate) recogniser: Recogniser,
    /// In the order in which they were given.
    pub(crate) pictures: Vec<Picture>,
}

/// The network that compared, as the program tells about it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Recogniser {
    /// Its name for `--recogniser`.
    #[serde(rename = "recogniser")]
    pub(crate) name: String,
    /// Why it is this one.
    #[serde(rename = "recogniser_because")]
    pub(crate) because: String,
    /// How its numbers are to be read; none if nobody knows.
    pub(crate) scale: Option<Scale>,
}

/// What similarity usually is, for one network.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Scale {
    /// Pictures of the same person are usually above.
    same_above: f64,
    /// Pictures of two people are usually below.
    strangers_below: f64,
    /// Where the numbers come from.
    source: String,
}

impl Recogniser {
    /// How its numbers are to be read, in words.
    pub(crate) fn reading(&self) -> String {
        match &self.scale {
            Some(Scale { same_above, strangers_below, source }) => {
                format!(
                    "same person usually above {same_above:.2}, strangers usually below {strangers_below:.2} ({source})"
                )
            }
            None => format!("no scale is known for the numbers of {}", self.name),
        }
    }
}

/// A picture and what the program says about it.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The file.
    pub(crate) path: PathBuf,
    /// What counts.
    pub(crate) outcome: Outcome,
    /// All that the program said.
    pub(crate) record: Record,
}

/// What the program says about a picture.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Record {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    faces: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// How well the picture fits the prompt that it was drawn from, where both a prompt and a CLIP are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What does not count here, such as where the face is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What became of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was compared.
    Face {
        /// Cosine similarity to the photo.
        id: f64,
        /// How sure the detector is.
        score: f64,
        /// How many were found.
        faces: u64,
    },
    /// Nobody is in it.
    NoFace,
    /// Why it could not be read.
    Unreadable(String),
}

impl Outcome {
    /// The similarity to count: 0 for a missing face, none for a picture that could not be read.
    pub(crate) fn id(&self) -> Option<f64> {
        match *self {
            Self::Face { id, .. } => Some(id),
            Self::NoFace => Some(0.0),
            Self::Unreadable(_) => None,
        }
    }

    /// 1 for a face, 0 for none, nothing for a picture that could not be read.
    pub(crate) fn detected(&self) -> Option<f64> {
        match self {
            Self::Face { .. } => Some(1.0),
            Self::NoFace => Some(0.0),
            Self::Unreadable(_) => None,
        }
    }

    fn of(record: &Record) -> Result<Self> {
        match (&record.error, record.faces, record.id, record.score) {
            (Some(error), ..) => Ok(Self::Unreadable(error.clone())),
            (None, Some(0), ..) => Ok(Self::NoFace),
            (None, Some(faces), Some(id), Some(score)) => Ok(Self::Face { id, score, faces }),
            _ => bail!("it says neither `error` nor `faces`, `id` and `score`"),
        }
    }
}

/// The object that the program prints.
#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    recogniser: Recogniser,
    pictures: Vec<Record>,
}

/// Lets `program` compare the pictures with the photo; its progress and its errors go to the standard error.
///
/// # Errors
/// When it fails, or answers something else than was asked.
pub(crate) fn compare(
    program: &Path,
    photo: &Path,
    pictures: &[PathBuf],
    recogniser: Option<&str>,
) -> Result<Comparison> {
    let mut compared = Comparison { recogniser: Recogniser::default(), pictures: Vec::with_capacity(pictures.len()) };
    for batch in batches(pictures, ARGUMENT_BYTES) {
        let mut command = Command::new(program);
        workspace::one_thread(&mut command);
        command.args(["compare", "--json"]);
        // What spoke for the first pictures speaks for all: numbers of different networks cannot be summed up.
        let first = Some(compared.recogniser.name.as_str()).filter(|_| !compared.pictures.is_empty());
        if let Some(recogniser) = recogniser.or(first) {
            command.args(["--recogniser", recogniser]);
        }
        command.arg("--").arg(photo).args(batch).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start `{}`", program.display()))?;
        ensure!(output.status.success(), "`idembed compare` failed ({})", output.status);
        let answer = read(&output.stdout, batch).context("`idembed compare` answers something unexpected")?;
        if compared.pictures.is_empty() {
            compared.recogniser = answer.recogniser;
        }
        compared.pictures.extend(answer.pictures);
    }
    Ok(compared)
}

/// The pictures in parts whose paths take at most `limit` bytes as arguments; a longer path is a part of its own.
fn batches(pictures: &[PathBuf], limit: usize) -> Vec<&[PathBuf]> {
    // Each argument ends with a zero and has a pointer.
    let size = |path: &PathBuf| path.as_os_str().len() + 1 + size_of::<usize>();
    let mut batches = Vec::new();
    let mut rest = pictures;
    while !rest.is_empty() {
        let fits = rest.iter().scan(0, |sum, path| {
            *sum += size(path);
            Some(*sum)
        });
        let (batch, after) = rest.split_at(fits.take_while(|sum| *sum <= limit).count().max(1));
        batches.push(batch);
        rest = after;
    }
    batches
}

/// The answer for these pictures.
fn read(stdout: &[u8], asked: &[PathBuf]) -> Result<Comparison> {
    let answer: Answer = serde_json::from_slice(stdout)?;
    ensure!(answer.pictures.len() == asked.len(), "asked for {} pictures, got {}", asked.len(), answer.pictures.len());
    let pictures = asked.iter().zip(answer.pictures).map(|(path, record)| {
        // JSON holds only what is Unicode in a path, so ours stays the one to open.
        let shown = path.display().to_string();
        ensure!(record.path == shown, "`{shown}` is not where it should be");
        let outcome = Outcome::of(&record).with_context(|| format!("about `{shown}`"))?;
        Ok(Picture { path: path.clone(), outcome, record })
    });
    Ok(Comparison { recogniser: answer.recogniser, pictures: pictures.collect::<Result<_>>()? })
}

impl Picture {
    /// How well it fits its prompt, where that is known.
    pub(crate) fn prompt(&self) -> Option<f64> {
        self.record.prompt
    }

    /// The name of the file, as far as it is Unicode.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
    }
}

/// The pictures that count with their similarities, the most similar first, equal ones in the order of their paths.
pub(crate) fn ranked(pictures: &[Picture]) -> Vec<(f64, &Picture)> {
    let mut ranked: Vec<_> = pictures.iter().filter_map(|picture| Some((picture.outcome.id()?, picture))).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.path.cmp(&b.1.path)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"photo": "p.png", "recogniser": "adaface-ir101", "recogniser_because": "it is there",
        "scale": {"same_above": 0.3, "strangers_below": 0.25, "source": "somebody"},
        "face": {"box": [1, 2, 30.5, 40], "score": 0.99, "landmarks": [[1,2],[3,2],[2,3],[1,4],[3,4]]},
        "pictures": [
            {"path": "a.png", "faces": 2, "box": [0,0,9,9], "score": 0.98, "landmarks": [[1,2]], "id": -0.25},
            {"path": "b.png", "faces": 0, "id": 0.0},
            {"path": "c.png", "error": "`c.png` is cut short"},
            {"path": "d.png", "faces": 1, "score": 0.9, "id": 0.5}]}"#;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_answer_is_read() {
        let compared = read(ANSWER.as_bytes(), &paths(&["a.png", "b.png", "c.png", "d.png"])).unwrap();
        assert_eq!(
            (compared.recogniser.name.as_str(), compared.recogniser.because.as_str()),
            ("adaface-ir101", "it is there")
        );
        let reading = "same person usually above 0.30, strangers usually below 0.25 (somebody)";
        assert_eq!(compared.recogniser.reading(), reading);
        let unknown = Recogniser { scale: None, ..compared.recogniser.clone() };
        assert_eq!(unknown.reading(), "no scale is known for the numbers of adaface-ir101");
        let outcomes: Vec<_> = compared.pictures.iter().map(|picture| picture.outcome.clone()).collect();
        let face = |id, score, faces| Outcome::Face { id, score, faces };
        let unreadable = Outcome::Unreadable("`c.png` is cut short".to_owned());
        assert_eq!(outcomes, [face(-0.25, 0.98, 2), Outcome::NoFace, unreadable, face(0.5, 0.9, 1)]);
        assert_eq!(compared.pictures[0].record.rest["box"], serde_json::json!([0, 0, 9, 9]));
        let ranked: Vec<_> = ranked(&compared.pictures).iter().map(|(id, picture)| (*id, picture.name())).collect();
        assert_eq!(ranked, [(0.5, "d.png".to_owned()), (0.0, "b.png".to_owned()), (-0.25, "a.png".to_owned())]);
    }

    #[test]
    fn a_missing_face_counts_0_and_an_unreadable_picture_not_at_all() {
        let figures = |outcome: Outcome| (outcome.id(), outcome.detected());
        assert_eq!(figures(Outcome::NoFace), (Some(0.0), Some(0.0)));
        assert_eq!(figures(Outcome::Unreadable("why".to_owned())), (None, None));
        assert_eq!(figures(Outcome::Face { id: -0.5, score: 0.9, faces: 1 }), (Some(-0.5), Some(1.0)));
    }

    #[test]
    fn another_answer_than_asked_for_is_an_error() {
        let fails = |answer: &str, asked: &[&str], expected: &str| {
            let error = format!("{:#}", read(answer.as_bytes(), &paths(asked)).unwrap_err());
            assert!(error.contains(expected), "no `{expected}` in {error}");
        };
        fails(ANSWER, &["a.png", "b.png"], "asked for 2 pictures, got 4");
        fails(ANSWER, &["b.png", "a.png", "c.png", "d.png"], "`b.png` is not where it should be");
        fails("", &["a.png"], "EOF");
        fails("{\"pictures\": []}", &[], "missing field `recogniser`");
        let network = "\"recogniser\": \"r\", \"recogniser_because\": \"\", \"scale\": null";
        let one = |fields: &str| format!("{{{network}, \"pictures\": [{{\"path\": \"a.png\"{fields}}}]}}");
        fails(&one(""), &["a.png"], "about `a.png`: it says neither");
        fails(&one(", \"faces\": 1, \"id\": null, \"score\": 1"), &["a.png"], "about `a.png`");
        fails(&one(", \"faces\": -1"), &["a.png"], "invalid value: integer `-1`");
    }

    #[test]
    fn long_lists_are_asked_for_in_parts() {
        let pictures = paths(&["a", "bb", "a much longer path", "c", "d", "e"]);
        let sizes = |limit| batches(&pictures, limit).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        let pointer = size_of::<usize>();
        assert_eq!(sizes(1000), [6]);
        assert_eq!(sizes(2 * pointer + 5), [2, 1, 2, 1]);
        assert_eq!(sizes(0), [1; 6]);
        assert!(batches(&[], 10).is_empty());
        assert_eq!(batches(&pictures, 30).concat(), pictures);
    }
}
