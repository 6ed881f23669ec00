//! Prodigy: AdamW that finds the size of its steps by itself.
//!
//! Source: arXiv 2306.06101, algorithm 4; constants and order of operations are those of the package `prodigyopt` with its
//! defaults.

use tch::{Kind, TchError, Tensor};

/// The first estimate of the distance: far below any real one. It only grows.
const FIRST_DISTANCE: f64 = 1e-6;

/// The constants of Prodigy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProdigyConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of the squared gradients; its square root is that of the estimate's sums.
    pub beta2: f64,
    /// Added to the denominator, times the estimate.
    pub eps: f64,
    /// Share of a parameter that is taken away per step and unit of step size.
    pub weight_decay: f64,
}

impl Default for ProdigyConfig {
    fn default() -> Self {
        ProdigyConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Prodigy with its whole state in sight.
///
/// It estimates how far the parameters are from where they should be, and makes AdamW's steps that long; its learning rate is a
/// factor of that and usually 1.
#[derive(Debug)]
pub struct Prodigy {
    config: ProdigyConfig,
    pub(crate) estimate: Estimate,
    pub(crate) moments: Vec<ProdigyMoments>,
}

/// What is known of the distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The distance: what a step of learning rate 1 is long.
    pub distance: f64,
    /// The sum over steps by which it is estimated.
    pub numerator: f64,
}

impl Estimate {
    /// Whether a run can have come to it.
    pub fn is_possible(self) -> bool {
        self.distance >= FIRST_DISTANCE && self.distance.is_finite() && self.numerator.is_finite()
    }
}

/// What is kept of one parameter.
#[derive(Debug)]
pub(crate) struct ProdigyMoments {
    pub(crate) mean: Tensor,
    pub(crate) square: Tensor,
    /// Sum of the gradients, weighed as the numerator.
    pub(crate) sum: Tensor,
    /// Where the parameter began.
    pub(crate) start: Tensor,
}

impl Prodigy {
    /// An optimizer for these parameters, with nothing seen yet.
    pub fn new(config: ProdigyConfig, parameters: &[&Tensor]) -> Result<Self, TchError> {
        let moments = parameters.iter().map(|parameter| {
            let start = parameter.f_detach()?.copy();
            let zeros = || start.f_zeros_like();
            Ok(ProdigyMoments { mean: zeros()?, square: zeros()?, sum: zeros()?, start })
        });
        let estimate = Estimate { distance: FIRST_DISTANCE, numerator: 0.0 };
        Ok(Prodigy { config, estimate, moments: moments.collect::<Result<_, TchError>>()? })
    }

    /// Updates the parameters in place.
    ///
    /// Where learning rates differ, a parameter's distance counts in units of its share of the largest rate, so that one estimate
    /// serves all.
    ///
    /// # Shapes
    /// - `parameters`, `gradients`: as given to [`Prodigy::new`], in that order
    pub fn update(
        &mut self,
        parameters: &[&Tensor],
        gradients: &[Tensor],
        learning_rates: &[f64],
    ) -> Result<(), TchError> {
        let ProdigyConfig { beta1, beta2, eps, weight_decay } = self.config;
        let beta3 = beta2.sqrt();
        let before = self.estimate.distance;
        let largest_rate = learning_rates.iter().copied().fold(0.0, f64::max);
        let weight = before / FIRST_DISTANCE * before;
        tch::no_grad(|| {
            // The gradients' products with the ways that the parameters have gone, and the sizes of the sums.
            let (mut products, mut sizes) = (Vec::new(), Vec::new());
            let inputs = parameters.iter().zip(gradients).zip(learning_rates);
            for (((parameter, gradient), learning_rate), moments) in inputs.zip(&mut self.moments) {
                let ProdigyMoments { mean, square, sum, start } = moments;
                products.push(start.f_sub(parameter)?.f_mul(gradient)?.f_sum(Kind::Float)?);
                let _ = mean.f_mul_scalar_(beta1)?.f_add_(&gradient.f_mul_scalar(before * (1.0 - beta1))?)?;
                let squared = gradient.f_square()?.f_mul_scalar(before * before * (1.0 - beta2))?;
                let _ = square.f_mul_scalar_(beta2)?.f_add_(&squared)?;
                let _ = sum.f_mul_scalar_(beta3)?.f_add_(&gradient.f_mul_scalar(weight * learning_rate)?)?;
                sizes.push(sum.f_abs()?.f_sum(Kind::Float)?);
            }
            // Two numbers leave the device, not two for each parameter.
            let total = |parts: &[Tensor]| Tensor::f_stack(parts, 0)?.f_sum(Kind::Double)?.f_double_value(&[]);
            let (product, denominator) = (total(&products)?, total(&sizes)?);
            let numerator = self.estimate.numerator * beta3 + weight * largest_rate * product;
            // Nothing has pulled yet.
            if denominator == 0.0 {
                return Ok(());
            }
            let distance = before.max(numerator / denominator);
            self.estimate = Estimate { distance, numerator };
            for ((parameter, learning_rate), moments) in parameters.iter().zip(learning_rates).zip(&self.moments) {
                let mut denominator = moments.square.f_sqrt()?;
                let _ = denominator.f_add_scalar_(distance * eps)?;
                let step = before * learning_rate;
                let _ = denominator.f_div_scalar_(-step)?;
                // A shallow clone shares the storage: the parameter stays the same leaf of the graph.
                let mut parameter = parameter.shallow_clone();
                let _ = parameter.f_mul_scalar_(1.0 - step * weight_decay)?;
                let _ = parameter.f_addcdiv_(&moments.mean, &denominator)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    /// Where two parameters end on the way to (3, -2), the second counted in parts of a `scale`, and what the distance is then.
    /// They begin near zero, where f32 holds the first steps, which are millionths.
    fn end(rates: [f64; 2], scale: f64) -> ([f64; 2], f64) {
        let parameters = [Tensor::from_slice(&[0f32]), Tensor::from_slice(&[(1e-4 / scale) as f32])];
        let parameters: Vec<&Tensor> = parameters.iter().collect();
        let mut optimizer = Prodigy::new(ProdigyConfig { eps: 0.0, ..ProdigyConfig::default() }, &parameters).unwrap();
        for _ in 0..60 {
            let gradients = [parameters[0] - 3.0, (parameters[1] * scale + 2.0) * scale];
            optimizer.update(&parameters, &gradients, &rates).unwrap();
        }
        ([parameters[0].double_value(&[0]), parameters[1].double_value(&[0]) * scale], optimizer.estimate.distance)
    }

    #[test]
    fn a_rate_of_its_own_is_the_unit_of_a_parameter() {
        let (plain, distance) = end([1.0, 1.0], 1.0);
        let (scaled, same) = end([1.0, 0.1], 10.0);
        assert!(distance > 0.1 && (plain[0] - 3.0).abs() < 1.0, "it moves: {plain:?}, {distance}");
        assert!((distance / same - 1.0).abs() < 1e-3, "{distance} {same}");
        assert!(plain.iter().zip(scaled).all(|(plain, scaled)| (plain - scaled).abs() < 1e-2), "{plain:?} {scaled:?}");
    }

    #[test]
    fn nothing_happens_without_a_gradient() {
        let parameter = Tensor::from_slice(&[1f32]);
        let config = ProdigyConfig { eps: 0.0, weight_decay: 0.5, ..ProdigyConfig::default() };
        let mut optimizer = Prodigy::new(config, &[&parameter]).unwrap();
        optimizer.update(&[&parameter], &[parameter.zeros_like()], &[1.0]).unwrap();
        assert_eq!((parameter.double_value(&[0]), optimizer.estimate.distance), (1.0, FIRST_DISTANCE));
    }
}
