//! How the cosines, or the distances, of a network are to be read.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use idembed_files::IoError;
use serde::{Deserialize, Serialize};

use crate::{FaceError, FaceResult};

/// What the cosine of two embeddings of a network usually is for pictures of one person, and for pictures of two.
///
/// A rule of thumb: faces between both, or on the wrong side, are to be expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Two pictures of the same person are usually above this cosine.
    pub same_above: f64,
    /// Pictures of two people are usually below this cosine.
    pub strangers_below: f64,
    /// Where the numbers come from.
    pub source: String,
}

impl Scale {
    /// The name of the file beside a network's weights.
    pub const FILE: &str = "scale.json";
    /// How often is usually, of the scales that are measured.
    pub const USUALLY: f64 = 0.95;

    /// The scale in the folder of a network's weight file; none if nobody measured it.
    ///
    /// # Errors
    /// The file is there and is not a scale.
    pub fn beside(weights: &Path) -> FaceResult<Option<Scale>> {
        let path = weights.with_file_name(Self::FILE);
        match std::fs::read(&path) {
            Ok(content) => {
                serde_json::from_slice(&content).map(Some).map_err(|source| FaceError::Config { path, source })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(idembed_weights::Error::from(IoError::Read { path, source }).into()),
        }
    }

    /// The scale that pairs of one person and pairs of two people give: [`USUALLY`](Self::USUALLY) of the first are at
    /// least as alike as `same_above`, and as many of the second at most as `strangers_below`.
    ///
    /// NaN where there are no pairs.
    pub fn of_pairs(same: &[f32], strangers: &[f32], source: impl Into<String>) -> Scale {
        Scale {
            same_above: quantile(same, 1.0 - Self::USUALLY),
            strangers_below: quantile(strangers, Self::USUALLY),
            source: source.into(),
        }
    }
}

impl Display for Scale {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Scale { same_above, strangers_below, source } = self;
        write!(
            formatter,
            "same person usually above {same_above:.2}, strangers usually below {strangers_below:.2} ({source})"
        )
    }
}

/// What the distance of two embeddings of a network is for pictures of one person, for a network that was trained on it.
///
/// A rule of thumb, as [`Scale`] is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistanceScale {
    /// Two pictures of the same person are usually below this distance, pictures of two people above it.
    pub same_below: f64,
    /// Where the number comes from.
    pub source: String,
}

impl Display for DistanceScale {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let DistanceScale { same_below, source } = self;
        write!(formatter, "same person usually at a distance below {same_below:.2}, strangers above it ({source})")
    }
}

/// The value below which this share of the values lies; between two of them, on the line between them.
///
/// # Source
/// Hyndman and Fan 1996, definition 7, which NumPy and R take if nothing else is asked for.
fn quantile(values: &[f32], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    f64::from(below) + place.fract() * (f64::from(above) - f64::from(below))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn most_pairs_are_on_the_right_side() {
        // numpy.quantile([0.9, 0.1, 0.5, 0.7], 0.05) and numpy.quantile([-0.2, 0.3, 0.0], 0.95)
        let scale = Scale::of_pairs(&[0.9, 0.1, 0.5, 0.7], &[-0.2, 0.3, 0.0], "four pairs and three");
        assert!((scale.same_above - 0.16).abs() < 1e-7 && (scale.strangers_below - 0.27).abs() < 1e-7, "{scale:?}");
        assert_eq!(
            scale.to_string(),
            "same person usually above 0.16, strangers usually below 0.27 (four pairs and three)"
        );
        let one = Scale::of_pairs(&[0.5], &[], "");
        assert!(one.same_above == 0.5 && one.strangers_below.is_nan());
    }

    #[test]
    fn a_scale_lies_beside_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        assert_eq!(Scale::beside(&weights).unwrap(), None);
        let scale = Scale::of_pairs(&[0.5], &[0.25], "a test");
        let path = folder.path().join(Scale::FILE);
        std::fs::write(&path, serde_json::to_vec(&scale).unwrap()).unwrap();
        assert_eq!(Scale::beside(&weights).unwrap(), Some(scale));
        for content in
            ["", "{", r#"{"same_above": 0.5}"#, r#"{"same_above": "high", "strangers_below": 0, "source": ""}"#]
        {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(Scale::beside(&weights), Err(FaceError::Config { .. })), "{content}");
        }
    }
}
