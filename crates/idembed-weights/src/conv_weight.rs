//! Weights of convolutions, in the memory order that is fastest.

use std::cell::OnceCell;

use tch::Tensor;

use crate::mapped_file::release;

/// The weight of a convolution, in the order of [`channels_last`].
///
/// A weight that lies in the map as it is needed but for the order is reordered when it is first used, not at loading:
/// then loading reads nothing that is not drawn with.
#[derive(Debug)]
pub struct ConvWeight {
    stored: Tensor,
    /// Whether `stored` lies in a map, in the order of its file.
    in_map: bool,
    ordered: OnceCell<Tensor>,
}

impl ConvWeight {
    /// A weight that has the order already.
    pub(crate) fn ordered(weight: Tensor) -> Self {
        ConvWeight { stored: weight, in_map: false, ordered: OnceCell::new() }
    }

    /// A weight that lies in a map.
    pub(crate) fn mapped(weight: Tensor) -> Self {
        ConvWeight { stored: weight, in_map: true, ordered: OnceCell::new() }
    }

    /// The weight, `[outputs, inputs, kernel, kernel]`.
    pub fn get(&self) -> std::result::Result<&Tensor, tch::TchError> {
        if !self.in_map {
            return Ok(&self.stored);
        }
        if let Some(ordered) = self.ordered.get() {
            return Ok(ordered);
        }
        let ordered = channels_last(&self.stored)?;
        if ordered.data_ptr() != self.stored.data_ptr() {
            release(&self.stored);
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
