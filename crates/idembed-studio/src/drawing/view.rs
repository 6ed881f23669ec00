//! Parts of a picture that are drawn by themselves, and what steers them there.

use idembed_diffusion::Area;
use idembed_diffusion::conditioning::Conditioning;
use idembed_face::CropRect;
use image::RgbImage;
use tch::Tensor;

use crate::error::Result;
use crate::size::Size;

/// A part of a picture.
pub(super) struct View {
    /// The picture's size.
    pub(super) whole: Size,
    /// The part.
    pub(super) part: CropRect,
}

impl View {
    /// All of a picture.
    pub(super) fn whole(picture: &RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        View { whole: Size { width, height }, part: CropRect { x: 0, y: 0, width, height } }
    }

    /// It in `[1, channels, height, width]` of the whole picture.
    pub(super) fn of(&self, picture: &Tensor) -> Result<Tensor> {
        let CropRect { x, y, width, height } = self.part;
        let rows = picture.f_narrow(2, i64::from(y), i64::from(height))?;
        Ok(rows.f_narrow(3, i64::from(x), i64::from(width))?)
    }

    /// A text whose regions lie in the whole picture, for this part.
    pub(super) fn regions_of(&self, prompt: &Conditioning) -> Result<Conditioning> {
        let CropRect { x, y, width, height } = self.part;
        let [x, width] = [x, width].map(|pixels| f64::from(pixels) / f64::from(self.whole.width));
        let [y, height] = [y, height].map(|pixels| f64::from(pixels) / f64::from(self.whole.height));
        let part = Area::new(x, y, width, height)?;
        let regions = prompt.regions().iter().filter_map(|(area, text)| Some((area.seen_in(&part)?, text.clone())));
        Ok(prompt.clone().with_regions(regions.collect()))
    }
}
