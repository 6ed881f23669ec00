//! Weights of convolutions, in the memory order that is fastest.

use std::cell::OnceCell;

use tch::{TchError, Tensor};

use crate::source::Stored;

/// The weight of a convolution, in the order of [`channels_last`].
///
/// A weight that lies in the map as it is needed but for the order is reordered when it is first used, not at loading:
/// then loading reads nothing that is not drawn with.
#[derive(Debug)]
pub struct ConvWeight {
    /// In the order of its file if it lies in a map, otherwise in that of [`channels_last`].
    stored: Stored,
    /// What lies in a map, in the order of [`channels_last`].
    ordered: OnceCell<Tensor>,
}

impl ConvWeight {
    pub(crate) fn of(stored: Stored) -> std::result::Result<Self, TchError> {
        let stored = if stored.is_mapped() { stored } else { Stored::in_memory(channels_last(stored.tensor())?) };
        Ok(ConvWeight { stored, ordered: OnceCell::new() })
    }

    /// The weight, `[outputs, inputs, kernel, kernel]`.
    pub fn get(&self) -> std::result::Result<&Tensor, TchError> {
        if !self.stored.is_mapped() {
            return Ok(self.stored.tensor());
        }
        if let Some(ordered) = self.ordered.get() {
            return Ok(ordered);
        }
        let ordered = self.stored.read(channels_last)?;
        Ok(self.ordered.get_or_init(|| ordered))
    }
}

/// The same numbers with the channels of each pixel side by side in memory.
///
/// libtorch's convolutions and normalisations are fastest in this order, and keep the order of their input.
///
/// # Shapes
/// - `x`, returns: `[batch, channels, height, width]`
pub fn channels_last(x: &Tensor) -> std::result::Result<Tensor, TchError> {
    let ordered = x.f_permute([0, 2, 3, 1])?;
    if ordered.is_contiguous() {
        return Ok(x.shallow_clone());
    }
    ordered.f_contiguous()?.f_permute([0, 3, 1, 2])
}
