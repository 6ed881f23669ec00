//! AdamW, gradient clipping and the learning rate.
//!
//! Source: arXiv 1711.05101 (decoupled weight decay); the order of operations is that of `torch.optim.AdamW`.

use std::fmt;
use std::str::FromStr;

use tch::Tensor;

use crate::Result;

/// Added to the gradient's norm before dividing by it, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of the squared gradients.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Share of a parameter that is taken away per step and unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW with its whole state in sight, so that it can be saved and restored exactly.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u32,
    moments: Vec<Moments>,
}

/// The running means of one parameter.
#[derive(Debug)]
pub struct Moments {
    /// Mean of the gradients.
    pub mean: Tensor,
    /// Mean of the squared gradients.
    pub square: Tensor,
}

impl AdamW {
    /// An optimizer for parameters of these shapes, with nothing seen yet.
    pub fn new(config: AdamWConfig, parameters: &[&Tensor]) -> Result<Self> {
        let moments = parameters
            .iter()
            .map(|parameter| {
                let mean = parameter.f_detach()?.f_zeros_like()?;
                Ok(Moments { square: mean.f_zeros_like()?, mean })
            })
            .collect::<Result<_>>()?;
        Ok(AdamW { config, steps: 0, moments })
    }

    /// An optimizer in the state that [`AdamW::steps`] and [`AdamW::moments`] had.
    pub fn restore(config: AdamWConfig, steps: u32, moments: Vec<Moments>) -> Self {
        AdamW { config, steps, moments }
    }

    /// Number of updates done.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The running means, in the order of the parameters.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Updates the parameters in place, each with a learning rate of its own.
    ///
    /// # Shapes
    /// - `parameters`, `gradients`: as given to [`AdamW::new`], in that order
    pub fn update(&mut self, parameters: &[&Tensor], gradients: &[Tensor], learning_rates: &[f64]) -> Result<()> {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        self.steps += 1;
        let correction1 = 1.0 - beta1.powf(f64::from(self.steps));
        let correction2 = 1.0 - beta2.powf(f64::from(self.steps));
        tch::no_grad(|| {
            let inputs = parameters.iter().zip(gradients).zip(learning_rates);
            for (((parameter, gradient), learning_rate), moments) in inputs.zip(&mut self.moments) {
                let mean = moments.mean.f_mul_scalar(beta1)?.f_add(&gradient.f_mul_scalar(1.0 - beta1)?)?;
                let squared = gradient.f_mul(gradient)?.f_mul_scalar(1.0 - beta2)?;
                let square = moments.square.f_mul_scalar(beta2)?.f_add(&squared)?;
                let denominator = square.f_sqrt()?.f_div_scalar(correction2.sqrt())?.f_add_scalar(eps)?;
                let step = mean.f_div(&denominator)?.f_mul_scalar(learning_rate / correction1)?;
                let decayed = parameter.f_mul_scalar(1.0 - learning_rate * weight_decay)?;
                // A shallow clone shares the storage: the parameter stays the same leaf of the graph.
                parameter.shallow_clone().f_copy_(&decayed.f_sub(&step)?)?;
                *moments = Moments { mean, square };
            }
            Ok(())
        })
    }
}

/// The norm of all gradients taken as one vector.
pub fn global_norm(gradients: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients {
        let norm = gradient.f_norm()?.f_double_value(&[])?;
        sum += norm * norm;
    }
    Ok(sum.sqrt())
}

/// Scales the gradients down so that their global norm is at most `max_norm`; returns the norm before.
pub fn clip_by_global_norm(gradients: &mut [Tensor], max_norm: f64) -> Result<f64> {
    let norm = global_norm(gradients)?;
    let factor = max_norm / (norm + CLIP_EPS);
    if factor < 1.0 {
        for gradient in gradients {
            *gradient = gradient.f_mul_scalar(factor)?;
        }
    }
    Ok(norm)
}

/// What the learning rate does after warming up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// It falls to zero along half a cosine.
    Cosine,
}

impl fmt::Display for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Decay::Constant => "constant",
            Decay::Cosine => "cosine",
        })
    }
}

impl FromStr for Decay {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "constant" => Ok(Decay::Constant),
            "cosine" => Ok(Decay::Cosine),
            _ => Err(format!("`{text}` is not one of constant, cosine")),
        }
    }
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
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
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

    #[test]
    fn clips_only_what_is_too_long() {
        let mut gradients = [Tensor::from_slice(&[3.0f32]), Tensor::from_slice(&[4.0f32])];
        assert_eq!(clip_by_global_norm(&mut gradients, 10.0).unwrap(), 5.0);
        assert_eq!(gradients[0].double_value(&[0]), 3.0);
        clip_by_global_norm(&mut gradients, 1.0).unwrap();
        assert!((global_norm(&gradients).unwrap() - 1.0).abs() < 1e-5);
    }
}
