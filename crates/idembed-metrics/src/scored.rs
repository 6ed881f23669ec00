//! What is known of a picture once it is scored.

use std::collections::BTreeMap;

use image::GrayImage;

use crate::{MetricsError, Result};

/// Numbers by their names; one that does not exist for a picture is left out.
pub type Scores = BTreeMap<String, f64>;

/// A picture's scores.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The numbers.
    pub scores: Scores,
    /// What the judge sees, class by factor; empty without a judge, and for two people.
    pub seen: BTreeMap<String, String>,
    /// Of each person asked for, the head in the picture, white inside; `None` where no face was found.
    pub heads: Vec<Option<GrayImage>>,
}

impl Scored {
    /// Adds what follows from several scores.
    ///
    /// - `followed`: with a judge, 1 if it sees all wishes granted, and left out where there are none; else 1 if `prompt` is at
    ///   least `tau`
    /// - `id_p`, `id_others_p`: `id` and `id_others` where the prompt was followed, else 0
    ///
    /// # Errors
    /// A score is not finite.
    pub(crate) fn finish(mut self, judged: bool, tau: f64) -> Result<Self> {
        let get = |name: &str| self.scores.get(name).copied();
        let followed =
            if judged { get("wishes").map(|share| share == 1.0) } else { get("prompt").map(|fit| fit >= tau) };
        let followed = followed.map(|followed| f64::from(u8::from(followed)));
        let both = |score: &str| Some(get(score)? * followed?);
        let (id_p, id_others_p) = (both("id"), both("id_others"));
        put(&mut self.scores, "followed", followed);
        put(&mut self.scores, "id_p", id_p);
        put(&mut self.scores, "id_others_p", id_others_p);
        match self.scores.iter().find(|(_, value)| !value.is_finite()) {
            Some((score, _)) => Err(MetricsError::NotFinite { score: score.clone() }),
            None => Ok(self),
        }
    }
}

/// Adds a score, if it exists.
pub(crate) fn put(scores: &mut Scores, name: impl Into<String>, value: Option<f64>) {
    scores.extend(value.map(|value| (name.into(), value)));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn finished(scores: &[(&str, f64)], judged: bool) -> Result<Vec<(String, f64)>> {
        let scores = scores.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let scored = Scored { scores, seen: BTreeMap::new(), heads: vec![] }.finish(judged, 0.25)?;
        let added = ["followed", "id_others_p", "id_p"];
        Ok(scored.scores.into_iter().filter(|(name, _)| added.contains(&name.as_str())).collect())
    }

    fn named(scores: &[(&str, f64)]) -> Vec<(String, f64)> {
        scores.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_judge_decides_by_wishes_and_clip_by_tau() {
        let scores = |prompt, wishes| [("id", 0.5), ("id_others", 0.25), ("prompt", prompt), ("wishes", wishes)];
        let yes = named(&[("followed", 1.0), ("id_others_p", 0.25), ("id_p", 0.5)]);
        let no = named(&[("followed", 0.0), ("id_others_p", 0.0), ("id_p", 0.0)]);
        assert_eq!(finished(&scores(0.1, 1.0), true).unwrap(), yes);
        assert_eq!(finished(&scores(0.9, 0.5), true).unwrap(), no);
        assert_eq!(finished(&scores(0.25, 0.0), false).unwrap(), yes);
        assert_eq!(finished(&scores(0.24, 1.0), false).unwrap(), no);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(finished(&[("id", 0.5), ("prompt", 0.9)], true).unwrap(), []);
        assert_eq!(
            finished(&[("id", 0.5), ("prompt", 0.9)], false).unwrap(),
            named(&[("followed", 1.0), ("id_p", 0.5)])
        );
    }

    #[test]
    fn no_score_is_not_a_number() {
        for value in [f64::NAN, f64::INFINITY] {
            let error = finished(&[("copy", value), ("id", 1.0)], false).unwrap_err();
            assert_eq!(error.to_string(), "the score `copy` is not finite");
        }
    }
}
