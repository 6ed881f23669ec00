//! A word of the prompt and where its tokens stand.

use tch::{Device, Kind, Tensor};

use crate::error::{AttentionError, Result};

/// A word whose attention is of interest.
///
/// Its attention at a pixel is the sum over its token positions: the share of the pixel's attention that the word gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What to call it.
    pub label: String,
    /// Positions of its tokens in the prompt, the begin token being position 0.
    pub positions: Vec<i64>,
}

impl Word {
    /// A word at known positions.
    pub fn new(label: impl Into<String>, positions: Vec<i64>) -> Self {
        Word { label: label.into(), positions }
    }

    /// Finds every occurrence of a word in an encoded prompt; `None` if it does not occur.
    ///
    /// `prompt_ids` are the prompt's token ids with its begin token, `word_ids` the word's own ids without any.
    pub fn find(label: impl Into<String>, prompt_ids: &[i64], word_ids: &[i64]) -> Option<Self> {
        if word_ids.is_empty() {
            return None;
        }
        let mut positions: Vec<i64> = Vec::new();
        for (start, window) in prompt_ids.windows(word_ids.len()).enumerate() {
            let start = start as i64;
            // An occurrence may not overlap the one before it.
            if window == word_ids && positions.last().is_none_or(|&last| last < start) {
                positions.extend(start..start + word_ids.len() as i64);
            }
        }
        (!positions.is_empty()).then(|| Word::new(label, positions))
    }
}

/// Which token positions belong to which word: multiplied from the right to probabilities, it sums each word's tokens.
///
/// # Shapes
/// - `words`: token positions of each word
/// - returns: `[tokens, words]`, f32, ones and zeros
pub(crate) fn membership(words: &[&[i64]], tokens: i64, device: Device) -> Result<Tensor> {
    let mut flags = vec![0.0f32; tokens as usize * words.len()];
    for (column, positions) in words.iter().enumerate() {
        for &position in *positions {
            if !(0..tokens).contains(&position) {
                return Err(AttentionError::Position { position, tokens });
            }
            flags[position as usize * words.len() + column] = 1.0;
        }
    }
    Ok(Tensor::f_from_slice(&flags)?
        .f_view([tokens, words.len() as i64])?
        .f_to_kind(Kind::Float)?
        .f_to_device(device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_occurrence() {
        let prompt = [9, 4, 5, 6, 4, 5, 8, 8, 8];
        assert_eq!(Word::find("word", &prompt, &[4, 5]).unwrap().positions, [1, 2, 4, 5]);
        assert_eq!(Word::find("pair", &prompt, &[8, 8]).unwrap().positions, [6, 7]);
        assert_eq!(Word::find("absent", &prompt, &[5, 4]), None);
        assert_eq!(Word::find("empty", &prompt, &[]), None);
        assert_eq!(Word::find("long", &[4], &[4, 5]), None);
    }

    #[test]
    fn membership_refuses_positions_outside() {
        let matrix = membership(&[&[0, 2], &[1]], 3, Device::Cpu).unwrap();
        assert_eq!(Vec::<Vec<f32>>::try_from(matrix).unwrap(), [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
        for position in [-1, 3] {
            let error = membership(&[&[position]], 3, Device::Cpu).unwrap_err();
            assert!(matches!(error, AttentionError::Position { tokens: 3, .. }), "{error}");
        }
    }
}
