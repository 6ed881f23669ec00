//! The figures of an evaluation, for people and for programs.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Serialize, Serializer};

use super::compare::{Comparison, Outcome, Picture, Recogniser, ranked};
use crate::eval::bootstrap::Estimate;

/// How many of the most and of the least similar pictures are named.
const NAMED: usize = 3;

/// What the figures were made from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// The photo, as it was given.
    pub(crate) photo: String,
    /// The folder of pictures, as it was given.
    pub(crate) pictures: String,
    /// A picture counts in ID(P) from this Prompt on.
    pub(crate) tau: f64,
    /// Samples of the bootstrap.
    pub(crate) resamples: u32,
    /// Where its random numbers start.
    pub(crate) seed: u64,
}

/// Where the results lie.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Files {
    /// One line for each picture.
    #[serde(serialize_with = "shown")]
    pub(crate) pictures: PathBuf,
    /// This summary.
    #[serde(serialize_with = "shown")]
    pub(crate) summary: PathBuf,
    /// The page to look at.
    #[serde(serialize_with = "shown")]
    pub(crate) page: PathBuf,
}

impl Files {
    /// The files in `folder`.
    pub(crate) fn within(folder: &Path) -> Self {
        let path = |name| folder.join(name);
        Self { pictures: path("pictures.jsonl"), summary: path("summary.json"), page: path("index.html") }
    }
}

/// A path as JSON can hold it: what is not Unicode in it is replaced.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The figures, and what they were made from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Similarity to the photo; a missing face counts 0.
    pub(crate) id: Estimate,
    /// The same over the pictures with a face alone; none if there is no such picture.
    pub(crate) id_found: Option<Estimate>,
    /// Share of pictures in which a face is found.
    pub(crate) detect: Estimate,
    /// How well pictures fit the prompts that they were drawn from; none if no picture is known to have one.
    pub(crate) prompt: Option<Estimate>,
    /// `id` where the prompt is followed, else 0; over the pictures with a prompt.
    pub(crate) id_p: Option<Estimate>,
    /// The network that compared.
    #[serde(flatten)]
    pub(crate) recogniser: Recogniser,
    /// Pictures without a face.
    pub(crate) faces_missing: usize,
    /// Pictures that could not be read; they count nowhere.
    pub(crate) unreadable: usize,
    /// What was asked for.
    #[serde(flatten)]
    pub(crate) settings: Settings,
    /// Where the rest is.
    pub(crate) files: Files,
}

impl Summary {
    /// Sums up a comparison.
    ///
    /// # Errors
    /// When no picture could be read; what was wrong with the first is told.
    pub(crate) fn new(compared: &Comparison, settings: Settings, files: Files) -> Result<Self> {
        let of = |value: &dyn Fn(&Picture) -> Option<f64>| -> Vec<f64> {
            compared.pictures.iter().filter_map(value).collect()
        };
        let ids = of(&|picture| picture.outcome.id());
        let detected = of(&|picture| picture.outcome.detected());
        let found = of(&|picture| picture.outcome.id().filter(|_| picture.outcome.detected() == Some(1.0)));
        let followed = |picture: &Picture| {
            let share = picture.prompt().map(|prompt| if prompt >= settings.tau { 1.0 } else { 0.0 })?;
            Some(picture.outcome.id()? * share)
        };
        let estimate = |values: &[f64]| Estimate::of(values, settings.resamples, settings.seed);
        let figure = |values: &[f64]| {
            estimate(values).with_context(|| {
                let first = unreadable(&compared.pictures).next().map_or("", |(_, why)| why);
                format!("no picture could be read; the first: {first}")
            })
        };
        Ok(Self {
            id: figure(&ids)?,
            id_found: estimate(&found),
            detect: figure(&detected)?,
            prompt: estimate(&of(&Picture::prompt)),
            id_p: estimate(&of(&followed)),
            recogniser: compared.recogniser.clone(),
            faces_missing: detected.iter().filter(|found| **found == 0.0).count(),
            unreadable: compared.pictures.len() - ids.len(),
            settings,
            files,
        })
    }

    /// The figures that there are, each with its name and what it is.
    pub(crate) fn figures(&self) -> Vec<(&'static str, &'static str, Estimate)> {
        let figures = [
            ("id", "similarity", Some(self.id)),
            ("id_found", "similarity of found faces", self.id_found),
            ("detect", "face found", Some(self.detect)),
            ("prompt", "fits its prompt", self.prompt),
            ("id_p", "similarity where the prompt is followed", self.id_p),
        ];
        figures.into_iter().filter_map(|(name, what, figure)| Some((name, what, figure?))).collect()
    }

    /// How the intervals were made.
    pub(crate) fn method(&self) -> String {
        format!("95 % percentile bootstrap, {} resamples, seed {}", self.settings.resamples, self.settings.seed)
    }

    /// The figures as a table, with the pictures that deserve a look.
    pub(crate) fn table<'a>(&'a self, pictures: &'a [Picture]) -> Table<'a> {
        Table { summary: self, pictures }
    }
}

/// The pictures that could not be read, and why.
pub(crate) fn unreadable(pictures: &[Picture]) -> impl Iterator<Item = (&Picture, &str)> {
    pictures.iter().filter_map(|picture| match &picture.outcome {
        Outcome::Unreadable(why) => Some((picture, why.as_str())),
        _ => None,
    })
}

/// [`Summary::table`].
pub(crate) struct Table<'a> {
    summary: &'a Summary,
    pictures: &'a [Picture],
}

impl Display for Table<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Summary { id, id_p, recogniser, faces_missing, unreadable: unread, settings, files, .. } = self.summary;
        writeln!(out, "pictures in {} compared with {} by {}", settings.pictures, settings.photo, recogniser.name)?;
        writeln!(out, "this network because {}", recogniser.because)?;
        writeln!(out, "            mean     low    high      n")?;
        for (name, _, Estimate { mean, low, high, n }) in self.summary.figures() {
            writeln!(out, "{name:8}  {mean:6.3}  {low:6.3}  {high:6.3}  {n:5}")?;
        }
        writeln!(out, "low to high: {}", self.summary.method())?;
        writeln!(out, "{}", recogniser.reading())?;
        if id_p.is_some() {
            writeln!(out, "id_p: id where prompt is at least {}, else 0", settings.tau)?;
        }
        if *faces_missing > 0 {
            writeln!(out, "no face found in {faces_missing} of {}: each counts 0", id.n)?;
        }
        let ranked = ranked(self.pictures);
        let (best, rest) = ranked.split_at(NAMED.min(ranked.len()));
        for (label, named) in [("best", best), ("worst", &rest[rest.len().saturating_sub(NAMED)..])] {
            for (similarity, picture) in named {
                let remark = if picture.outcome == Outcome::NoFace { "  (no face found)" } else { "" };
                writeln!(out, "{label:6}  {similarity:6.3}  {}{remark}", picture.name())?;
            }
        }
        if *unread > 0 {
            writeln!(out, "could not be read and is not counted: {unread} of {}", self.pictures.len())?;
            for (picture, why) in unreadable(self.pictures) {
                writeln!(out, "  {}: {why}", picture.name())?;
            }
        }
        writeln!(out, "page: `{}`", files.page.display())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::eval::likeness::compare::Record;

    fn picture(name: &str, outcome: Outcome) -> Picture {
        Picture { path: name.into(), outcome, record: Record::default() }
    }

    pub(crate) fn settings() -> Settings {
        Settings { photo: "me.jpg".to_owned(), pictures: "out".to_owned(), tau: 0.245, resamples: 1000, seed: 0 }
    }

    fn summary(pictures: &[Picture]) -> Result<Summary> {
        let recogniser = Recogniser { name: "facenet".to_owned(), because: "it is there".to_owned(), scale: None };
        let compared = Comparison { recogniser, pictures: pictures.to_vec() };
        Summary::new(&compared, settings(), Files::within(Path::new("out/eval")))
    }

    fn face(name: &str, id: f64) -> Picture {
        picture(name, Outcome::Face { id, score: 0.9, faces: 1 })
    }

    #[test]
    fn a_missing_face_counts_0_and_an_unreadable_picture_not() {
        let pictures = [
            face("a.png", 0.6),
            picture("b.png", Outcome::NoFace),
            picture("c.png", Outcome::Unreadable("it is cut short".to_owned())),
            face("d.png", 0.3),
        ];
        let summary = summary(&pictures).unwrap();
        assert_eq!((summary.id.n, summary.detect.n), (3, 3));
        assert!((summary.id.mean - 0.3).abs() < 1e-12 && (summary.detect.mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((summary.faces_missing, summary.unreadable), (1, 1));
        let table = summary.table(&pictures).to_string();
        for line in [
            "id         0.300   0.000   0.600      3\n",
            "id_found   0.450   0.300   0.600      2\n",
            "detect     0.667   0.000   1.000      3\n",
            "by facenet\nthis network because it is there\n",
            "no scale is known for the numbers of facenet\n",
            "no face found in 1 of 3: each counts 0\n",
            "best     0.600  a.png\n",
            "best     0.000  b.png  (no face found)\n",
            "could not be read and is not counted: 1 of 4\n  c.png: it is cut short\n",
        ] {
            assert!(table.contains(line), "no `{line}` in:\n{table}");
        }
        assert!(summary.prompt.is_none() && summary.id_p.is_none() && !table.contains("id_p"), "no prompt is known");
        assert!(!table.contains("worst"), "three pictures are all named already:\n{table}");
    }

    #[test]
    fn likeness_counts_where_the_prompt_is_followed() {
        let with = |mut picture: Picture, prompt| {
            picture.record.prompt = Some(prompt);
            picture
        };
        let pictures = [
            with(face("a.png", 0.6), 0.3),
            with(face("b.png", 0.8), 0.2),
            face("c.png", 0.9),
            with(picture("d.png", Outcome::NoFace), 0.31),
        ];
        let summary = summary(&pictures).unwrap();
        let (prompt, id_p) = (summary.prompt.unwrap(), summary.id_p.unwrap());
        assert_eq!((prompt.n, id_p.n), (3, 3), "one picture has no prompt");
        assert!((prompt.mean - 0.27).abs() < 1e-12 && (id_p.mean - 0.2).abs() < 1e-12, "{summary:?}");
        let table = summary.table(&pictures).to_string();
        assert!(table.contains("\nid_p: id where prompt is at least 0.245, else 0\n"), "{table}");
    }

    #[test]
    fn the_best_and_the_worst_are_named_once() {
        let pictures: Vec<_> =
            (1..=5_u32).map(|index| face(&format!("{index}.png"), f64::from(index) / 10.0)).collect();
        let table = summary(&pictures).unwrap().table(&pictures).to_string();
        let named: Vec<_> = table.lines().filter(|line| line.ends_with(".png")).collect();
        let expected = [
            "best     0.500  5.png",
            "best     0.400  4.png",
            "best     0.300  3.png",
            "worst    0.200  2.png",
            "worst    0.100  1.png",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn nothing_readable_is_an_error_that_says_why() {
        let error = summary(&[picture("c.png", Outcome::Unreadable("it is cut short".to_owned()))]).unwrap_err();
        assert_eq!(error.to_string(), "no picture could be read; the first: it is cut short");
    }

    #[test]
    fn the_fixed_keys_are_there() {
        let json = serde_json::to_value(summary(&[face("a.png", 0.5)]).unwrap()).unwrap();
        for figure in ["id", "detect"] {
            for key in ["mean", "low", "high", "n"] {
                assert!(json[figure][key].is_number(), "{figure}.{key}: {json}");
            }
        }
    }
}
