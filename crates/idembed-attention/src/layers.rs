//! Which cross-attention layers a listener wants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{AttentionError, Result};

/// A choice of cross-attention layers, before a network is known.
///
/// Written and read as `all`, as downscale factors `1,2`, or as layer indices `#0,#5`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LayerChoice {
    /// Every cross-attention layer.
    #[default]
    All,
    /// The layers whose feature map is the latents' size divided by one of these factors: 1 is the finest, 2 is
    /// 32 x 32 for a 512 x 512 picture.
    Downscales(Vec<i64>),
    /// The layers at these positions in the order of the forward pass, from 0.
    Indices(Vec<usize>),
}

impl LayerChoice {
    /// Applies the choice to a network.
    ///
    /// `downscales` holds, for each cross-attention layer in the order of the forward pass, the factor between the
    /// latents' size and that of the layer's feature map.
    ///
    /// # Errors
    /// A factor or an index that the network does not have, or a choice of no layer at all.
    pub fn resolve(&self, downscales: &[i64]) -> Result<Layers> {
        let mut wanted = vec![*self == LayerChoice::All; downscales.len()];
        match self {
            LayerChoice::All => {}
            LayerChoice::Downscales(factors) => {
                for factor in factors {
                    if !downscales.contains(factor) {
                        let mut known = downscales.to_vec();
                        known.sort_unstable();
                        known.dedup();
                        return Err(AttentionError::Setting(format!(
                            "no cross-attention layer has downscale {factor}; the network has {known:?}"
                        )));
                    }
                }
                for (want, downscale) in wanted.iter_mut().zip(downscales) {
                    *want = factors.contains(downscale);
                }
            }
            LayerChoice::Indices(indices) => {
                for &index in indices {
                    let layers = downscales.len();
                    *wanted.get_mut(index).ok_or(AttentionError::UnknownLayer { index, layers })? = true;
                }
            }
        }
        if !wanted.contains(&true) {
            return Err(AttentionError::Setting("no cross-attention layer is chosen".to_owned()));
        }
        Ok(Layers { wanted, downscales: downscales.to_vec() })
    }
}

impl fmt::Display for LayerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = match self {
            LayerChoice::All => vec!["all".to_owned()],
            LayerChoice::Downscales(factors) => factors.iter().map(i64::to_string).collect(),
            LayerChoice::Indices(indices) => indices.iter().map(|index| format!("#{index}")).collect(),
        };
        f.write_str(&parts.join(","))
    }
}

impl From<LayerChoice> for String {
    fn from(choice: LayerChoice) -> String {
        choice.to_string()
    }
}

impl TryFrom<String> for LayerChoice {
    type Error = AttentionError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for LayerChoice {
    type Err = AttentionError;

    fn from_str(text: &str) -> Result<Self> {
        let unreadable = || {
            AttentionError::Setting(format!(
                "layers `{text}`: expected `all`, factors like `1,2`, or indices like `#0,#5`"
            ))
        };
        if text.trim() == "all" {
            return Ok(LayerChoice::All);
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.iter().all(|part| part.starts_with('#')) {
            let indices = parts.iter().map(|part| part[1..].parse().map_err(|_| unreadable()));
            return Ok(LayerChoice::Indices(indices.collect::<Result<_>>()?));
        }
        let factors = parts.iter().map(|part| match part.parse() {
            Ok(factor) if factor > 0 => Ok(factor),
            _ => Err(unreadable()),
        });
        Ok(LayerChoice::Downscales(factors.collect::<Result<_>>()?))
    }
}

/// The wanted layers of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    wanted: Vec<bool>,
    downscales: Vec<i64>,
}

impl Layers {
    /// Number of cross-attention layers in the network, wanted or not.
    pub fn total(&self) -> usize {
        self.wanted.len()
    }

    /// Number of wanted layers, at least 1.
    pub fn count(&self) -> usize {
        self.wanted.iter().filter(|&&want| want).count()
    }

    /// Whether the layer is wanted; `None` if the network has no such layer.
    pub fn get(&self, index: usize) -> Option<bool> {
        self.wanted.get(index).copied()
    }

    /// Whether a hook should look at this layer: a wanted one, or an unknown one, which `observe` then refuses
    /// aloud instead of missing it in silence.
    pub(crate) fn to_observe(&self, index: usize) -> bool {
        self.get(index).unwrap_or(true)
    }

    /// How many times coarser than the latents a layer's feature map is.
    ///
    /// # Errors
    /// The network was not said to have this layer.
    pub(crate) fn downscale(&self, index: usize) -> Result<i64> {
        let unknown = AttentionError::UnknownLayer { index, layers: self.total() };
        self.downscales.get(index).copied().ok_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_by_factor_and_by_index() {
        let downscales = [1, 2, 4, 4, 2, 1];
        assert_eq!(LayerChoice::All.resolve(&downscales).unwrap().count(), 6);
        let coarse = LayerChoice::Downscales(vec![2, 4]).resolve(&downscales).unwrap();
        assert_eq!(coarse.wanted, [false, true, true, true, true, false]);
        let two = LayerChoice::Indices(vec![0, 5, 5]).resolve(&downscales).unwrap();
        assert_eq!(
            (two.count(), two.total(), two.get(0), two.get(1), two.get(6)),
            (2, 6, Some(true), Some(false), None)
        );
    }

    #[test]
    fn refuses_what_the_network_lacks() {
        let error = LayerChoice::Downscales(vec![3]).resolve(&[2, 1, 2]).unwrap_err().to_string();
        assert_eq!(error, "no cross-attention layer has downscale 3; the network has [1, 2]");
        assert!(matches!(
            LayerChoice::Indices(vec![2]).resolve(&[1, 1]),
            Err(AttentionError::UnknownLayer { index: 2, layers: 2 })
        ));
        assert!(LayerChoice::All.resolve(&[]).is_err());
        assert!(LayerChoice::Downscales(Vec::new()).resolve(&[1]).is_err());
    }

    #[test]
    fn text_goes_both_ways() {
        for choice in [LayerChoice::All, LayerChoice::Downscales(vec![1, 4]), LayerChoice::Indices(vec![0, 15])] {
            assert_eq!(choice.to_string().parse::<LayerChoice>().unwrap(), choice);
        }
        for bad in ["", "some", "1,#2", "0", "-1", "#x", "1.5"] {
            assert!(bad.parse::<LayerChoice>().is_err(), "`{bad}` was accepted");
        }
    }
}
