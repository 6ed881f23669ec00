//! Which vectors stand for an identity, and how they are made.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::start::Start;
use crate::{Result, TokensError};

/// Which vectors stand for an identity, and how they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenOptions {
    /// What makes the vectors.
    pub rows: Rows,
    /// Number of stages.
    pub stages: usize,
    /// The stages that are learned; all if `None`. Timesteps of other stages are not trained on: in noisier ones the class
    /// word is drawn, in cleaner ones what the last learned stage has.
    pub learned_stages: Option<StageRange>,
    /// Whether each cross-attention layer has vectors of its own.
    pub per_layer: bool,
    /// Learned tokens that the identity takes in a prompt.
    pub words: usize,
    /// Whether the class word stands behind them.
    pub class_follows: bool,
    /// Whether keys and values have vectors of their own.
    pub split_kv: bool,
    /// Where the vectors start.
    pub start: Start,
    /// Keeps every vector as long as the class word's.
    pub fixed_norm: bool,
}

/// What makes an identity's vectors.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString, strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
#[non_exhaustive]
pub enum Rows {
    /// Each vector is trained directly.
    Vectors,
    /// A token module makes all of them ([`crate::TokenModule`]).
    Module,
    /// Coefficients of the principal components of the names that the model knows.
    Basis,
    /// They stay what they are at the start.
    Fixed,
}

/// A range of stages, counted from 1, the noisiest; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageRange {
    /// The noisiest.
    pub first: usize,
    /// The cleanest.
    pub last: usize,
}

impl fmt::Display for StageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for StageRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(StageRange { first, last }),
            _ => Err(format!("`{text}` is no range of stages, such as 2-3")),
        }
    }
}

impl TryFrom<String> for StageRange {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<StageRange> for String {
    fn from(range: StageRange) -> String {
        range.to_string()
    }
}

impl TokenOptions {
    /// The learned stages, from 0.
    pub fn learned(&self) -> Range<usize> {
        self.learned_stages.map_or(0..self.stages, |range| range.first.saturating_sub(1)..range.last)
    }

    /// How the rows are arranged for a model with so many cross-attention layers.
    pub fn layout(&self, layers: usize) -> Layout {
        Layout {
            stages: self.stages,
            layers: if self.per_layer { layers } else { 1 },
            words: self.words + usize::from(self.class_follows),
            class_follows: self.class_follows,
            split_kv: self.split_kv,
            learned: self.learned(),
        }
    }

    /// Whether names that the model knows are needed.
    pub fn needs_names(&self) -> bool {
        self.start.is_of_names() || self.rows == Rows::Basis
    }

    /// Checks what no model is needed for.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let range = self.learned_stages.map_or("all".to_owned(), |range| range.to_string());
        let words = self.words.to_string();
        let checks = [
            (self.stages >= 1, "stages", self.stages.to_string(), "1 or more"),
            (self.learned().start < self.learned().end, "learned stages", range.clone(), "a range that is not empty"),
            (self.learned().end <= self.stages, "learned stages", range, "within the number of stages"),
            (1 <= self.words && self.words <= 8, "words", words.clone(), "1 to 8"),
            (self.words == 1 || self.rows != Rows::Module, "words", words.clone(), "1 for a token module"),
            (!self.needs_names() || self.words <= 2, "words", words, "1 or 2 where names are needed"),
        ];
        match checks.into_iter().find(|(allowed, ..)| !allowed) {
            Some((_, what, got, expected)) => Err(TokensError::Setting { what, got, expected: expected.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::Method;

    #[test]
    fn ranges_are_read_back() {
        let range: StageRange = "2-3".parse().unwrap();
        assert_eq!((range.to_string(), "4".parse()), ("2-3".to_owned(), Ok(StageRange { first: 4, last: 4 })));
        for wrong in ["", "0-2", "3-2", "a-b", "1-2-3", "-1"] {
            assert!(wrong.parse::<StageRange>().is_err(), "{wrong}");
        }
        assert_eq!(serde_json::to_value(range).unwrap(), "2-3");
    }

    #[test]
    fn mistakes_are_named() {
        let good = Method::PersonaMagic.spec().tokens;
        assert_eq!(good.layout(7), Layout { learned: 1..3, ..Layout::staged(5, true) });
        assert_eq!(TokenOptions { per_layer: true, ..good }.layout(7).layers, 7);
        good.check().unwrap();
        let refused = |options: TokenOptions| options.check().unwrap_err().to_string();
        assert!(refused(TokenOptions { stages: 2, ..good }).contains("learned stages is 2-3, expected within"));
        assert!(refused(TokenOptions { words: 2, ..good }).contains("1 for a token module"));
        assert!(refused(TokenOptions { words: 0, ..good }).contains("1 to 8"));
        assert!(refused(TokenOptions { rows: Rows::Vectors, words: 3, start: Start::Names, ..good }).contains("names"));
        assert!(refused(TokenOptions { rows: Rows::Basis, words: 3, ..good }).contains("names"));
        let none = TokenOptions { learned_stages: Some(StageRange { first: 0, last: 0 }), ..good };
        assert!(refused(none).contains("a range that is not empty"));
    }
}
