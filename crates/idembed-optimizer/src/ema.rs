//! The exponential moving average of parameters, with which a network is better than with the latest ones.

use tch::{TchError, Tensor};

/// How fast an average follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ema {
    /// The share of the average that stays per step, once the run is long.
    pub decay: f64,
}

impl Ema {
    /// The share that stays at the update of step `step`, counted from 0: at first the average follows closely, or else
    /// it would remember for long what the network was before it had learned anything.
    ///
    /// # Source
    /// Nothing at step 0, then `min(decay, (1 + step) / (10 + step))`, as diffusers' `EMAModel` has it.
    pub fn decay_at(&self, step: usize) -> f64 {
        if step == 0 { 0.0 } else { self.decay.min((1 + step) as f64 / (10 + step) as f64) }
    }

    /// Moves each of `averages` in place towards its parameter.
    ///
    /// # Shapes
    /// - `averages`, `parameters`: the same shapes in the same order
    pub fn update(&self, averages: &[&Tensor], parameters: &[&Tensor], step: usize) -> Result<(), TchError> {
        let share = 1.0 - self.decay_at(step);
        tch::no_grad(|| {
            for (average, parameter) in averages.iter().zip(parameters) {
                let _ = average.shallow_clone().f_lerp_(parameter, share)?;
            }
            Ok(())
        })
    }
}
