//! The settings of the attention loss; each stands for something the paper does not publish.

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};

use crate::layers::LayerChoice;

/// Side of the latents, in pixels, at which [`Reduction::Normalised`] equals [`Reduction::Sum`]: those of a 128 x 128
/// picture, for which the usual weight of the loss was found.
pub const NORMAL_SIDE: i64 = 16;

/// Settings of the attention loss.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LossOptions {
    /// What the attention maps are pulled to.
    #[serde(flatten)]
    pub target: Target,
    /// The layers that take part.
    pub layers: LayerChoice,
    /// Lets the gradient reach the learned words through each layer's own keys only, not through what earlier layers
    /// did to its query.
    pub detach_query: bool,
}

/// What the attention maps are pulled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "kebab-case")]
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (reduction, name) in [(Reduction::Normalised, "normalised"), (Reduction::PixelMean, "pixel-mean")] {
            assert_eq!((reduction.to_string().as_str(), name.parse()), (name, Ok(reduction)));
        }
        let error = "max".parse::<Reduction>().unwrap_err().to_string();
        assert_eq!(error, "`max` is not one of normalised, sum, pixel-mean, mean");
        assert_eq!("l2".parse::<Norm>().unwrap_err().to_string(), "`l2` is not one of squared, absolute");
    }
}
