//! How far one layer's attention is from its target.

use tch::{Kind, Tensor};

use crate::error::{AttentionError, Result};
use crate::mask::Mask;
use crate::options::{NORMAL_SIDE, Norm, Reduction};
use crate::word::membership;

/// Distance of two stacks of maps.
///
/// `downscale` says how many times coarser than the latents the maps are.
///
/// # Shapes
/// - `learned`, `reference`: `[batch, heads, pixels, tokens]`, f32, rows sum to 1
/// - returns: scalar
///
/// # Source
/// arXiv 2402.00631, face-wise attention loss.
pub(crate) fn map_distance(
    learned: &Tensor,
    reference: &Tensor,
    downscale: i64,
    norm: Norm,
    reduction: Reduction,
) -> Result<Tensor> {
    let (batch, heads, pixels, tokens) = learned.size4()?;
    let sum = match norm {
        Norm::Squared => learned.f_mse_loss(reference, tch::Reduction::Sum)?,
        Norm::Absolute => learned.f_l1_loss(reference, tch::Reduction::Sum)?,
    };
    let weight = match reduction {
        Reduction::Normalised => (NORMAL_SIDE as f64 / downscale as f64).powi(2) / pixels as f64,
        Reduction::Sum => 1.0,
        Reduction::PixelMean => 1.0 / pixels as f64,
        Reduction::Mean => 1.0 / (pixels * tokens) as f64,
    };
    Ok(sum.f_mul_scalar(weight / (batch * heads) as f64)?)
}

/// Distance of the learned word's map from the mask.
///
/// The word's attention, averaged over heads, is divided by its maximum over the pixels (with gradient) and compared
/// with the area-resized mask: mean square over pixels and batch.
///
/// # Shapes
/// - `size`: height and width of the layer's feature map
/// - `probs`: `[batch, heads, height * width, tokens]`, f32
/// - returns: scalar
///
/// # Source
/// arXiv 2305.16311, cross-attention loss; its published code divides by the maximum.
pub(crate) fn mask_distance(size: (i64, i64), probs: &Tensor, mask: &Mask, positions: &[Vec<i64>]) -> Result<Tensor> {
    let (batch, _, pixels, tokens) = probs.size4()?;
    for (what, count) in [("masks", mask.batch()), ("position lists", positions.len() as i64)] {
        if count != 1 && count != batch {
            return Err(AttentionError::Setting(format!(
                "{count} {what} for a batch of {batch}, expected 1 or {batch}"
            )));
        }
    }
    let words: Vec<&[i64]> = positions.iter().map(Vec::as_slice).collect();
    // `[tokens, words]` to `[words, 1, tokens, 1]`: each sample picks its own word's tokens.
    let pick = membership(&words, tokens, probs.device())?.f_transpose(0, 1)?.f_unsqueeze(1)?.f_unsqueeze(-1)?;
    let map = probs.f_matmul(&pick)?.f_squeeze_dim(-1)?.f_mean_dim(1i64, false, Kind::Float)?;
    let peak = map.f_amax(-1i64, true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
    let wanted = mask.resized(size.0, size.1, probs.device())?.f_flatten(1, -1)?.f_expand([batch, pixels], false)?;
    Ok(map.f_div(&peak)?.f_mse_loss(&wanted, tch::Reduction::Mean)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_divide_one_sum() {
        // One sample, two heads, three pixels, two tokens; every value differs by 0.5.
        let learned = Tensor::zeros([1, 2, 3, 2], (Kind::Float, tch::Device::Cpu));
        let reference = &learned + 0.5;
        let distance =
            |norm, reduction| map_distance(&learned, &reference, 4, norm, reduction).unwrap().double_value(&[]);
        assert_eq!(distance(Norm::Squared, Reduction::Sum), 0.25 * 3.0 * 2.0);
        assert_eq!(distance(Norm::Squared, Reduction::PixelMean), 0.25 * 2.0);
        assert_eq!(distance(Norm::Absolute, Reduction::Mean), 0.5);
        // Latents of 16 x 16 have 4 x 4 pixels in a layer that is 4 times coarser.
        assert_eq!(distance(Norm::Squared, Reduction::Normalised), 0.25 * 2.0 * 16.0);
    }

    #[test]
    fn the_normalised_form_does_not_depend_on_the_size() {
        let options = (Kind::Float, tch::Device::Cpu);
        let small = Tensor::arange(2 * 3 * 4 * 5, options).view([2, 3, 4, 5]).softmax(-1, Kind::Float);
        let other = small.flip([3]);
        // Every pixel becomes nine, as in a picture of three times the side.
        let large = |maps: &Tensor| maps.repeat_interleave_self_int(9, 2, None);
        let distance = |learned: &Tensor, reference: &Tensor, reduction| {
            map_distance(learned, reference, 2, Norm::Squared, reduction).unwrap().double_value(&[])
        };
        let of = |reduction| distance(&large(&small), &large(&other), reduction) / distance(&small, &other, reduction);
        assert!((of(Reduction::Normalised) - 1.0).abs() < 1e-6);
        assert!((of(Reduction::Sum) - 9.0).abs() < 1e-5);
    }

    #[test]
    fn a_map_like_its_mask_has_no_distance() {
        let probs = Tensor::from_slice(&[0.0f32, 0.2, 0.2, 0.0]).reshape([1, 1, 4, 1]);
        let mask = Mask::new(&Tensor::from_slice(&[0.0f32, 1.0, 1.0, 0.0]).reshape([1, 1, 2, 2])).unwrap();
        assert_eq!(mask_distance((2, 2), &probs, &mask, &[vec![0]]).unwrap().double_value(&[]), 0.0);
    }

    #[test]
    fn a_map_of_zeros_stays_finite() {
        let probs = Tensor::zeros([1, 1, 4, 1], (Kind::Float, tch::Device::Cpu));
        let mask = Mask::new(&Tensor::ones([1, 1, 1, 1], (Kind::Float, tch::Device::Cpu))).unwrap();
        assert_eq!(mask_distance((2, 2), &probs, &mask, &[vec![0]]).unwrap().double_value(&[]), 1.0);
    }
}
