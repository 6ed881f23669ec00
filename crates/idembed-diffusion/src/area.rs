//! Parts of a picture, and how much of a feature map's pixels lies in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// A rectangle in a picture of any size, in shares of its width and height from the upper left corner. As text `0,0.1,0.5,0.9`:
/// left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 4]", into = "[f64; 4]")]
pub struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Area {
    /// # Errors
    /// It is empty, or not inside the picture.
    pub fn new(left: f64, top: f64, width: f64, height: f64) -> Result<Self> {
        // Shares such as 0.7 and 0.3 may add up to a little more than 1.
        let inside = |from: f64, length: f64| from >= 0.0 && length > 0.0 && from + length <= 1.0 + 1e-9;
        if inside(left, width) && inside(top, height) {
            return Ok(Area { left, top, width, height });
        }
        Err(refused(&format!("{left},{top},{width},{height}")))
    }

    /// The share of a box, of its left, top, right and bottom, that lies in it; 0 of an empty box.
    pub fn share_of(&self, [left, top, right, bottom]: [f64; 4]) -> f64 {
        let inside = |low: f64, high: f64, from: f64, length: f64| {
            if high > low { (high.min(from + length) - low.max(from)).max(0.0) / (high - low) } else { 0.0 }
        };
        inside(left, right, self.left, self.width) * inside(top, bottom, self.top, self.height)
    }

    /// What of it lies in another part of the picture, in shares of that part; none if they do not meet.
    pub fn seen_in(&self, part: &Area) -> Option<Area> {
        let along = |from: f64, length: f64, part_from: f64, part_length: f64| {
            let at = |place: f64| ((place - part_from) / part_length).clamp(0.0, 1.0);
            let (low, high) = (at(from), at(from + length));
            (high > low).then_some((low, high - low))
        };
        let (left, width) = along(self.left, self.width, part.left, part.width)?;
        let (top, height) = along(self.top, self.height, part.top, part.height)?;
        Some(Area { left, top, width, height })
    }

    /// How much of each pixel of a feature map lies in it, from 0 to 1.
    ///
    /// # Shapes
    /// - returns: `[height * width]`, f32 on the CPU
    fn coverage(&self, height: i64, width: i64) -> Result<Tensor> {
        let along = |from: f64, length: f64, pixels: i64| -> Result<Tensor> {
            let covered = (0..pixels).map(|pixel| {
                let (low, high) = (pixel as f64 / pixels as f64, (pixel + 1) as f64 / pixels as f64);
                ((high.min(from + length) - low.max(from)).max(0.0) * pixels as f64).min(1.0) as f32
            });
            Ok(Tensor::f_from_slice(&covered.collect::<Vec<f32>>())?)
        };
        let rows = along(self.top, self.height, height)?.f_unsqueeze(1)?;
        let columns = along(self.left, self.width, width)?.f_unsqueeze(0)?;
        Ok(rows.f_mul(&columns)?.f_view([-1])?)
    }
}

/// How much each of some areas counts at the pixels of a feature map: its share of the pixel, and where areas overlap, their part of
/// the whole. What is left to 1 is the rest of the picture's.
///
/// # Shapes
/// - returns: `[areas, height * width]`, f32 on the CPU; columns sum to at most 1
pub(crate) fn shares<'a>(areas: impl Iterator<Item = &'a Area>, height: i64, width: i64) -> Result<Tensor> {
    let covered = areas.map(|area| area.coverage(height, width)).collect::<Result<Vec<_>>>()?;
    let covered = Tensor::f_stack(&covered, 0)?;
    let sum = covered.f_sum_dim_intlist(0i64, true, Kind::Float)?.f_clamp_min(1.0)?;
    Ok(covered.f_div(&sum)?)
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.width, self.height)
    }
}

impl FromStr for Area {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[left, top, width, height]) => Area::new(left, top, width, height),
            _ => Err(refused(text)),
        }
    }
}

impl TryFrom<[f64; 4]> for Area {
    type Error = Error;

    fn try_from([left, top, width, height]: [f64; 4]) -> Result<Self> {
        Area::new(left, top, width, height)
    }
}

impl From<Area> for [f64; 4] {
    fn from(area: Area) -> Self {
        [area.left, area.top, area.width, area.height]
    }
}

fn refused(got: &str) -> Error {
    Error::Setting(format!(
        "the region `{got}` is none; expected X,Y,W,H in shares of the picture, such as 0,0,0.5,1 for its left half"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn shares_of(areas: &[&str], height: i64, width: i64) -> Vec<f32> {
        let areas: Vec<Area> = areas.iter().map(|text| text.parse().unwrap()).collect();
        Vec::try_from(shares(areas.iter(), height, width).unwrap().flatten(0, -1)).unwrap()
    }

    #[test]
    fn pixels_are_covered_by_their_shares() {
        assert_eq!(shares_of(&["0,0,0.5,1"], 1, 4), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(shares_of(&["0,0,0.5,1"], 1, 3), [1.0, 0.5, 0.0]);
        // A quarter of each pixel, in a 2 x 1 map.
        assert_eq!(shares_of(&["0.25,0.25,0.5,0.5"], 2, 1), [0.25, 0.25]);
        // Where both lie, each has half; a pixel that one covers by half leaves the rest.
        assert_eq!(shares_of(&["0,0,0.5,1", "0.25,0,0.75,1"], 1, 4), [1.0, 0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_box_lies_in_it_by_a_share() {
        let half: Area = "0,0,0.5,1".parse().unwrap();
        let shares = [[0.0, 0.0, 0.5, 0.5], [0.25, 0.5, 0.75, 1.0], [0.6, 0.0, 1.0, 1.0], [0.2, 0.2, 0.2, 0.4]];
        assert_eq!(shares.map(|bounds| half.share_of(bounds)), [1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn it_is_seen_in_a_part() {
        let area = |text: &str| text.parse::<Area>().unwrap();
        let seen = |own: &str, part: &str| area(own).seen_in(&area(part)).map(|area| area.to_string());
        assert_eq!(seen("0,0,0.5,1", "0.25,0,0.5,0.5").as_deref(), Some("0,0,0.5,1"));
        assert_eq!(seen("0.5,0.5,0.25,0.25", "0.5,0.25,0.5,0.5").as_deref(), Some("0,0.5,0.5,0.5"));
        assert_eq!(seen("0,0,1,1", "0.5,0.25,0.5,0.5").as_deref(), Some("0,0,1,1"));
        assert_eq!(seen("0,0,0.5,1", "0.5,0,0.5,1"), None);
    }

    #[test]
    fn areas_are_read_and_shown() {
        for text in ["0,0,0.5,1", "0.7,0.1,0.3,0.9"] {
            let area: Area = text.parse().unwrap();
            assert_eq!(area.to_string(), text);
            assert_eq!(serde_json::from_str::<Area>(&serde_json::to_string(&area).unwrap()).unwrap(), area);
        }
        for text in
            ["", "0,0,1", "0,0,1,1,1", "a,0,1,1", "0,0,0,1", "-0.1,0,1,1", "0.6,0,0.5,1", "nan,0,1,1", "0,0,64,64"]
        {
            let error = text.parse::<Area>().unwrap_err().to_string();
            assert!(error.contains("expected X,Y,W,H in shares of the picture"), "{text}: {error}");
        }
        assert!(serde_json::from_str::<Area>("[0, 0, 2, 1]").is_err());
    }
}
