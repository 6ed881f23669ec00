//! The blocks of Inception-ResNet-v1: chains of convolutions side by side.

use idembed_layers::{BatchNorm, Conv2d, ConvShape};
use idembed_weights::Scope;
use tch::Tensor;

use crate::FaceResult;

/// Of every batch normalisation in the network.
pub(super) const EPS: f64 = 1e-3;

/// One pixel wide.
pub(super) const POINT: ConvShape = ConvShape::square(1, 1, 0);
/// Keeps the size.
pub(super) const SAME: ConvShape = ConvShape::square(3, 1, 1);
/// Takes the edge off.
pub(super) const INNER: ConvShape = ConvShape::square(3, 1, 0);
/// Halves the size.
pub(super) const HALVED: ConvShape = ConvShape::square(3, 2, 0);

/// Number of outputs and form of each convolution of a chain.
pub(super) type Chain = [(i64, ConvShape)];

/// A convolution, normalised, then ReLU.
#[derive(Debug)]
pub(super) struct Unit {
    conv: Conv2d,
    bn: BatchNorm,
}

impl Unit {
    pub(super) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> FaceResult<Self> {
        let conv = Conv2d::load_without_bias(&(scope / "conv"), inputs, outputs, shape)?;
        Ok(Unit { conv, bn: BatchNorm::load(&(scope / "bn"), outputs, EPS)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        Ok(self.bn.forward(&self.conv.forward(x)?)?.f_relu()?)
    }
}

/// Units one after the other.
pub(super) fn run(units: &[Unit], x: &Tensor) -> FaceResult<Tensor> {
    units.iter().try_fold(x.shallow_clone(), |x, unit| unit.forward(&x))
}

/// Chains that all see the same input; their outputs become channels side by side.
#[derive(Debug)]
struct Branches(Vec<Vec<Unit>>);

impl Branches {
    /// Reads `branch0`, `branch1` ...; the units of a chain are numbered below it unless there is only one.
    fn load(scope: &Scope<'_>, inputs: i64, chains: &[&Chain]) -> FaceResult<Self> {
        let mut branches = Vec::with_capacity(chains.len());
        for (number, chain) in chains.iter().enumerate() {
            let scope = scope / format!("branch{number}");
            let mut units = Vec::with_capacity(chain.len());
            let mut inputs = inputs;
            for (index, &(outputs, shape)) in chain.iter().enumerate() {
                let place = if chain.len() == 1 { scope.clone() } else { &scope / index };
                units.push(Unit::load(&place, inputs, outputs, shape)?);
                inputs = outputs;
            }
            branches.push(units);
        }
        Ok(Branches(branches))
    }

    fn forward(&self, x: &Tensor) -> FaceResult<Vec<Tensor>> {
        self.0.iter().map(|units| run(units, x)).collect()
    }
}

/// `x + scale * conv(branches(x))`.
#[derive(Debug)]
pub(super) struct Residual {
    branches: Branches,
    conv2d: Conv2d,
    scale: f64,
}

impl Residual {
    pub(super) fn load(scope: &Scope<'_>, channels: i64, chains: &[&Chain], scale: f64) -> FaceResult<Self> {
        let joined = chains.iter().filter_map(|chain| chain.last()).map(|(outputs, _)| outputs).sum();
        let branches = Branches::load(scope, channels, chains)?;
        Ok(Residual { branches, conv2d: Conv2d::load(&(scope / "conv2d"), joined, channels, POINT)?, scale })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, height, width]`
    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let joined = Tensor::f_cat(&self.branches.forward(x)?, 1)?;
        Ok(self.conv2d.forward(&joined)?.f_mul_scalar(self.scale)?.f_add(x)?)
    }
}

/// Branches that halve the size, and a maximum beside them.
#[derive(Debug)]
pub(super) struct Reduction(Branches);

impl Reduction {
    pub(super) fn load(scope: &Scope<'_>, inputs: i64, chains: &[&Chain]) -> FaceResult<Self> {
        Ok(Reduction(Branches::load(scope, inputs, chains)?))
    }

    pub(super) fn forward(&self, x: &Tensor) -> FaceResult<Tensor> {
        let mut parts = self.0.forward(x)?;
        parts.push(max_pool(x)?);
        Ok(Tensor::f_cat(&parts, 1)?)
    }
}

/// The largest of 3 x 3 pixels, halving the size.
pub(super) fn max_pool(x: &Tensor) -> FaceResult<Tensor> {
    Ok(x.f_max_pool2d(3, 2, 0, 1, false)?)
}
