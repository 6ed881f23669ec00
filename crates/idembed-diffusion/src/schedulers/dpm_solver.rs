//! One step of DPM-Solver++ (arXiv 2211.01095), without noise or as a stochastic equation (SDE-DPM-Solver++ there).
//!
//! Source: diffusers 0.42, `DPMSolverMultistepScheduler` and `DPMSolverSinglestepScheduler`, which take the same step from
//! other points.

use tch::Tensor;

use super::config::{SchedulerConfigJson, choose, refuse, unsupported};
use super::log_snr::Level;
use super::weighted_sum;
use crate::Result;

/// What a step of second order does with the slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Correction {
    Midpoint,
    Heun,
}

/// What both classes read from the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Solver {
    pub(super) order: usize,
    pub(super) correction: Correction,
    /// Whether fresh noise is added at every step.
    pub(super) stochastic: bool,
}

impl Solver {
    pub(super) fn resolve(config: &SchedulerConfigJson, stochastic: bool) -> Result<Self> {
        for (field, flag) in [
            ("thresholding", config.thresholding),
            ("use_exponential_sigmas", config.use_exponential_sigmas),
            ("use_beta_sigmas", config.use_beta_sigmas),
            ("use_lu_lambdas", config.use_lu_lambdas),
            ("use_flow_sigmas", config.use_flow_sigmas),
        ] {
            refuse(field, flag)?;
        }
        // Fixed variances (DDPM's files name one) do not concern these samplers; learned ones double the output's channels.
        if let Some(variance) = config.variance_type.as_ref().filter(|variance| variance.starts_with("learned")) {
            return Err(unsupported("variance_type", format!("\"{variance}\""), "null"));
        }
        // The values behind the first two are those of related solvers' files, which diffusers takes for the first.
        let corrections = [
            ("midpoint", Correction::Midpoint),
            ("heun", Correction::Heun),
            ("logrho", Correction::Midpoint),
            ("bh1", Correction::Midpoint),
            ("bh2", Correction::Midpoint),
        ];
        let correction = choose("solver_type", config.solver_type.as_deref(), Correction::Midpoint, &corrections)?;
        let order = match config.solver_order.unwrap_or(2) {
            order @ 1..=3 => order as usize,
            order => return Err(unsupported("solver_order", order, "1, 2 or 3")),
        };
        Ok(Self { order, correction, stochastic })
    }

    /// The step from one level to another.
    pub(super) fn step(&self, from: Level, to: Level) -> Step {
        let h = to.lambda - from.lambda;
        if self.stochastic {
            let renewed = 1.0 - (-2.0 * h).exp();
            return Step {
                latents: to.sigma / from.sigma * (-h).exp(),
                clean: to.alpha * renewed,
                midpoint: 0.5 * (to.alpha * renewed),
                slope: to.alpha * (renewed / (-2.0 * h) + 1.0),
                curve: to.alpha * ((renewed - 2.0 * h) / (2.0 * h * (2.0 * h)) - 0.5),
                noise: to.sigma * renewed.sqrt(),
                h,
            };
        }
        let lost = (-h).exp() - 1.0;
        Step {
            latents: to.sigma / from.sigma,
            clean: -(to.alpha * lost),
            midpoint: -0.5 * (to.alpha * lost),
            slope: to.alpha * (lost / h + 1.0),
            curve: -(to.alpha * ((lost + h) / (h * h) - 0.5)),
            noise: 0.0,
            h,
        }
    }

    /// The noise of a step, if this solver adds some.
    pub(super) fn noise(&self, noise: Option<&Tensor>, latents: &Tensor) -> Result<Option<Tensor>> {
        if !self.stochastic {
            return Ok(None);
        }
        super::step_noise(noise, latents).map(Some)
    }
}

/// What the latents after a step are the sum of, each with its weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    latents: f32,
    clean: f32,
    /// Of the slope, where [`Correction::Midpoint`] takes a step of second order.
    midpoint: f32,
    /// Of the slope otherwise.
    slope: f32,
    /// Of the second derivative.
    curve: f32,
    noise: f32,
    /// How far the step goes.
    pub(super) h: f32,
}

impl Step {
    /// First order.
    pub(super) fn first(&self, latents: &Tensor, clean: &Tensor, noise: Option<&Tensor>) -> Result<Tensor> {
        let next = weighted_sum(self.latents, latents, self.clean, clean)?;
        noise.map_or_else(|| Ok(next.shallow_clone()), |noise| weighted_sum(1.0, &next, self.noise, noise))
    }

    /// Adds the slope of the clean latents to a step of first order.
    pub(super) fn second(&self, first: &Tensor, slope: &Tensor, correction: Correction) -> Result<Tensor> {
        let weight = if correction == Correction::Midpoint { self.midpoint } else { self.slope };
        weighted_sum(1.0, first, weight, slope)
    }

    /// Adds slope and curvature of the clean latents to a step of first order.
    pub(super) fn third(&self, first: &Tensor, slope: &Tensor, curve: &Tensor) -> Result<Tensor> {
        weighted_sum(1.0, &weighted_sum(1.0, first, self.slope, slope)?, self.curve, curve)
    }
}

/// `(a - b) / r`, as the reference computes it.
pub(super) fn slope(a: &Tensor, b: &Tensor, r: f32) -> Result<Tensor> {
    Ok(a.f_sub(b)?.f_mul_scalar(f64::from(1.0 / r))?)
}
