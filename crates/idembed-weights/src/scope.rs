//! Places in the tree of names.

use std::ops::Div;

use tch::Tensor;

use crate::Result;
use crate::conv_weight::ConvWeight;
use crate::source::Init;
use crate::weights::Weights;

/// A place in the tree of names: `weights.root() / "encoder" / "layers" / 0`.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl<'a> Scope<'a> {
    pub(crate) fn root(weights: &'a Weights) -> Self {
        Scope { weights, prefix: String::new() }
    }

    /// The tensor `name` below this place, in the format and on the device to compute with.
    ///
    /// A parameter that is not there yet is made as `init` says; what comes from a file does not need it.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        self.weights.take(&self.path_of(name), shape, init)
    }

    /// The weight `name` of a convolution; `init` as in [`Scope::tensor`].
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn conv_weight(&self, name: &str, shape: &[i64], init: Init) -> Result<ConvWeight> {
        self.weights.take_conv(&self.path_of(name), shape, init)
    }

    /// Whether a tensor `name` is below this place.
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains(&self.path_of(name))
    }

    /// The shape of the tensor `name` below this place, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.weights.shape(&self.path_of(name))
    }

    /// The checkpoint's name of this place.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn path_of(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

impl<'a, N: std::fmt::Display> Div<N> for &Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, name: N) -> Scope<'a> {
        Scope { weights: self.weights, prefix: self.path_of(&name.to_string()) }
    }
}

impl<'a, N: std::fmt::Display> Div<N> for Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, name: N) -> Scope<'a> {
        &self / name
    }
}
