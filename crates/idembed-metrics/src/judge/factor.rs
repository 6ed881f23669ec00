//! The questions that a judge answers.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_weights::json;
use serde::{Deserialize, Serialize};

use crate::{MetricsError, Result};

/// A question about a picture, and the answers that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Short; names its head among the weights, too.
    pub name: String,
    /// The answers, its classes, each in a word or a few.
    pub classes: Vec<String>,
}

/// What a judge can be asked, in the order of its heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Factors(Vec<Factor>);

impl Factors {
    /// The name of the file beside a judge's weights.
    pub const FILE: &str = "factors.json";

    /// # Errors
    /// There is no factor, one has fewer than two classes, or two names or two classes of a factor are the same.
    pub fn new(factors: Vec<Factor>) -> Result<Self> {
        let refuse = |what: String| Err(MetricsError::Factors { what });
        if factors.is_empty() {
            return refuse("there is none".to_owned());
        }
        if let Some(name) = repeated(factors.iter().map(|factor| &factor.name)) {
            return refuse(format!("two are called `{name}`"));
        }
        for Factor { name, classes } in &factors {
            if classes.len() < 2 {
                return refuse(format!("`{name}` needs at least 2 classes, not {}", classes.len()));
            }
            if let Some(class) = repeated(classes) {
                return refuse(format!("`{name}` has the class `{class}` twice"));
            }
        }
        Ok(Factors(factors))
    }

    /// Reads `factors.json` in the folder of a judge.
    ///
    /// # Errors
    /// It cannot be read, is not JSON, or is refused by [`Factors::new`].
    pub fn read(folder: &Path) -> Result<Self> {
        Factors::new(json::read(&folder.join(Self::FILE))?)
    }

    /// Writes `factors.json` into the folder of a judge.
    ///
    /// # Errors
    /// What the system said; then there is no file, or the older one.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(json::write(&folder.join(Self::FILE), self)?)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Factor] {
        &self.0
    }

    /// Where a factor stands, by its name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|factor| factor.name == name)
    }

    /// Refuses wishes, classes by factor, of which nobody could say whether they were granted.
    ///
    /// # Errors
    /// A factor or a class that is not known; the error lists those that are.
    pub fn check(&self, wishes: &BTreeMap<String, String>) -> Result<()> {
        let unknown = |what, got: &str, known: Vec<&str>| {
            Err(MetricsError::UnknownWish { what, got: got.to_owned(), known: known.join(", ") })
        };
        for (name, class) in wishes {
            let Some(factor) = self.0.iter().find(|factor| factor.name == *name) else {
                return unknown("factor", name, self.0.iter().map(|factor| factor.name.as_str()).collect());
            };
            if !factor.classes.contains(class) {
                return unknown("class", class, factor.classes.iter().map(String::as_str).collect());
            }
        }
        Ok(())
    }
}

/// The first text that was there before.
fn repeated<'a>(texts: impl IntoIterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = std::collections::BTreeSet::new();
    texts.into_iter().find(|text| !seen.insert(*text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn factor(name: &str, classes: &[&str]) -> Factor {
        Factor { name: name.to_owned(), classes: classes.iter().map(|class| (*class).to_owned()).collect() }
    }

    fn wishes(name: &str, class: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), class.to_owned())].into()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let factors = Factors::new(vec![factor("scene", &["in space", "at the beach"])]).unwrap();
        factors.write(folder.path()).unwrap();
        assert_eq!(Factors::read(folder.path()).unwrap(), factors);
    }

    #[test]
    fn factors_that_make_no_sense_are_refused() {
        let twice = factor("hat", &["no", "yes"]);
        for (factors, expected) in [
            (vec![], "the judge's factors make no sense: there is none"),
            (vec![twice.clone(), twice], "the judge's factors make no sense: two are called `hat`"),
            (vec![factor("hat", &["no"])], "the judge's factors make no sense: `hat` needs at least 2 classes, not 1"),
            (vec![factor("hat", &["no", "no"])], "the judge's factors make no sense: `hat` has the class `no` twice"),
        ] {
            assert_eq!(Factors::new(factors).unwrap_err().to_string(), expected);
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Factors::read(folder.path()), Err(MetricsError::Weights(_))));
        for text in ["", "{}", r#"[{"name": "hat"}]"#, r#"[{"name": "hat", "classes": ["no", "yes"], "more": 1}]"#] {
            std::fs::write(folder.path().join(Factors::FILE), text).unwrap();
            assert!(matches!(Factors::read(folder.path()), Err(MetricsError::Weights(_))), "{text}");
        }
        std::fs::write(folder.path().join(Factors::FILE), "[]").unwrap();
        assert!(matches!(Factors::read(folder.path()), Err(MetricsError::Factors { .. })));
    }

    #[test]
    fn unknown_wishes_are_refused_with_what_is_known() {
        let factors = Factors::new(vec![factor("hat", &["no", "yes"]), factor("beard", &["none", "full"])]).unwrap();
        factors.check(&BTreeMap::new()).unwrap();
        factors.check(&wishes("beard", "full")).unwrap();
        let refused = |name, class| factors.check(&wishes(name, class)).unwrap_err().to_string();
        assert_eq!(refused("shoes", "no"), "the judge knows no factor `shoes`; it knows: hat, beard");
        assert_eq!(refused("hat", "full"), "the judge knows no class `full`; it knows: no, yes");
    }
}
