//! What a training run tells about itself.

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// The noise loss.
    pub noise_loss: f64,
    /// The attention loss before lambda, if there is one.
    pub attention_loss: Option<f64>,
    /// The weight of the attention loss.
    pub lambda: f64,
    /// The class pictures' noise loss times its weight, if there are any.
    pub prior_loss: Option<f64>,
    /// How long the step was: its learning rate, times the distance where the optimizer estimates one.
    pub step_size: f64,
    /// What was measured, at every [`crate::LearnConfig::log_every`]-th step.
    pub measured: Option<Measured>,
}

/// What costs extra to know about a step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// Norm of the noise loss's gradient with respect to the `[2 * stages, hidden]` tokens.
    pub grad_norm_noise: f64,
    /// Norm of the gradient of lambda times the attention loss; 0 without one.
    pub grad_norm_attention: f64,
    /// Share of the identity's attention outside the mask, averaged over layers and samples, if there is a mask.
    pub leakage: Option<f64>,
}

/// The losses of every step so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Noise losses.
    pub noise: Vec<f32>,
    /// Attention losses before lambda; empty if there is none.
    pub attention: Vec<f32>,
}

/// Between these, the attention loss and the noise loss both have a say.
pub const SENSIBLE_RATIOS: std::ops::RangeInclusive<f64> = 0.02..=5.0;

/// How strongly the attention loss pulls beside the noise loss: the median ratio of their gradients' norms, lambda
/// included. `None` without an attention loss.
///
/// At first the learned word is the class word and nothing pulls yet, so that only the second half of what was measured
/// counts.
pub fn gradient_ratio<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> Option<f64> {
    let ratios = measured.into_iter().map(|measured| measured.grad_norm_attention / measured.grad_norm_noise);
    let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
    let mut late = ratios[ratios.len() / 2..].to_vec();
    late.sort_by(f64::total_cmp);
    late.get(late.len() / 2).copied().filter(|&ratio| ratio > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio_of(norms: &[(f64, f64)]) -> Option<f64> {
        let measured = norms.iter().map(|&(grad_norm_attention, grad_norm_noise)| Measured {
            grad_norm_noise,
            grad_norm_attention,
            leakage: None,
        });
        gradient_ratio(&measured.collect::<Vec<_>>())
    }

    #[test]
    fn the_ratio_is_that_of_the_later_half() {
        assert_eq!(ratio_of(&[]), None);
        assert_eq!(ratio_of(&[(0.0, 1.0), (0.0, 2.0)]), None, "no attention loss");
        assert_eq!(ratio_of(&[(0.0, 1.0), (9.0, 1.0), (1.0, 2.0), (3.0, 4.0), (1.0, 4.0)]), Some(0.5));
    }
}
