//! The methods and the few lines in which they differ.

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};

/// The weight of the attention loss with which the paper's method works best.
pub const DEFAULT_LAMBDA: f64 = 0.003;

/// How an identity is learned. Everything that [`MethodSpec`] does not name is the same for all methods.
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
    strum::EnumIter,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
#[non_exhaustive]
pub enum Method {
    /// Stage tokens with K and V halves and the face-wise attention loss (arXiv 2402.00631).
    #[default]
    Sefi,
    /// One vector, trained with the noise loss (arXiv 2208.01618); the attention loss can be added to it.
    TextualInversion,
}

/// What sets one method apart from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MethodSpec {
    /// What is learned.
    pub learns: Learns,
    /// Weight of the attention loss unless the user says otherwise; 0 for a method that was published without it.
    pub lambda: f64,
}

/// What is learned of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Learns {
    /// One vector, trained directly: for keys and values, in every stage.
    Vector,
    /// Vectors for the keys and others for the values in each stage, made by a token module.
    Tokens {
        /// Number of stages unless the user says otherwise.
        stages: usize,
    },
}

impl Method {
    /// The method's declaration.
    pub fn spec(self) -> MethodSpec {
        match self {
            Method::Sefi => MethodSpec { learns: Learns::Tokens { stages: 5 }, lambda: DEFAULT_LAMBDA },
            Method::TextualInversion => MethodSpec { learns: Learns::Vector, lambda: 0.0 },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn names_are_read_back() {
        for method in Method::iter() {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
        }
        assert_eq!(
            "dreambooth".parse::<Method>().unwrap_err().to_string(),
            "`dreambooth` is not one of sefi, textual-inversion"
        );
    }
}
