//! Normalisation over groups of channels.

use idembed_weights::{Init, Result, Scope, channels_last};
use tch::{Device, TchError, Tensor};

/// `(x - mean) / sqrt(variance + eps) * weight + bias`, with mean and variance over all positions of a group of channels of
/// one example (arXiv 1803.08494).
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    /// Reads `weight` and `bias`, each `[channels]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, channels: i64, groups: i64, eps: f64) -> Result<Self> {
        let weight = scope.tensor("weight", &[channels], Init::ONES)?;
        Ok(GroupNorm { weight, bias: scope.tensor("bias", &[channels], Init::ZEROS)?, groups, eps })
    }

    /// # Shapes
    /// - `x`, returns: `[batch, channels, ...]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        // On the CPU, libtorch's gradient takes ten times as long with the channels side by side; two copies cost less.
        if self.weight.requires_grad() && x.requires_grad() && x.device() == Device::Cpu && x.dim() == 4 {
            return channels_last(&self.normalise(&x.f_contiguous()?)?);
        }
        self.normalise(x)
    }

    fn normalise(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_weights::{Parameters, Weights};
    use tch::Kind;

    use super::*;

    #[test]
    fn in_training_it_is_the_plain_one_with_its_gradients() {
        let parameters = Parameters::new(0, Device::Cpu);
        let weights = Weights::from_parameters(&parameters, Kind::Float);
        let norm = GroupNorm::load(&(&weights.root() / "norm"), 6, 3, 1e-5).unwrap();
        let x = channels_last(&Tensor::randn([1, 6, 5, 3], (Kind::Float, Device::Cpu))).unwrap();
        let results = [GroupNorm::forward, GroupNorm::normalise].map(|forward| {
            let x = x.copy().set_requires_grad(true);
            let y = forward(&norm, &x).unwrap();
            // Each number counts differently.
            let weighted = (&y * Tensor::arange(90, (Kind::Float, Device::Cpu)).view([1, 6, 5, 3])).sum(Kind::Float);
            let leaves = [&x, &norm.weight, &norm.bias];
            let gradients = Tensor::run_backward(&[weighted], &leaves, false, false);
            [y.detach()].into_iter().chain(gradients).collect::<Vec<Tensor>>()
        });
        let [ours, plain] = results;
        for (ours, plain) in ours.iter().zip(&plain) {
            assert!((ours - plain).abs().max().double_value(&[]) <= 1e-5 * plain.abs().max().double_value(&[]));
        }
        assert_eq!(norm.forward(&x.set_requires_grad(true)).unwrap().stride(), [90, 1, 18, 6]);
    }
}
