//! How a picture is made.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// How a picture is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Style {
    Photo,
    Sketch,
    OilPainting,
    PopArt,
    BlackAndWhite,
    PixelArt,
}

impl Style {
    /// All styles.
    pub const ALL: [Style; 6] =
        [Style::Photo, Style::Sketch, Style::OilPainting, Style::PopArt, Style::BlackAndWhite, Style::PixelArt];

    /// 65 % photos, 7 % of each other style.
    pub(crate) fn draw(chance: &mut Chance) -> Style {
        chance.weigh([
            (Style::Photo, 65.0),
            (Style::Sketch, 7.0),
            (Style::OilPainting, 7.0),
            (Style::PopArt, 7.0),
            (Style::BlackAndWhite, 7.0),
            (Style::PixelArt, 7.0),
        ])
    }

    /// The words a caption uses, before "of".
    pub fn phrase(self) -> &'static str {
        match self {
            Style::Photo => "a photo",
            Style::Sketch => "a sketch",
            Style::OilPainting => "an oil painting",
            Style::PopArt => "a pop art picture",
            Style::BlackAndWhite => "a black and white photo",
            Style::PixelArt => "a pixel art picture",
        }
    }
}
