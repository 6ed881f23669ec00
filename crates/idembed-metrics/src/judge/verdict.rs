//! What a judge says about one picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Factors;

/// The answers on one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub(super) factors: Arc<Factors>,
    /// For each factor, the probability of each class.
    pub(super) probabilities: Vec<Vec<f32>>,
}

impl Verdict {
    /// How likely each class of a factor is; they sum to 1. `None` for a factor that the judge does not know.
    pub fn probabilities(&self, factor: &str) -> Option<&[f32]> {
        self.factors.position(factor).map(|place| self.probabilities[place].as_slice())
    }

    /// The number of the most likely class of a factor.
    pub fn class_index(&self, factor: &str) -> Option<usize> {
        self.factors.position(factor).map(|place| largest(&self.probabilities[place]))
    }

    /// The most likely class of a factor, in words.
    pub fn class(&self, factor: &str) -> Option<&str> {
        let place = self.factors.position(factor)?;
        Some(&self.factors.as_slice()[place].classes[largest(&self.probabilities[place])])
    }

    /// The most likely class of every factor, in words.
    pub fn seen(&self) -> BTreeMap<String, String> {
        let seen = self.factors.as_slice().iter().zip(&self.probabilities);
        seen.map(|(factor, probabilities)| (factor.name.clone(), factor.classes[largest(probabilities)].clone()))
            .collect()
    }

    /// The share of the wishes, classes by factor, that the judge sees granted; `None` where there are none.
    pub fn granted(&self, wishes: &BTreeMap<String, String>) -> Option<f64> {
        let granted = wishes.iter().filter(|(factor, class)| self.class(factor) == Some(class)).count();
        (!wishes.is_empty()).then(|| granted as f64 / wishes.len() as f64)
    }
}

fn largest(probabilities: &[f32]) -> usize {
    probabilities.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(class, _)| class)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::judge::Factor;

    fn verdict() -> Verdict {
        let factor = |name: &str, classes: [&str; 3]| Factor {
            name: name.to_owned(),
            classes: classes.map(str::to_owned).to_vec(),
        };
        let factors = vec![factor("scene", ["beach", "forest", "space"]), factor("hat", ["none", "hat", "cap"])];
        Verdict {
            factors: Arc::new(Factors::new(factors).unwrap()),
            probabilities: vec![vec![0.25, 0.625, 0.125], vec![0.5, 0.125, 0.375]],
        }
    }

    fn wishes(wishes: &[(&str, &str)]) -> BTreeMap<String, String> {
        wishes.iter().map(|(factor, class)| ((*factor).to_owned(), (*class).to_owned())).collect()
    }

    #[test]
    fn the_most_likely_class_is_seen() {
        let verdict = verdict();
        assert_eq!((verdict.class("scene"), verdict.class_index("scene")), (Some("forest"), Some(1)));
        assert_eq!(verdict.probabilities("hat"), Some(&[0.5, 0.125, 0.375][..]));
        assert_eq!(verdict.seen(), wishes(&[("scene", "forest"), ("hat", "none")]));
        assert_eq!((verdict.class("beard"), verdict.class_index("beard")), (None, None));
        assert_eq!(verdict.probabilities("beard"), None);
    }

    #[test]
    fn wishes_are_counted() {
        let granted = |list: &[(&str, &str)]| verdict().granted(&wishes(list));
        assert_eq!(granted(&[]), None);
        assert_eq!(granted(&[("scene", "forest")]), Some(1.0));
        assert_eq!(granted(&[("scene", "forest"), ("hat", "cap")]), Some(0.5));
        assert_eq!(granted(&[("scene", "space"), ("beard", "full")]), Some(0.0));
    }
}
