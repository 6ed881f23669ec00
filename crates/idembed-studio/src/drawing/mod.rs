//! Drawing pictures: the checked wish, and what comes of it.

mod apart;
mod detailing;
mod look;
mod passes;
mod plan;
mod view;
mod warning;
mod watching;
mod wish;

use std::path::Path;

use idembed_attention::AttentionMaps;
use image::RgbImage;

use crate::error::Result;
use crate::picture_file::{self, PictureRecord};

pub use apart::RegionWish;
pub(crate) use passes::{draw, draw_each, forecast, watch};
pub use plan::Drawing;
pub use warning::DrawWarning;
pub use wish::{Draw, DrawSettings, NamedIdentity};

/// A picture with the record of how it was made.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The picture.
    pub picture: RgbImage,
    /// Everything needed to make it again.
    pub record: PictureRecord,
}

impl Drawn {
    /// Writes a PNG file that holds the record, whole or not at all.
    ///
    /// # Errors
    /// What the system said.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        picture_file::write(path.as_ref(), &self.picture, Some(&self.record))
    }
}

/// Which words to watch while pictures are drawn.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Words, phrases or placeholders of the prompt.
    pub words: Vec<String>,
    /// Stages to divide the drawing into.
    pub stages: usize,
}

/// A picture, and where in it each watched word acted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Watched {
    /// The picture.
    pub drawn: Drawn,
    /// The maps of the words.
    pub maps: AttentionMaps,
}
