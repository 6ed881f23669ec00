//! DPM-Solver++ 2M (arXiv 2211.01095, algorithm 2), plain, on Karras' noise levels, or as a stochastic equation.
//!
//! Source: diffusers 0.42, `DPMSolverMultistepScheduler` with `algorithm_type` `dpmsolver++` or `sde-dpmsolver++`. A file can
//! ask for third order.

use tch::Tensor;

use super::config::{FinalSigma, PredictionType, SchedulerConfigJson, TimestepSpacing, choose};
use super::dpm_solver::{Solver, slope};
use super::history::History;
use super::log_snr::{Level, check_apart, evenly_spaced, karras_levels, unclipped};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{interpolate, with_final};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::Result;

/// Below this many steps, `lower_order_final` lowers the order of the last ones.
const FEW_STEPS: usize = 15;

/// DPM-Solver++ set up for a number of steps.
#[derive(Debug)]
pub(super) struct DpmPp2m {
    timesteps: Vec<f64>,
    /// One more than timesteps: the last is the noise level after the last step.
    levels: Vec<Level>,
    prediction_type: PredictionType,
    solver: Solver,
    first_order_at_end: bool,
    second_order_before: bool,
    history: History,
}

/// What [`DpmPp2m::new`] makes of the file's sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Plain,
    /// Turns `use_karras_sigmas` on; a file can do so as well.
    Karras,
    Stochastic,
}

impl DpmPp2m {
    pub(super) fn new(
        config: &SchedulerConfigJson,
        schedule: &NoiseSchedule,
        steps: usize,
        variant: Variant,
    ) -> Result<Self> {
        let solver = Solver::resolve(config, variant == Variant::Stochastic)?;
        if !solver.stochastic {
            // DEIS's files name it, and diffusers takes it for the first.
            choose("algorithm_type", config.algorithm_type.as_deref(), (), &[("dpmsolver++", ()), ("deis", ())])?;
        }
        let last = FinalSigma::resolve(config)?;
        let trained = schedule.sigmas()?;
        let (timesteps, sigmas) = if variant == Variant::Karras || config.use_karras_sigmas == Some(true) {
            let whole: fn(f64) -> f64 = match config.beta_schedule.as_deref() {
                Some("squaredcos_cap_v2") => f64::trunc,
                _ => f64::round_ties_even,
            };
            let (timesteps, sigmas) = karras_levels(config, &trained, steps);
            (timesteps.into_iter().map(whole).collect(), sigmas)
        } else {
            let spacing = TimestepSpacing::resolve(config, TimestepSpacing::Linspace)?;
            let used = unclipped(config, schedule)?;
            let timesteps = evenly_spaced(spacing, config, schedule.train_timesteps, used, steps);
            let sigmas = interpolate(&timesteps, &trained);
            (timesteps, sigmas)
        };
        check_apart(&sigmas, steps)?;
        let lower_at_end = config.lower_order_final.unwrap_or(true) && timesteps.len() < FEW_STEPS;
        Ok(Self {
            levels: with_final(&sigmas, last, &trained)?.into_iter().map(Level::new).collect(),
            timesteps,
            prediction_type: schedule.prediction_type,
            solver,
            first_order_at_end: last == FinalSigma::Zero || config.euler_at_final.unwrap_or(false) || lower_at_end,
            second_order_before: lower_at_end,
            history: History::default(),
        })
    }

    /// The highest order for a step.
    fn order_at(&self, index: usize) -> usize {
        match self.timesteps.len() - index {
            1 if self.first_order_at_end => 1,
            2 if self.second_order_before => self.solver.order.min(2),
            _ => self.solver.order,
        }
    }
}

impl Scheduler for DpmPp2m {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn noise_draws(&self) -> usize {
        if self.solver.stochastic { self.timesteps.len() } else { 0 }
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        self.levels[index].noisy(latents, noise)
    }

    fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        latents: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let noise = self.solver.noise(noise, &latents)?;
        let clean = self.levels[index].clean(self.prediction_type, &output, &latents)?;
        let order = self.order_at(index);
        let states = self.history.push(index, clean, self.solver.order);

        let lambda = |back: usize| self.levels[index - back].lambda;
        let step = self.solver.step(self.levels[index], self.levels[index + 1]);
        let first = step.first(&latents, &states[0], noise.as_ref())?;
        match (order.min(states.len()), states) {
            (2, [now, before, ..]) => {
                let r = (lambda(0) - lambda(1)) / step.h;
                step.second(&first, &slope(now, before, r)?, self.solver.correction)
            }
            (3, [now, before, long_before]) => {
                let (r0, r1) = ((lambda(0) - lambda(1)) / step.h, (lambda(1) - lambda(2)) / step.h);
                let (late, early) = (slope(now, before, r0)?, slope(before, long_before, r1)?);
                let bend = late.f_sub(&early)?;
                let curve = bend.f_mul_scalar(f64::from(1.0 / (r0 + r1)))?;
                step.third(&first, &weighted_sum(1.0, &late, r0 / (r0 + r1), &bend)?, &curve)
            }
            _ => Ok(first),
        }
    }
}
