//! The scores that are known by name: what they are called in tables, which way is better, how they are written.
//!
//! Everything that shows scores goes over this table; a score that is not in it is shown by its name.

/// Which way a score is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better.
    Up,
    /// Less is better.
    Down,
    /// It only describes.
    Neither,
}

/// A score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name in the files.
    pub(crate) name: &'static str,
    /// Its name for people.
    pub(crate) label: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// Whether it belongs into the short table.
    pub(crate) short: bool,
    /// Whether it is a likeness, which true pairs and strangers have too.
    pub(crate) likeness: bool,
}

use Better::{Down, Neither, Up};

/// The scores, in the order of the tables.
const COLUMNS: [Column; 20] = [
    likeness("id", "ID", "cosine of the face to the photo learned from; no face counts 0", true),
    likeness("id_found", "ID found", "the same over pictures with a face alone", true),
    likeness("id_others", "ID others", "mean cosine to other pictures of the person; no face counts 0", true),
    of("id_p", "ID(P)", "ID where the prompt was followed, else 0", Up, true),
    of("id_others_p", "ID others(P)", "ID others where the prompt was followed, else 0", Up, true),
    of("prompt", "Prompt", "CLIP cosine of picture and prompt, with the class word for the person", Up, true),
    of("prompt_deleted", "Prompt deleted", "the same with the person's word deleted", Up, false),
    of("wishes", "Wishes", "share of the prompt's wishes that the judge sees", Up, true),
    of("followed", "Followed", "share of pictures whose prompt was followed", Up, false),
    of("detect", "Detect", "share of pictures with a face", Up, true),
    Column { digits: 2, ..of("faces", "Faces", "faces in a picture", Neither, false) },
    of("copy", "Copy", "ID less ID others, where a face was found: pasting the photo back", Down, true),
    of("whole", "Whole", "CLIP cosine of the whole picture and the photo", Neither, false),
    of(
        "background",
        "Background",
        "the same with the faces masked out: the photo's background learned too",
        Down,
        false,
    ),
    of("framed", "Framed", "how much it looks like a photo in a border", Down, false),
    of("leakage", "Leakage", "share of the person's attention outside the drawn face", Down, false),
    of("diversity", "Diversity", "how much the faces of one prompt differ between seeds", Up, false),
    of("mix_up", "Mix-up", "two people: share of faces that are more like the other one", Down, false),
    of("both", "Both", "two people: share of pictures with both", Up, false),
    of("duplicates", "Duplicates", "two people: share of pictures with the same one twice", Down, false),
];

/// What says how good a picture or a step of learning is, all in all: the first of these that was scored.
pub(crate) const DECIDING: [&str; 4] = ["id_others_p", "id_p", "id_others", "id"];

const fn of(name: &'static str, label: &'static str, what: &'static str, better: Better, short: bool) -> Column {
    Column { name, label, what, better, digits: 3, short, likeness: false }
}

const fn likeness(name: &'static str, label: &'static str, what: &'static str, short: bool) -> Column {
    Column { likeness: true, ..of(name, label, what, Up, short) }
}

/// A score by its name in the files, which may name a further network after an `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Score<'a> {
    /// The whole name.
    pub(crate) name: &'a str,
    /// What is known of it.
    column: Option<&'static Column>,
    /// The network, where it is not the main one.
    network: Option<&'a str>,
}

impl<'a> Score<'a> {
    /// The score called `name`.
    pub(crate) fn named(name: &'a str) -> Self {
        let (base, network) = name.split_once('@').map_or((name, None), |(base, network)| (base, Some(network)));
        Self { name, column: COLUMNS.iter().find(|column| column.name == base), network }
    }

    /// Its name for people.
    pub(crate) fn label(&self) -> String {
        match (self.column, self.network) {
            (Some(column), Some(network)) => format!("{} by {network}", column.label),
            (Some(column), None) => column.label.to_owned(),
            (None, _) => self.name.to_owned(),
        }
    }

    /// What it is; nothing where that is not known.
    pub(crate) fn what(&self) -> &'static str {
        self.column.map_or("", |column| column.what)
    }

    /// Which way is better.
    pub(crate) fn better(&self) -> Better {
        self.column.map_or(Neither, |column| column.better)
    }

    /// Whether it belongs into the short table.
    pub(crate) fn is_short(&self) -> bool {
        self.network.is_none() && self.column.is_some_and(|column| column.short)
    }

    /// Whether what true pairs and strangers reach can stand beside it: a likeness by the main recogniser.
    pub(crate) fn has_references(&self) -> bool {
        self.network.is_none() && self.column.is_some_and(|column| column.likeness)
    }

    /// A value of it.
    pub(crate) fn show(&self, value: f64) -> String {
        let text = format!("{value:.*}", self.column.map_or(3, |column| column.digits));
        // A rounded nothing has no sign.
        if text.strip_prefix('-').is_some_and(|rest| rest.chars().all(|c| matches!(c, '0' | '.'))) {
            return text[1..].to_owned();
        }
        text
    }

    /// Where it stands in the tables: further networks after the main one, unknown scores last.
    fn place(&self) -> (usize, Option<&'a str>, &'a str) {
        let row = self.column.and_then(|column| COLUMNS.iter().position(|other| other.name == column.name));
        (row.unwrap_or(COLUMNS.len()), self.network, self.name)
    }
}

/// The scores of these names, each once, in the order of the tables.
pub(crate) fn ordered<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Score<'a>> {
    let mut scores: Vec<Score<'_>> = names.into_iter().map(Score::named).collect();
    scores.sort_by(|a, b| a.place().cmp(&b.place()));
    scores.dedup();
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_stand_in_the_order_of_the_table_and_unknown_ones_last() {
        let names = ["zeal", "prompt", "id@facenet", "id_others", "id", "id@adaface", "prompt", "copy"];
        let ordered: Vec<_> = ordered(names).into_iter().map(|score| score.name).collect();
        assert_eq!(ordered, ["id", "id@adaface", "id@facenet", "id_others", "prompt", "copy", "zeal"]);
    }

    #[test]
    fn a_further_network_is_named_and_has_no_references() {
        let further = Score::named("id_others@facenet");
        assert_eq!((further.label().as_str(), further.better()), ("ID others by facenet", Up));
        assert!(!further.has_references() && !further.is_short() && Score::named("id").has_references());
        let unknown = Score::named("zeal@x");
        assert_eq!((unknown.label().as_str(), unknown.what(), unknown.better()), ("zeal@x", "", Neither));
    }

    #[test]
    fn values_are_written_with_their_digits_and_nothing_has_no_sign() {
        assert_eq!([0.12345, -0.5, -0.0001].map(|value| Score::named("id").show(value)), ["0.123", "-0.500", "0.000"]);
        assert_eq!(Score::named("faces").show(1.0), "1.00");
    }

    #[test]
    fn no_name_is_there_twice() {
        for (index, column) in COLUMNS.iter().enumerate() {
            assert!(COLUMNS[..index].iter().all(|other| other.name != column.name && other.label != column.label));
        }
    }
}
