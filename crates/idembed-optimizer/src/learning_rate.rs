//! The learning rate from step to step.

/// What the learning rate does after warming up.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// It falls to zero along half a cosine.
    Cosine,
}

/// The learning rate at every step: a linear warm-up, then [`Decay`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The rate after warming up.
    pub base: f64,
    /// Steps of warm-up; the first step uses `base / warm_up`.
    pub warm_up: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// What follows the warm-up.
    pub decay: Decay,
}

impl LearningRate {
    /// The rate of step `step`, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.base * (step + 1) as f64 / self.warm_up as f64;
        }
        match self.decay {
            Decay::Constant => self.base,
            Decay::Cosine => {
                let done = (step - self.warm_up) as f64 / (self.steps.saturating_sub(self.warm_up)).max(1) as f64;
                self.base * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_then_decays() {
        let rate = LearningRate { base: 0.1, warm_up: 4, steps: 14, decay: Decay::Cosine };
        assert_eq!(rate.at(0), 0.025);
        assert_eq!(rate.at(3), 0.1);
        assert_eq!(rate.at(4), 0.1);
        assert!((rate.at(9) - 0.05).abs() < 1e-12);
        assert!(rate.at(14) < 1e-12);
        assert_eq!(LearningRate { decay: Decay::Constant, ..rate }.at(100), 0.1);
        assert_eq!(LearningRate { warm_up: 0, decay: Decay::Constant, ..rate }.at(0), 0.1);
    }
}
