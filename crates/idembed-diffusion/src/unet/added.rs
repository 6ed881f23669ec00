//! What SDXL's U-Net is told of a picture beside its text (arXiv 2307.01952, section 2.2).

use idembed_weights::{Compute, Scope};
use tch::Tensor;

use super::config::{AddedConfig, UNetConfig};
use super::time_embedding::{EmbeddingLayers, Sinusoids};
use crate::{Error, Result};

/// How many numbers there are: three pairs.
pub(super) const NUMBERS: i64 = 6;

/// Of what size a picture is, and what part of another one. In pixels, heights and tops first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSizes {
    /// Height and width before the picture was cut and scaled; small ones were small, blurred pictures in training.
    pub original: [i64; 2],
    /// How much was cut off above and on the left.
    pub crop: [i64; 2],
    /// Height and width of the picture.
    pub target: [i64; 2],
}

impl PictureSizes {
    /// A whole picture of this size, of which nothing was cut off.
    pub fn whole(height: i64, width: i64) -> Self {
        PictureSizes { original: [height, width], crop: [0, 0], target: [height, width] }
    }
}

/// The pooled text state and sinusoids of all numbers, then two linear layers.
#[derive(Debug)]
pub(crate) struct AddedEmbedding {
    config: AddedConfig,
    sinusoids: Sinusoids,
    layers: EmbeddingLayers,
    compute: Compute,
}

impl AddedEmbedding {
    pub(crate) fn load(root: &Scope<'_>, config: &UNetConfig, added: &AddedConfig, compute: Compute) -> Result<Self> {
        let inputs = added.pooled_width + NUMBERS * added.number_width;
        Ok(AddedEmbedding {
            config: added.clone(),
            sinusoids: Sinusoids::new(config, added.number_width),
            layers: EmbeddingLayers::load(&(root / "add_embedding"), inputs, config.time_width())?,
            compute,
        })
    }

    /// # Shapes
    /// - `pooled`: `[batch, pooled_width]`
    /// - returns: `[batch, time_width]`
    pub(crate) fn forward(&self, pooled: Option<&Tensor>, sizes: PictureSizes) -> Result<Tensor> {
        let Compute { device, kind } = self.compute;
        let got = pooled.map(Tensor::size).unwrap_or_default();
        let (Some(pooled), &[rows, width]) = (pooled, got.as_slice()) else { return Err(self.no_pooled(got)) };
        if width != self.config.pooled_width {
            return Err(self.no_pooled(got));
        }
        let numbers =
            Tensor::f_from_slice(&[sizes.original, sizes.crop, sizes.target].concat())?.f_to_device(device)?;
        let numbers = self.sinusoids.of(&numbers)?.f_view([1, -1])?.f_expand([rows, -1], false)?.f_to_kind(kind)?;
        let pooled = pooled.f_to_device(device)?.f_to_kind(kind)?;
        self.layers.forward(&Tensor::f_cat(&[pooled, numbers], 1)?)
    }

    fn no_pooled(&self, got: Vec<i64>) -> Error {
        let expected = format!("[batch, {}]", self.config.pooled_width);
        Error::Shape { what: "pooled text state", got, expected }
    }
}
