//! All parameters of a network in one vector.
//!
//! An optimizer's step is then a few operations on that, not some on each of hundreds of tensors: on a GPU, starting
//! those takes longer than the rest of a step.

use tch::{Device, Kind, Tensor};

use crate::{Parameters, Result};

/// Each parameter begins at a multiple of so many numbers: convolutions are slow where memory begins anywhere.
const STEP: i64 = 64;

/// Parameters whose numbers lie in one vector.
#[derive(Debug)]
pub struct Packed {
    /// Views of `numbers`: what changes there is changed here.
    pub parameters: Parameters,
    /// `[count]`, f32; a few of them, between two parameters, belong to none.
    pub numbers: Tensor,
}

impl Packed {
    /// A copy of parameters, with gradients of its own.
    ///
    /// # Errors
    /// libtorch refused an operation.
    pub fn copy(parameters: &Parameters) -> Result<Self> {
        let packed = Self::of(parameters, zeros_for(parameters)?, true)?;
        packed.parameters.set(&parameters.list().into_iter().collect())?;
        Ok(packed)
    }

    /// Others of the same names and shapes, from a vector that is shared with them; without gradients.
    ///
    /// # Shapes
    /// - `numbers`: as [`Packed::numbers`]
    ///
    /// # Errors
    /// Another shape.
    pub fn with(&self, numbers: &Tensor) -> Result<Self> {
        Self::of(&self.parameters, numbers.shallow_clone(), false)
    }

    fn of(parameters: &Parameters, numbers: Tensor, trained: bool) -> Result<Self> {
        let mut first = 0;
        let parameters = parameters.map(|tensor| {
            let (shape, count) = (tensor.size(), tensor.numel() as i64);
            let own = numbers.f_narrow(0, first, count)?;
            first += padded(count);
            let own = match shape[..] {
                [outputs, inputs, height, width] => {
                    own.f_view([outputs, height, width, inputs])?.f_permute([0, 3, 1, 2])?
                }
                _ => own.f_view(shape.as_slice())?,
            };
            own.f_detach()?.f_set_requires_grad(trained)
        })?;
        Ok(Packed { parameters, numbers })
    }
}

/// Tensors that belong to parameters, such as their gradients, as a vector like [`Packed::numbers`].
///
/// `tensors` come in the order of [`Parameters::list`].
///
/// # Errors
/// libtorch refused an operation.
pub fn pack(tensors: &[Tensor]) -> Result<Tensor> {
    let device = tensors.first().map_or(Device::Cpu, Tensor::device);
    let filling = Tensor::f_zeros([STEP], (Kind::Float, device))?;
    let mut pieces = Vec::with_capacity(2 * tensors.len());
    for tensor in tensors {
        let count = tensor.numel() as i64;
        let ordered = if tensor.dim() == 4 { tensor.f_permute([0, 2, 3, 1])? } else { tensor.shallow_clone() };
        pieces.push(ordered.f_reshape([count])?);
        pieces.push(filling.f_narrow(0, 0, padded(count) - count)?);
    }
    Ok(Tensor::f_cat(&pieces, 0)?)
}

fn padded(count: i64) -> i64 {
    (count + STEP - 1) / STEP * STEP
}

fn zeros_for(parameters: &Parameters) -> Result<Tensor> {
    let count = parameters.list().iter().map(|(_, tensor)| padded(tensor.numel() as i64)).sum::<i64>();
    Ok(Tensor::f_zeros([count], (Kind::Float, parameters.device()))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::{Init, Weights};

    fn parameters() -> Parameters {
        let parameters = Parameters::new(1, Device::Cpu);
        let weights = Weights::from_parameters(&parameters, Kind::Float);
        let scope = &weights.root() / "conv";
        let _ = scope.conv_weight("weight", &[5, 3, 3, 2], Init::fan_in(18)).unwrap();
        let _ = scope.tensor("bias", &[5], Init::fan_in(18)).unwrap();
        let _ = weights.root().tensor("linear.weight", &[64, 2], Init::fan_in(2)).unwrap();
        let _ = weights.root().tensor("scale", &[], Init::ONES).unwrap();
        parameters
    }

    fn tensors(parameters: &Parameters) -> Vec<Tensor> {
        parameters.list().into_iter().map(|(_, tensor)| tensor.detach()).collect()
    }

    #[test]
    fn a_packed_copy_is_equal_and_in_the_same_order_of_memory() {
        let parameters = parameters();
        let packed = Packed::copy(&parameters).unwrap();
        for ((name, ours), (expected, theirs)) in packed.parameters.list().iter().zip(parameters.list()) {
            assert_eq!(*name, expected);
            assert!(ours.equal(&theirs) && ours.stride() == theirs.stride(), "{name}");
            assert!(ours.is_leaf() && ours.requires_grad() && (ours.data_ptr() as usize).is_multiple_of(16), "{name}");
        }
        assert!(pack(&tensors(&parameters)).unwrap().equal(&packed.numbers));
        // Whatever the order of memory, as gradients come.
        let contiguous: Vec<Tensor> = tensors(&parameters).iter().map(Tensor::contiguous).collect();
        assert!(pack(&contiguous).unwrap().equal(&packed.numbers));
        assert_eq!(pack(&[]).err().map(|error| error.to_string().is_empty()), Some(false));
    }

    #[test]
    fn a_change_of_the_vector_is_one_of_the_parameters() {
        let original = parameters();
        let packed = Packed::copy(&original).unwrap();
        let other = packed.with(&(&packed.numbers * 2.0)).unwrap();
        let _ = packed.numbers.shallow_clone().fill_(3.0);
        for ((ours, doubled), before) in
            tensors(&packed.parameters).iter().zip(tensors(&other.parameters)).zip(tensors(&original))
        {
            assert!(ours.equal(&before.full_like(3.0)));
            assert!(doubled.equal(&(before * 2.0)) && !doubled.requires_grad());
        }
        assert!(packed.with(&Tensor::zeros([3], (Kind::Float, Device::Cpu))).is_err());
    }

    #[test]
    fn gradients_of_a_packed_copy_reach_its_leaves() {
        let packed = Packed::copy(&parameters()).unwrap();
        let leaves: Vec<Tensor> = packed.parameters.list().into_iter().map(|(_, leaf)| leaf).collect();
        let sum = leaves
            .iter()
            .fold(Tensor::zeros([], (Kind::Float, Device::Cpu)), |sum, leaf| sum + (leaf * 2.0).sum(Kind::Float));
        let gradients = Tensor::run_backward(&[&sum], &leaves, false, false);
        let gradient = pack(&gradients).unwrap();
        assert_eq!(gradient.size(), packed.numbers.size());
        let expected: usize = leaves.iter().map(Tensor::numel).sum();
        assert_eq!(gradient.sum(Kind::Float).double_value(&[]), 2.0 * expected as f64);
    }
}
