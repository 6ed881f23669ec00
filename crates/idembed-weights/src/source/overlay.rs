//! The tensors of another source, some of them changed.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use super::{Init, Source, Stored};
use crate::{Result, WeightsError};

/// How one tensor is changed, in any number format and on the device where that is to be done.
#[derive(Debug)]
pub enum Delta {
    /// The difference itself, of the tensor's shape: a fine-tuned projection.
    Full(Tensor),
    /// `up @ down * scale`: LoRA (arXiv 2106.09685).
    ///
    /// # Shapes
    /// For a tensor `[outputs, inputs...]`; of a convolution, `inputs` are its inputs and its kernel:
    /// - `up`: `[outputs, rank]`, or `[outputs, rank, 1, 1]`
    /// - `down`: `[rank, inputs...]`
    LowRank {
        /// From the rank to the outputs.
        up: Tensor,
        /// From the inputs to the rank.
        down: Tensor,
        /// What the product is multiplied with, such as `alpha / rank` times a strength.
        scale: f64,
    },
    /// Another change, after which each row or each column is brought to a length of its own: DoRA (arXiv 2402.09353). Of
    /// `changed`, which is the tensor with `change`, the result is `tensor + share * (magnitude * changed / |changed| - tensor)`.
    ///
    /// # Shapes
    /// - `magnitude`: `[outputs, 1, ...]` for the lengths of all that leads to one output, or `[1, inputs, 1, ...]` for those of
    ///   all that comes from one input; as many dimensions as the tensor
    Decomposed {
        /// What is done first.
        change: Box<Delta>,
        /// The lengths.
        magnitude: Tensor,
        /// The way from the tensor as it was (0) to the changed one (1).
        share: f64,
    },
}

/// Rows and columns that are shorter count as this long, so that one of zeros stays so.
const SHORTEST: f64 = f32::EPSILON as f64;

impl Delta {
    /// Fails if this cannot change the tensor `name` of a shape.
    fn check(&self, name: &str, shape: &[i64]) -> std::result::Result<(), WeightsError> {
        let (fits, got) = match self {
            Delta::Full(delta) => (delta.size() == shape, format!("{:?}", delta.size())),
            Delta::LowRank { up, down, .. } => {
                let (up, down) = (up.size(), down.size());
                (low_rank_fits(&up, &down, shape), format!("{up:?} @ {down:?}"))
            }
            Delta::Decomposed { change, magnitude, .. } => {
                change.check(name, shape)?;
                let size = magnitude.size();
                (magnitude_fits(&size, shape), format!("{size:?} for its magnitudes"))
            }
        };
        if fits {
            return Ok(());
        }
        Err(WeightsError::Delta { name: name.to_owned(), got, expected: shape.to_vec() })
    }

    /// Where the sum is made.
    fn device(&self) -> Device {
        match self {
            Delta::Full(delta) => delta.device(),
            Delta::LowRank { up, .. } => up.device(),
            Delta::Decomposed { change, .. } => change.device(),
        }
    }

    /// A tensor with this change, f32; the tensor is f32, too, and on this device.
    fn changed(&self, base: &Tensor) -> std::result::Result<Tensor, TchError> {
        let matrix = |tensor: &Tensor| tensor.f_to_kind(Kind::Float)?.f_flatten(1, -1);
        match self {
            Delta::Full(delta) => base.f_add(&delta.f_to_kind(Kind::Float)?),
            Delta::LowRank { up, down, scale } => {
                let product = matrix(up)?.f_matmul(&matrix(down)?)?;
                base.f_add(&product.f_mul_scalar(*scale)?.f_view(base.size().as_slice())?)
            }
            Delta::Decomposed { change, magnitude, share } => {
                let changed = change.changed(base)?;
                let over: Vec<i64> =
                    (0..).zip(magnitude.size()).filter(|&(_, size)| size == 1).map(|(dim, _)| dim).collect();
                let length = changed.f_norm_scalaropt_dim(2.0, over.as_slice(), true)?.f_clamp_min(SHORTEST)?;
                let whole = changed.f_mul(&magnitude.f_to_kind(Kind::Float)?.f_div(&length)?)?;
                if *share == 1.0 { Ok(whole) } else { base.f_lerp(&whole, *share) }
            }
        }
    }
}

fn magnitude_fits(magnitude: &[i64], shape: &[i64]) -> bool {
    let is_ones = |sizes: &[i64]| sizes.iter().all(|&size| size == 1);
    match (magnitude, shape) {
        ([first, second, kernel @ ..], [outputs, inputs, shape_kernel @ ..]) => {
            let is_one_axis = (first == outputs && *second == 1) || (*first == 1 && second == inputs);
            is_one_axis && is_ones(kernel) && kernel.len() == shape_kernel.len()
        }
        _ => false,
    }
}

fn low_rank_fits(up: &[i64], down: &[i64], shape: &[i64]) -> bool {
    let count = |sizes: &[i64]| sizes.iter().product::<i64>();
    match (up, down, shape) {
        ([outputs, rank, kernel @ ..], [down_rank, inputs @ ..], [shape_outputs, shape_inputs @ ..]) => {
            let are_matrices = count(kernel) == 1 && !inputs.is_empty() && !shape_inputs.is_empty();
            are_matrices && outputs == shape_outputs && rank == down_rank && count(inputs) == count(shape_inputs)
        }
        _ => false,
    }
}

/// A source that changes some tensors of another source, the base: LoRA, or projections that are fine-tuned.
///
/// The change is made in f32 when a tensor is taken, and rounded once to the format to compute with. Gradients reach deltas
/// that require them through what is taken; the result belongs to the graph of one backward pass, so that a network whose
/// deltas are trained is built anew for each. Tensors without a delta are those of the base, where they lie.
#[derive(Debug)]
pub struct Overlay {
    base: Box<dyn Source>,
    deltas: BTreeMap<String, Delta>,
}

impl Overlay {
    /// Changes the tensor of each name.
    ///
    /// # Errors
    /// The base has no tensor of that name, or it has another shape.
    pub fn new(base: Box<dyn Source>, deltas: BTreeMap<String, Delta>) -> std::result::Result<Self, WeightsError> {
        for (name, delta) in &deltas {
            let shape = base.shape(name).ok_or_else(|| WeightsError::NothingToChange(name.clone()))?;
            delta.check(name, &shape)?;
        }
        Ok(Overlay { base, deltas })
    }
}

impl Source for Overlay {
    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.base.shape(name)
    }

    fn stored(&self, name: &str) -> std::result::Result<Stored, WeightsError> {
        let stored = self.base.stored(name)?;
        let Some(delta) = self.deltas.get(name) else { return Ok(stored) };
        stored.check_kind(name)?;
        let changed = stored.read(|base| delta.changed(&base.f_to_device(delta.device())?.f_to_kind(Kind::Float)?))?;
        Ok(Stored::in_memory(changed))
    }

    fn make(&self, name: &str, shape: &[i64], init: Init) -> std::result::Result<(), WeightsError> {
        self.base.make(name, shape, init)
    }

    fn path(&self) -> Option<&Path> {
        self.base.path()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.base.check_unchanged()
    }

    fn check_used_unchanged(&self) -> Result<()> {
        self.base.check_used_unchanged()
    }

    fn release_unused(&self) {
        self.base.release_unused();
    }
}
