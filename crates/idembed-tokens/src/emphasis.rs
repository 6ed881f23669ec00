//! Weights of words in a prompt, laid on the states of the text encoders.

use idembed_clip::EncodedText;
use tch::{Device, Kind, Tensor};

use crate::{Result, TokensError};

/// The states of a chunk times the weights of its tokens, rescaled to the mean that they had: for each text encoder by itself, as
/// if it were the only one.
///
/// With states `z` and weights `w`: `z w mean(z) / mean(z w)`, the means over all tokens and numbers of a text. What is pooled
/// stays as it is.
///
/// # Shapes
/// - `text`: states `[batch, tokens, sum of widths]`
/// - `weights`: one for each token
/// - `widths`: of the text encoders
///
/// # Errors
/// Weights that leave no mean to rescale.
///
/// # Source
/// AUTOMATIC1111's web UI, the emphasis that it calls "Original" and takes by default.
pub(crate) fn weigh(text: EncodedText, weights: &[f32], widths: &[i64], prompt: &str) -> Result<EncodedText> {
    let kind = text.states.kind();
    let column = Tensor::f_from_slice(weights)?.f_to_device(text.states.device())?.f_unsqueeze(-1)?;
    let of_encoder = |states: &Tensor| -> Result<Tensor> {
        let states = states.f_to_kind(Kind::Float)?;
        let weighed = states.f_mul(&column)?;
        // The numbers of a text nearly cancel in their mean.
        let mean = |states: &Tensor| states.f_mean_dim([1i64, 2].as_slice(), true, Kind::Double);
        let scale = mean(&states)?.f_div(&mean(&weighed)?)?.f_to_kind(Kind::Float)?;
        if scale.f_isfinite()?.f_all()?.f_to_device(Device::Cpu)?.f_int64_value(&[])? == 0 {
            return Err(TokensError::WeightsCancel { prompt: prompt.to_owned() });
        }
        Ok(weighed.f_mul(&scale)?.f_to_kind(kind)?)
    };
    let states = text.states.f_split_with_sizes(widths, -1)?;
    let states = states.iter().map(of_encoder).collect::<Result<Vec<_>>>()?;
    Ok(EncodedText { states: Tensor::f_cat(&states, -1)?, ..text })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn text(states: &[f32], shape: &[i64]) -> EncodedText {
        EncodedText { states: Tensor::from_slice(states).view(shape), pooled: None }
    }

    #[test]
    fn every_text_and_encoder_keeps_its_mean() {
        // Two texts of two tokens, for encoders of width 1 and 2.
        let states = [1.0, 2.0, 4.0, 3.0, 6.0, 2.0, 2.0, 1.0, 1.0, 0.0, 5.0, 5.0];
        let weighed = weigh(text(&states, &[2, 2, 3]), &[1.0, 3.0], &[1, 2], "").unwrap().states;
        let expected = |text: i64, encoder: [i64; 2]| {
            let part = |states: &Tensor| states.get(text).narrow(1, encoder[0], encoder[1]).to_kind(Kind::Double);
            let own = part(&Tensor::from_slice(&states).view([2, 2, 3]));
            let product = &own * Tensor::from_slice(&[1.0, 3.0]).view([2, 1]);
            let scaled = &product * (own.mean(Kind::Double) / product.mean(Kind::Double));
            assert!((scaled - part(&weighed)).abs().max().double_value(&[]) < 1e-6, "{text} {encoder:?}");
        };
        [0, 1].into_iter().for_each(|text| [[0, 1], [1, 2]].into_iter().for_each(|encoder| expected(text, encoder)));
    }

    #[test]
    fn nothing_to_rescale_is_refused() {
        let cancelled = weigh(text(&[1.0, 1.0], &[1, 2, 1]), &[1.0, -1.0], &[1], "a (b:-1)").unwrap_err();
        assert!(matches!(cancelled, TokensError::WeightsCancel { prompt } if prompt == "a (b:-1)"));
    }
}
