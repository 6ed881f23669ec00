//! Lion: steps of one length, in the direction of the sign of a mean gradient.
//!
//! Source: arXiv 2302.06675, algorithm 2; the order of operations is that of the package `lion-pytorch`.

use tch::{TchError, Tensor};

/// The constants of Lion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LionConfig {
    /// Share of the mean in the direction of a step.
    pub beta1: f64,
    /// Decay of the mean of the gradients.
    pub beta2: f64,
    /// Share of a parameter that is taken away per step and unit of learning rate.
    pub weight_decay: f64,
}

impl Default for LionConfig {
    fn default() -> Self {
        LionConfig { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

/// Lion with its whole state in sight.
#[derive(Debug)]
pub struct Lion {
    config: LionConfig,
    pub(crate) steps: u32,
    /// Mean of each parameter's gradients.
    pub(crate) means: Vec<Tensor>,
}

impl Lion {
    /// An optimizer for parameters of these shapes, with nothing seen yet.
    pub fn new(config: LionConfig, parameters: &[&Tensor]) -> Result<Self, TchError> {
        let means = parameters.iter().map(|parameter| parameter.f_detach()?.f_zeros_like());
        Ok(Lion { config, steps: 0, means: means.collect::<Result<_, _>>()? })
    }

    /// Updates the parameters in place, each with a learning rate of its own: the length of the step of each number.
    ///
    /// # Shapes
    /// - `parameters`, `gradients`: as given to [`Lion::new`], in that order
    pub fn update(
        &mut self,
        parameters: &[&Tensor],
        gradients: &[Tensor],
        learning_rates: &[f64],
    ) -> Result<(), TchError> {
        let LionConfig { beta1, beta2, weight_decay } = self.config;
        self.steps += 1;
        tch::no_grad(|| {
            let inputs = parameters.iter().zip(gradients).zip(learning_rates);
            for (((parameter, gradient), learning_rate), mean) in inputs.zip(&mut self.means) {
                let direction = mean.f_lerp(gradient, 1.0 - beta1)?.f_sign()?;
                // A shallow clone shares the storage: the parameter stays the same leaf of the graph.
                let mut parameter = parameter.shallow_clone();
                let _ = parameter.f_mul_scalar_(1.0 - learning_rate * weight_decay)?;
                let _ = parameter.f_add_(&direction.f_mul_scalar(-learning_rate)?)?;
                let _ = mean.f_lerp_(gradient, 1.0 - beta2)?;
            }
            Ok(())
        })
    }
}
