//! What a parameter is before anything was learned: the defaults of PyTorch's layers.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

/// Of `transformers.CLIPTextModel`'s embeddings (`initializer_range` and `initializer_factor` of its configuration).
const EMBEDDING_STD: f64 = 0.02;

/// Of CLIP's `logit_scale`: the logarithm of 1 / 0.07 (arXiv 2103.00020, section 2.5).
const LOGIT_SCALE: f64 = 2.659_260_036_932_778;

/// The values a parameter starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Start {
    /// Evenly from minus this to this.
    Uniform(f64),
    /// Normally distributed around zero with this standard deviation.
    Normal(f64),
    /// All the same.
    Constant(f64),
}

impl Start {
    /// The start of the parameter `name`, given the shape of the weight of the same layer where that was made before.
    ///
    /// Weights and biases of linear and convolution layers lie evenly within `1 / sqrt(inputs of one output)`: what
    /// `kaiming_uniform_(a=sqrt(5))` comes down to. Normalisations start as the identity. A layer asks for its weight
    /// before its bias; a bias without a weight starts at zero. Embeddings of tokens, positions and classes are normally
    /// distributed, and its `logit_scale` begins, as in CLIP.
    pub(crate) fn of(name: &str, shape: &[i64], weight: Option<&[i64]>) -> Start {
        let layer = name.strip_suffix(".weight").unwrap_or(name);
        if layer.ends_with("_embedding") {
            return Start::Normal(EMBEDDING_STD);
        }
        if layer == "logit_scale" {
            return Start::Constant(LOGIT_SCALE);
        }
        let is_bias = name == "bias" || name.ends_with(".bias");
        let bound = |weight: &[i64]| 1.0 / (weight[1..].iter().product::<i64>().max(1) as f64).sqrt();
        match (is_bias, shape.len(), weight) {
            (true, _, Some(weight)) if weight.len() > 1 => Start::Uniform(bound(weight)),
            (true, _, _) => Start::Constant(0.0),
            (false, 0 | 1, _) => Start::Constant(1.0),
            (false, _, _) => Start::Uniform(bound(shape)),
        }
    }

    /// `count` values, the same for a seed and a name on every machine.
    pub(crate) fn draw(self, seed: u64, name: &str, count: usize) -> Vec<f32> {
        let key = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
        let mut generator = ChaCha8Rng::from_seed(key.into());
        let mut unit = || generator.random::<f64>();
        match self {
            Start::Constant(value) => vec![value as f32; count],
            Start::Uniform(bound) => (0..count).map(|_| (bound * (2.0 * unit() - 1.0)) as f32).collect(),
            Start::Normal(std) => (0..count).map(|_| (std * normal(unit(), unit())) as f32).collect(),
        }
    }
}

/// A standard normal number from two even ones in 0..1, by the transform of Box and Muller.
fn normal(first: f64, second: f64) -> f64 {
    // 1 - x is never zero.
    (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_start_as_in_pytorch() {
        let start = |name: &str, shape: &[i64], weight| Start::of(name, shape, weight);
        assert_eq!(start("conv.weight", &[8, 4, 3, 3], None), Start::Uniform(1.0 / 6.0));
        assert_eq!(start("conv.bias", &[8], Some(&[8, 4, 3, 3])), Start::Uniform(1.0 / 6.0));
        assert_eq!(start("to_q.weight", &[8, 16], None), Start::Uniform(0.25));
        assert_eq!(start("to_q.bias", &[8], Some(&[8, 16])), Start::Uniform(0.25));
        assert_eq!(start("text.token_embedding.weight", &[8, 16], None), Start::Normal(0.02));
        assert_eq!(start("class_embedding", &[8], None), Start::Normal(0.02));
        assert_eq!(start("logit_scale", &[], None), Start::Constant((1.0f64 / 0.07).ln()));
        assert_eq!(start("norm.weight", &[8], None), Start::Constant(1.0));
        assert_eq!(start("norm.bias", &[8], Some(&[8])), Start::Constant(0.0));
        assert_eq!(start("bias", &[8], None), Start::Constant(0.0));
    }

    #[test]
    fn values_fill_their_range_and_depend_on_seed_and_name() {
        let draw = |seed, name| Start::Uniform(0.5).draw(seed, name, 10_000);
        let values = draw(1, "a");
        let mean = values.iter().sum::<f32>() / 10_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert!(values.iter().all(|value| value.abs() <= 0.5));
        let normal = Start::Normal(2.0).draw(1, "a", 10_000);
        let moment = |power| normal.iter().map(|value| value.powi(power)).sum::<f32>() / 10_000.0;
        assert!(moment(1).abs() < 0.06 && (moment(2) - 4.0).abs() < 0.2 && (moment(4) - 48.0).abs() < 6.0);
        assert_eq!(values, draw(1, "a"));
        assert_ne!(values, draw(1, "b"));
        assert_ne!(values, draw(2, "a"));
    }
}
