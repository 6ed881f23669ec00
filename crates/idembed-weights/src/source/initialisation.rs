//! What a parameter is before anything was learned.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

/// The values a parameter starts with. The layer that asks for it says which.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Evenly from minus this to this.
    Uniform(f64),
    /// Normally distributed around zero with this standard deviation.
    Normal(f64),
    /// All the same.
    Constant(f64),
}

impl Init {
    /// Of what a normalisation adds.
    pub const ZEROS: Init = Init::Constant(0.0);
    /// Of what a normalisation multiplies with.
    pub const ONES: Init = Init::Constant(1.0);

    /// Of weight and bias of a linear or convolution layer, each of whose outputs has so many inputs: evenly within
    /// `1 / sqrt(inputs)`, which is what PyTorch's `kaiming_uniform_(a=sqrt(5))` comes down to.
    pub fn fan_in(inputs: i64) -> Init {
        Init::Uniform(1.0 / (inputs.max(1) as f64).sqrt())
    }

    /// `count` values, the same for a seed and a name on every machine.
    pub(crate) fn draw(self, seed: u64, name: &str, count: usize) -> Vec<f32> {
        let key = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
        let mut generator = ChaCha8Rng::from_seed(key.into());
        let mut unit = || generator.random::<f64>();
        match self {
            Init::Constant(value) => vec![value as f32; count],
            Init::Uniform(bound) => (0..count).map(|_| (bound * (2.0 * unit() - 1.0)) as f32).collect(),
            Init::Normal(std) => (0..count).map(|_| (std * normal(unit(), unit())) as f32).collect(),
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
    fn values_fill_their_range_and_depend_on_seed_and_name() {
        let draw = |seed, name| Init::Uniform(0.5).draw(seed, name, 10_000);
        let values = draw(1, "a");
        let mean = values.iter().sum::<f32>() / 10_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert!(values.iter().all(|value| value.abs() <= 0.5));
        let normal = Init::Normal(2.0).draw(1, "a", 10_000);
        let moment = |power| normal.iter().map(|value| value.powi(power)).sum::<f32>() / 10_000.0;
        assert!(moment(1).abs() < 0.06 && (moment(2) - 4.0).abs() < 0.2 && (moment(4) - 48.0).abs() < 6.0);
        assert_eq!(values, draw(1, "a"));
        assert_ne!(values, draw(1, "b"));
        assert_ne!(values, draw(2, "a"));
    }
}
