//! Weights of convolutions, in the memory order that is fastest.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use tch::Tensor;

use crate::mapped_file::MappedFile;

/// The weight of a convolution, in the order of [`channels_last`].
///
/// A weight that lies in the map as it is needed but for the order is reordered when it is first used, not at loading:
/// then loading reads nothing that is not drawn with.
#[derive(Debug)]
pub struct ConvWeight {
    stored: Tensor,
    source: Option<(Arc<MappedFile>, Range<usize>)>,
    ordered: OnceCell<Tensor>,
}

impl ConvWeight {
    /// A weight that has the order already.
    pub(crate) fn ordered(weight: Tensor) -> Self {
        ConvWeight { stored: weight, source: None, ordered: OnceCell::new() }
    }

    /// A weight that lies in these bytes of a map.
    pub(crate) fn mapped(weight: Tensor, map: Arc<MappedFile>, bytes: Range<usize>) -> Self {
        ConvWeight { stored: weight, source: Some((map, bytes)), ordered: OnceCell::new() }
    }

    /// The weight, `[outputs, inputs, kernel, kernel]`.
    pub fn get(&self) -> std::result::Result<&Tensor, tch::TchError> {
        let Some((map, bytes)) = &self.source else { return Ok(&self.stored) };
        if let Some(ordered) = self.ordered.get() {
            return Ok(ordered);
        }
        let ordered = channels_last(&self.stored)?;
        if ordered.data_ptr() != self.stored.data_ptr() {
            map.release(bytes);
        }
        Ok(self.ordered.get_or_init(|| ordered))
    }
}

/// The same numbers with the channels of each pixel side by side in memory.
///
/// libtorch's convolutions and normalisations are fastest in this order, and keep the order of their input.
///
/// # Shapes
/// - `x`, returns: `[batch, channels, height, width]`
pub fn channels_last(x: &Tensor) -> std::result::Result<Tensor, tch::TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
