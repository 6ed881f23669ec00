//! The tensors of another source, some of them changed.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, TchError, Tensor};

use super::{Init, Source, Stored};
use crate::{Result, WeightsError};

/// What is added to one tensor, in any number format and on the device where the sum is to be made.
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
}

impl Delta {
    /// Fails if this cannot be added to the tensor `name` of a shape.
    fn check(&self, name: &str, shape: &[i64]) -> std::result::Result<(), WeightsError> {
        let (fits, got) = match self {
            Delta::Full(delta) => (delta.size() == shape, format!("{:?}", delta.size())),
            Delta::LowRank { up, down, .. } => {
                let (up, down) = (up.size(), down.size());
                (low_rank_fits(&up, &down, shape), format!("{up:?} @ {down:?}"))
            }
        };
        if fits {
            return Ok(());
        }
        Err(WeightsError::Delta { name: name.to_owned(), got, expected: shape.to_vec() })
    }

    /// The difference, f32.
    fn values(&self, shape: &[i64]) -> std::result::Result<Tensor, TchError> {
        let matrix = |tensor: &Tensor| tensor.f_to_kind(Kind::Float)?.f_flatten(1, -1);
        match self {
            Delta::Full(delta) => delta.f_to_kind(Kind::Float),
            Delta::LowRank { up, down, scale } => {
                matrix(up)?.f_matmul(&matrix(down)?)?.f_mul_scalar(*scale)?.f_view(shape)
            }
        }
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

/// A source that adds something to some tensors of another source, the base: LoRA, or projections that are fine-tuned.
///
/// The sum is made in f32 when a tensor is taken, and rounded once to the format to compute with. Gradients reach deltas
/// that require them through what is taken; the sum belongs to the graph of one backward pass, so that a network whose
/// deltas are trained is built anew for each. Tensors without a delta are those of the base, where they lie.
#[derive(Debug)]
pub struct Overlay {
    base: Box<dyn Source>,
    deltas: BTreeMap<String, Delta>,
}

impl Overlay {
    /// Adds each delta to the tensor of its name.
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
        let sum = stored.read(|base| {
            let delta = delta.values(&base.size())?;
            base.f_to_device(delta.device())?.f_to_kind(Kind::Float)?.f_add(&delta)
        })?;
        Ok(Stored::in_memory(sum))
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
}
