//! AdamW.
//!
//! Source: arXiv 1711.05101 (decoupled weight decay); the order of operations is that of `torch.optim.AdamW`.

use tch::{TchError, Tensor};

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
    pub(crate) steps: u32,
    pub(crate) moments: Vec<Moments>,
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
    pub fn new(config: AdamWConfig, parameters: &[&Tensor]) -> Result<Self, TchError> {
        let moments = parameters
            .iter()
            .map(|parameter| {
                let mean = parameter.f_detach()?.f_zeros_like()?;
                Ok(Moments { square: mean.f_zeros_like()?, mean })
            })
            .collect::<Result<_, TchError>>()?;
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
    pub fn update(
        &mut self,
        parameters: &[&Tensor],
        gradients: &[Tensor],
        learning_rates: &[f64],
    ) -> Result<(), TchError> {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        self.steps += 1;
        let correction1 = 1.0 - beta1.powf(f64::from(self.steps));
        let correction2 = 1.0 - beta2.powf(f64::from(self.steps));
        tch::no_grad(|| {
            let inputs = parameters.iter().zip(gradients).zip(learning_rates);
            for (((parameter, gradient), learning_rate), Moments { mean, square }) in inputs.zip(&mut self.moments) {
                let _ = mean.f_lerp_(gradient, 1.0 - beta1)?;
                let _ = square.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
                let mut denominator = square.f_sqrt()?;
                let _ = denominator.f_div_scalar_(correction2.sqrt())?.f_add_scalar_(eps)?;
                let _ = denominator.f_mul_scalar_(-correction1 / learning_rate)?;
                // A shallow clone shares the storage: the parameter stays the same leaf of the graph.
                let mut parameter = parameter.shallow_clone();
                let _ = parameter.f_mul_scalar_(1.0 - learning_rate * weight_decay)?;
                let _ = parameter.f_addcdiv_(mean, &denominator)?;
            }
            Ok(())
        })
    }
}
