//! The methods and the few lines in which they differ.

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};

use crate::start::Start;
use crate::token_options::{Rows, StageRange, TokenOptions};
use crate::unet_options::{UNetOptions, UNetPart};

/// The weight of the attention loss with which the paper's method works best.
pub const DEFAULT_LAMBDA: f64 = 0.003;

/// How an identity is learned. Everything that [`MethodSpec`] does not name is the same for all methods.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
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
    /// The same with vectors in the space that the names of known people span, where `celeb-basis` looks for them.
    SefiNames,
    /// One vector, trained with the noise loss (arXiv 2208.01618); the attention loss can be added to it.
    TextualInversion,
    /// A vector for each cross-attention layer: extended textual inversion (arXiv 2303.09522).
    Xti,
    /// Ten stage tokens, the same for keys and values (arXiv 2305.16225).
    Prospect,
    /// Two tokens in the space that the first and last names of known people span (arXiv 2306.00926).
    CelebBasis,
    /// Stage tokens in the middle of the denoising, as long as the class word's vector (arXiv 2412.15674).
    PersonaMagic,
    /// A rare word before the class word, and all weights of the U-Net (arXiv 2208.12242).
    Dreambooth,
    /// One vector, and the weights that make keys and values of text states (arXiv 2212.04488).
    CustomDiffusion,
}

/// What sets one method apart from another.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodSpec {
    /// Which vectors stand for the identity.
    pub tokens: TokenOptions,
    /// Weight of the attention loss unless the user says otherwise; 0 for a method that was published without it.
    pub lambda: f64,
    /// Whether the noise loss counts inside the mask only, where there is one.
    pub masked_noise: bool,
    /// What is trained of the U-Net, if anything.
    pub unet: Option<UNetOptions>,
    /// How long and how fast it was published to train.
    pub recipe: Recipe,
}

/// A published schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Training steps.
    pub steps: usize,
    /// Samples per step.
    pub batch: usize,
    /// Learning rate of what the text encoder reads, relative to the size of the start.
    ///
    /// Published rates are absolute; the vectors of Stable Diffusion 1.x have a root mean square of 0.0137, by which they are
    /// divided here.
    pub learning_rate: f64,
}

/// One vector, and nothing else.
const ONE_VECTOR: MethodSpec = MethodSpec {
    tokens: TokenOptions {
        rows: Rows::Vectors,
        stages: 1,
        learned_stages: None,
        per_layer: false,
        words: 1,
        class_follows: false,
        split_kv: false,
        start: Start::Class,
        fixed_norm: false,
    },
    lambda: 0.0,
    masked_noise: false,
    unet: None,
    // 3000 steps of 4 at 5e-4 x 4, the defaults of diffusers' script.
    recipe: Recipe { steps: 3000, batch: 4, learning_rate: 0.15 },
};

impl Method {
    /// The method's declaration.
    pub fn spec(self) -> MethodSpec {
        let one = ONE_VECTOR;
        match self {
            Method::Sefi => MethodSpec {
                tokens: TokenOptions { rows: Rows::Module, stages: 5, split_kv: true, ..one.tokens },
                lambda: DEFAULT_LAMBDA,
                // Not published; found on the miniature.
                recipe: Recipe { steps: 200, batch: 2, learning_rate: 0.05 },
                ..one
            },
            Method::SefiNames => MethodSpec {
                tokens: TokenOptions { rows: Rows::Basis, words: 2, start: Start::Names, ..Method::Sefi.spec().tokens },
                recipe: Method::CelebBasis.spec().recipe,
                ..Method::Sefi.spec()
            },
            Method::TextualInversion => one,
            Method::Xti => MethodSpec {
                tokens: TokenOptions { per_layer: true, ..one.tokens },
                // 500 steps of 8 at 5e-3.
                recipe: Recipe { steps: 500, batch: 8, learning_rate: 0.36 },
                ..one
            },
            Method::Prospect => MethodSpec {
                tokens: TokenOptions { rows: Rows::Module, stages: 10, ..one.tokens },
                // 600 steps of 1 at 1e-4.
                recipe: Recipe { steps: 600, batch: 1, learning_rate: 0.0073 },
                ..one
            },
            Method::CelebBasis => MethodSpec {
                tokens: TokenOptions { rows: Rows::Basis, words: 2, start: Start::Names, ..one.tokens },
                // 400 steps of 2 at 5e-3, of coefficients in standard deviations.
                recipe: Recipe { steps: 400, batch: 2, learning_rate: 5e-3 },
                ..one
            },
            Method::PersonaMagic => MethodSpec {
                tokens: TokenOptions {
                    rows: Rows::Module,
                    stages: 5,
                    learned_stages: Some(StageRange { first: 2, last: 3 }),
                    split_kv: true,
                    fixed_norm: true,
                    ..one.tokens
                },
                masked_noise: true,
                recipe: Recipe { steps: 200, batch: 2, learning_rate: 0.05 },
                ..one
            },
            Method::Dreambooth => MethodSpec {
                tokens: TokenOptions { rows: Rows::Fixed, start: Start::Rare, class_follows: true, ..one.tokens },
                unet: Some(UNetOptions {
                    part: UNetPart::All,
                    learning_rate: 5e-6,
                    prior_weight: 1.0,
                    class_pictures: 200,
                }),
                // The defaults of diffusers' example for faces.
                recipe: Recipe { steps: 800, batch: 1, ..one.recipe },
                ..one
            },
            Method::CustomDiffusion => MethodSpec {
                tokens: TokenOptions { start: Start::Rare, class_follows: true, ..one.tokens },
                unet: Some(UNetOptions {
                    part: UNetPart::KeysAndValues,
                    learning_rate: 1e-5,
                    prior_weight: 1.0,
                    class_pictures: 200,
                }),
                // 250 steps of 2 at 1e-5, also for the vector.
                recipe: Recipe { steps: 250, batch: 2, learning_rate: 0.00073 },
                ..one
            },
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
            "ip-adapter".parse::<Method>().unwrap_err().to_string(),
            "`ip-adapter` is not one of sefi, sefi-names, textual-inversion, xti, prospect, celeb-basis, persona-magic, dreambooth, \
             custom-diffusion"
        );
    }
}
