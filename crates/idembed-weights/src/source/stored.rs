//! A tensor as its source has it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, TchError, Tensor};

use crate::WeightsError;
use crate::device::Compute;
use crate::pages;

/// A tensor as its source has it: in memory, or where it lies in the map of a file.
///
/// It keeps the map. What is made of it is made by [`Stored::read`], so that the numbers are never in memory twice.
#[derive(Debug)]
pub struct Stored {
    tensor: Tensor,
    /// If it lies in the map of a file: whether a tensor there was taken to compute with.
    mapped: Option<Arc<AtomicBool>>,
}

impl Stored {
    /// A tensor in memory.
    pub fn in_memory(tensor: Tensor) -> Self {
        Stored { tensor, mapped: None }
    }

    /// A tensor in the map of a file, which is told by `in_use` when the tensor is taken to compute with as it lies there.
    pub(super) fn mapped(tensor: Tensor, in_use: Arc<AtomicBool>) -> Self {
        Stored { tensor, mapped: Some(in_use) }
    }

    /// The tensor. Numbers that are read here and nowhere else should be read by [`Stored::read`].
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether it lies in the map of a file.
    pub fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Some rows (of the first dimension) alone, where they lie.
    ///
    /// # Errors
    /// There are no such rows.
    pub fn rows(&self, rows: &Range<i64>) -> std::result::Result<Stored, TchError> {
        let tensor = self.tensor.f_narrow(0, rows.start, rows.end - rows.start)?;
        Ok(Stored { tensor, mapped: self.mapped.clone() })
    }

    /// The same numbers in another shape, where they lie.
    ///
    /// # Errors
    /// The shape has another count of numbers.
    pub fn reshaped(&self, shape: &[i64]) -> std::result::Result<Stored, TchError> {
        Ok(Stored { tensor: self.tensor.f_view(shape)?, mapped: self.mapped.clone() })
    }

    /// A matrix with its rows as columns, where it lies.
    ///
    /// # Errors
    /// It is no matrix.
    pub fn transposed(&self) -> std::result::Result<Stored, TchError> {
        Ok(Stored { tensor: self.tensor.f_transpose(0, 1)?, mapped: self.mapped.clone() })
    }

    /// Makes something of the tensor. Pages that were read from a file for it are given back, unless the result is the
    /// tensor itself, where it lies.
    ///
    /// # Errors
    /// What `make` answers.
    pub fn read(
        &self,
        make: impl FnOnce(&Tensor) -> std::result::Result<Tensor, TchError>,
    ) -> std::result::Result<Tensor, TchError> {
        let made = make(&self.tensor)?;
        if self.is_mapped() && !self.is_where(&made) {
            pages::release(&self.tensor);
        }
        Ok(made)
    }

    /// The tensor as it is to be computed with: itself where it lies, or a copy in memory.
    pub(crate) fn take(self, compute: Compute) -> std::result::Result<Stored, TchError> {
        let tensor = self.read(|tensor| tensor.f_to_device(compute.device)?.f_to_kind(compute.kind))?;
        let mapped = self.mapped.clone().filter(|_| self.is_where(&tensor));
        if let Some(in_use) = &mapped {
            in_use.store(true, Ordering::Relaxed);
        }
        Ok(Stored { tensor, mapped })
    }

    /// Fails if its numbers are not of a format that networks compute with.
    pub(crate) fn check_kind(&self, name: &str) -> std::result::Result<(), WeightsError> {
        let dtype = match self.tensor.kind() {
            Kind::Float | Kind::Half | Kind::BFloat16 => return Ok(()),
            Kind::Int64 => "I64".to_owned(),
            other => format!("{other:?}"),
        };
        Err(WeightsError::Dtype { name: name.to_owned(), dtype })
    }

    /// Whether `other`, which was made of this, is this.
    fn is_where(&self, other: &Tensor) -> bool {
        other.device() == Device::Cpu && other.data_ptr() == self.tensor.data_ptr()
    }
}

impl From<Stored> for Tensor {
    fn from(stored: Stored) -> Tensor {
        stored.tensor
    }
}
