//! The settings of the attention loss; each stands for something the paper does not publish.

use std::fmt;
use std::str::FromStr;

use crate::error::{AttentionError, Result};
use crate::layers::LayerChoice;

/// Side of the latents, in pixels, at which [`Reduction::Normalised`] equals [`Reduction::Sum`]: those of a 128 x 128
/// picture, for which the usual weight of the loss was found.
pub const NORMAL_SIDE: i64 = 16;

/// Settings of the attention loss.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LossOptions {
    /// What the attention maps are pulled to.
    pub target: Target,
    /// The layers that take part.
    pub layers: LayerChoice,
    /// Lets the gradient reach the learned words through each layer's own keys only, not through what earlier layers
    /// did to its query.
    pub detach_query: bool,
}

/// What the attention maps are pulled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The maps that a reference prompt has under the same queries (arXiv 2402.00631).
    Reference {
        /// Distance of two attention values.
        norm: Norm,
        /// How a layer's distances become one number.
        reduction: Reduction,
    },
    /// A mask of the face: only the learned word's map, divided by its maximum (Break-A-Scene, arXiv 2305.16311); always a
    /// mean square.
    Mask,
}

impl Default for Target {
    fn default() -> Self {
        Target::Reference { norm: Norm::default(), reduction: Reduction::default() }
    }
}

/// Distance of two attention values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// The squared difference.
    #[default]
    Squared,
    /// The absolute difference.
    Absolute,
}

/// How the distances of one layer, `[batch, heads, pixels, tokens]`, become one number.
///
/// Heads, batch and then layers are always averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Averaged over pixels, summed over tokens, and multiplied with the number of pixels that the layer has for latents of
    /// [`NORMAL_SIDE`] squared: what [`Reduction::Sum`] gives there, and the same at any picture size.
    #[default]
    Normalised,
    /// Summed over pixels and tokens: fine layers weigh more than coarse ones, and large pictures more than small ones.
    Sum,
    /// Averaged over pixels, summed over tokens: every layer weighs the same at any picture size.
    PixelMean,
    /// Averaged over pixels and tokens.
    Mean,
}

impl Norm {
    const NAMES: [(Self, &'static str); 2] = [(Self::Squared, "squared"), (Self::Absolute, "absolute")];
}

impl Reduction {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Normalised, "normalised"), (Self::Sum, "sum"), (Self::PixelMean, "pixel-mean"), (Self::Mean, "mean")];
}

fn name_of<T: PartialEq>(names: &[(T, &'static str)], value: &T) -> &'static str {
    names.iter().find(|(named, _)| named == value).map_or("", |(_, name)| name)
}

fn value_of<T: Copy>(names: &[(T, &'static str)], what: &str, text: &str) -> Result<T> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
        AttentionError::Setting(format!("{what} `{text}`: expected {}", known.join(", ")))
    })
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(&Self::NAMES, self))
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(&Self::NAMES, self))
    }
}

impl FromStr for Norm {
    type Err = AttentionError;

    fn from_str(text: &str) -> Result<Self> {
        value_of(&Self::NAMES, "norm", text)
    }
}

impl FromStr for Reduction {
    type Err = AttentionError;

    fn from_str(text: &str) -> Result<Self> {
        value_of(&Self::NAMES, "reduction", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (norm, name) in Norm::NAMES {
            assert_eq!((norm.to_string().as_str(), name.parse::<Norm>().unwrap()), (name, norm));
        }
        for (reduction, name) in Reduction::NAMES {
            assert_eq!((reduction.to_string().as_str(), name.parse::<Reduction>().unwrap()), (name, reduction));
        }
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = "max".parse::<Reduction>().unwrap_err().to_string();
        assert_eq!(error, "reduction `max`: expected normalised, sum, pixel-mean, mean");
    }
}
