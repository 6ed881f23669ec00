//! Where the weights of a network come from.

mod files;
mod initialisation;
mod mapped_file;
mod overlay;
mod parameters;
mod renamed;
mod stored;

use std::fmt;
use std::path::Path;

pub use files::{Files, PICKLES, weight_files};
pub use initialisation::Init;
pub use overlay::{Delta, Overlay};
pub use parameters::Parameters;
pub use renamed::{Alias, Renamed};
pub use stored::Stored;

use crate::{Result, WeightsError};

/// Where the weights of one network come from: tensors by their names.
///
/// A source hands tensors out as it has them. [`Weights`](crate::Weights) checks what is asked for and what is not, and puts
/// each tensor in the format and on the device to compute with; a source that stands on another one, such as [`Renamed`]
/// and [`Overlay`], is therefore a few lines.
pub trait Source: fmt::Debug + Send {
    /// The names of all tensors that a network must ask for: one that it does not is one too many.
    fn names(&self) -> Vec<String>;

    /// The shape of a tensor, if it is there.
    fn shape(&self, name: &str) -> Option<Vec<i64>>;

    /// A tensor as it is here.
    ///
    /// # Errors
    /// It is missing, or libtorch refused an operation.
    fn stored(&self, name: &str) -> std::result::Result<Stored, WeightsError>;

    /// Makes a tensor that a network is about to ask for and that is not there yet. Only parameters in training do.
    ///
    /// # Errors
    /// libtorch refused an operation.
    fn make(&self, _name: &str, _shape: &[i64], _init: Init) -> std::result::Result<(), WeightsError> {
        Ok(())
    }

    /// The file to name in errors, if there is one.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Fails if a file was changed since it was opened, whatever still depends on it.
    ///
    /// # Errors
    /// [`crate::Error::Changed`], which names the file.
    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }

    /// Fails if the numbers of tensors that were taken may be others by now, because a file was changed.
    ///
    /// # Errors
    /// As [`Source::check_unchanged`].
    fn check_used_unchanged(&self) -> Result<()> {
        Ok(())
    }

    /// Gives the pages of files that nothing computes with where they lie back to the system: all numbers were taken.
    fn release_unused(&self) {}
}

/// The shape of a tensor that must be there with so many dimensions: what a network's size is told by.
///
/// # Errors
/// It is missing, or has another number of dimensions.
pub fn shape_of<const DIMENSIONS: usize>(source: &dyn Source, name: &str) -> Result<[i64; DIMENSIONS]> {
    let shape = source.shape(name).ok_or_else(|| WeightsError::Missing(name.to_owned()));
    let fixed = shape.and_then(|shape| {
        let got = shape.clone();
        shape.try_into().map_err(|_| WeightsError::Dimensions { name: name.to_owned(), got, expected: DIMENSIONS })
    });
    fixed.map_err(|error| error.in_source(source))
}

/// How many tensors there are whose names differ in a number alone, counted from 0.
pub fn count_of(source: &dyn Source, name: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|&index| source.shape(&name(index)).is_some()).count()
}
