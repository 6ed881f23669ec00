//! What is trained of the U-Net beside the vectors.

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};

/// What is trained of the U-Net, and what keeps it from forgetting the class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UNetOptions {
    /// Which weights.
    pub part: UNetPart,
    /// Their learning rate, absolute.
    #[serde(rename = "lr")]
    pub learning_rate: f64,
    /// Weight of the noise loss of pictures of the class, drawn by the model itself (prior preservation); 0 for none.
    pub prior_weight: f64,
    /// How many such pictures there are.
    pub class_pictures: usize,
}

/// Weights of a U-Net.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString, strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
#[non_exhaustive]
pub enum UNetPart {
    /// All of them.
    All,
    /// What makes keys and values of text states in the cross-attention layers.
    KeysAndValues,
}

impl UNetPart {
    /// Whether the tensor of this name belongs to it.
    pub fn contains(self, name: &str) -> bool {
        match self {
            UNetPart::All => true,
            UNetPart::KeysAndValues => name.contains(".attn2.to_k.") || name.contains(".attn2.to_v."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_of_text_alone() {
        let block = "mid_block.attentions.0.transformer_blocks.0";
        let has = |name: &str| UNetPart::KeysAndValues.contains(&format!("{block}.{name}.weight"));
        assert!(has("attn2.to_k") && has("attn2.to_v"));
        assert!(!has("attn2.to_q") && !has("attn1.to_k") && !has("attn2.to_out.0"));
        assert!(UNetPart::All.contains("conv_in.weight"));
    }
}
