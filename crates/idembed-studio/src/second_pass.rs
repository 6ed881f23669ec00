//! Larger pictures: what was drawn is enlarged, and drawn a little more at its new size ("hires fix").

use std::fmt;
use std::str::FromStr;

use idembed_diffusion::FromPicture;
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::{Deserialize, Serialize};

use crate::size::{Size, UNIT};

/// The largest factor: beyond it a low strength cannot fill the picture with detail.
const LARGEST: f64 = 4.0;
/// As other programs have it.
const USUAL_STRENGTH: f64 = 0.5;

/// How a drawn picture is enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Enlargement {
    /// How many times longer its sides become.
    pub factor: f64,
    /// The share of the steps that is taken at the new size, 0 to 1.
    pub strength: f64,
    /// Whether it is drawn in overlapping parts of the size that the model likes, instead of at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tiled: bool,
}

impl Enlargement {
    /// The size of the enlarged picture: whole latents, nearest to the factor.
    pub(crate) fn size(self, drawn: Size) -> Size {
        let enlarged = |side: u32| {
            let units = (f64::from(side) * self.factor / f64::from(UNIT)).round() as u32;
            units.max(1) * UNIT
        };
        Size { width: enlarged(drawn.width), height: enlarged(drawn.height) }
    }

    /// What the second pass begins at.
    pub(crate) fn start(self, picture: &RgbImage) -> FromPicture {
        let Size { width, height } = self.size(Size { width: picture.width(), height: picture.height() });
        let picture = imageops::resize(picture, width, height, FilterType::Lanczos3);
        FromPicture { picture, strength: self.strength, mask: None }
    }
}

impl fmt::Display for Enlargement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.factor, self.strength)
    }
}

impl FromStr for Enlargement {
    type Err = String;

    /// Reads `1.5` or `1.5:0.4`.
    fn from_str(text: &str) -> Result<Enlargement, String> {
        let (factor, strength) =
            text.split_once(':').map_or((text, None), |(factor, strength)| (factor, Some(strength)));
        let number = |text: &str| text.parse::<f64>().ok();
        let factor = number(factor).filter(|factor| *factor > 1.0 && *factor <= LARGEST);
        let strength = strength.map_or(Some(USUAL_STRENGTH), number).filter(|s| *s > 0.0 && *s <= 1.0);
        match (factor, strength) {
            (Some(factor), Some(strength)) => Ok(Enlargement { factor, strength, tiled: false }),
            _ => Err(format!(
                "expected FACTOR or FACTOR:STRENGTH, such as 1.5 or 2:0.4; the factor above 1 and up to {LARGEST}, the strength \
                 above 0 and up to 1"
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn enlargements_are_read() {
        let read = |text: &str| text.parse::<Enlargement>();
        assert_eq!(read("1.5"), Ok(Enlargement { factor: 1.5, strength: 0.5, tiled: false }));
        assert_eq!(read("2:0.4").unwrap().to_string(), "2:0.4");
        for text in ["", "1", "0.5", "5", "2:", "2:0", "2:1.1", "nan", "2:nan", "2:0.5:1", "inf"] {
            assert!(read(text).unwrap_err().contains("such as 1.5"), "{text}");
        }
    }

    #[test]
    fn sizes_are_whole_latents() {
        let by = |factor, strength| Enlargement { factor, strength, tiled: false };
        let size = |factor, text: &str| by(factor, 0.5).size(text.parse().unwrap()).to_string();
        assert_eq!(size(1.5, "512x768"), "768x1152");
        assert_eq!(size(1.3, "72x104"), "96x136");
        let start = by(1.3, 0.25).start(&RgbImage::new(72, 104));
        assert_eq!((start.picture.dimensions(), start.strength, start.mask), ((96, 136), 0.25, None));
    }
}
