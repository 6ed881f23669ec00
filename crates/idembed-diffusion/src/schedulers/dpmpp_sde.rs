//! DPM-Solver++ as a stochastic equation, with a second look at the middle of each pair of steps.
//!
//! Source: diffusers 0.42, `DPMSolverSinglestepScheduler` with `algorithm_type` `sde-dpmsolver++`. It is what diffusers lists for
//! the `DPM++ SDE` of web interfaces; its closer relative `DPMSolverSDEScheduler` takes its noise from a generator of its own, so
//! that a seed would not decide the picture.

use tch::Tensor;

use super::config::{FinalSigma, PredictionType, SchedulerConfigJson, TimestepSpacing};
use super::dpm_solver::{Correction, Solver, slope};
use super::history::History;
use super::log_snr::{Level, check_apart, evenly_spaced, karras_levels, unclipped};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{interpolate, with_final};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::Result;

/// The sampler set up for a number of steps.
#[derive(Debug)]
pub(super) struct DpmPpSde {
    timesteps: Vec<f64>,
    /// One more than timesteps: the last is the noise level after the last step.
    levels: Vec<Level>,
    prediction_type: PredictionType,
    solver: Solver,
    /// Of each step.
    orders: Vec<usize>,
    history: History,
    /// The latents where the last step of first order began; those after it start from there again.
    start: Option<Tensor>,
}

impl DpmPpSde {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        let solver = Solver::resolve(config, true)?;
        let last = FinalSigma::resolve(config)?;
        let trained = schedule.sigmas()?;
        let (timesteps, sigmas) = if config.use_karras_sigmas == Some(true) {
            let (timesteps, sigmas) = karras_levels(config, &trained, steps);
            (timesteps.into_iter().map(f64::round_ties_even).collect(), sigmas)
        } else {
            let used = unclipped(config, schedule)?;
            let spacing = TimestepSpacing::Linspace; // the class knows no other
            let timesteps = evenly_spaced(spacing, config, schedule.train_timesteps, used, steps);
            let sigmas = interpolate(&timesteps, &trained);
            (timesteps, sigmas)
        };
        check_apart(&sigmas, steps)?;
        let lower_at_end =
            config.lower_order_final == Some(true) || !steps.is_multiple_of(solver.order) || last == FinalSigma::Zero;
        Ok(Self {
            levels: with_final(&sigmas, last, &trained)?.into_iter().map(Level::new).collect(),
            timesteps,
            prediction_type: schedule.prediction_type,
            solver,
            orders: orders(steps, solver.order, lower_at_end, last == FinalSigma::Zero),
            history: History::default(),
            start: None,
        })
    }
}

/// The order of each step: 1 to `order` again and again, and lower ones at the end.
fn orders(steps: usize, order: usize, lower_at_end: bool, first_at_end: bool) -> Vec<usize> {
    let mut orders: Vec<usize> = (0..steps).map(|index| index % order + 1).collect();
    let rest = steps % order;
    if lower_at_end && rest == 0 && order > 1 {
        // The last round is cut: 1 1 instead of 1 2, and 1 2 1 instead of 1 2 3.
        orders[steps - 1] = 1;
    }
    if let Some(last) = orders.last_mut().filter(|_| first_at_end) {
        *last = 1;
    }
    orders
}

impl Scheduler for DpmPpSde {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn noise_draws(&self) -> usize {
        self.timesteps.len()
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
        let states = self.history.push(index, clean, self.solver.order);
        // A run that starts in the middle has not seen enough yet.
        let order = self.orders[index].min(states.len());
        if order == 1 {
            self.start = Some(latents.shallow_clone());
        }
        let start = self.start.as_ref().unwrap_or(&latents);

        let from = index + 1 - order;
        let lambda = |at: usize| self.levels[at].lambda - self.levels[from].lambda;
        let step = self.solver.step(self.levels[from], self.levels[index + 1]);
        let first = step.first(start, &states[order - 1], noise.as_ref())?;
        match (order, states) {
            (2, [now, before, ..]) => {
                let slope = slope(now, before, lambda(index) / step.h)?;
                step.second(&first, &slope, self.solver.correction)
            }
            (3, [now, before, long_before]) => {
                let (r0, r1) = (lambda(index) / step.h, lambda(index - 1) / step.h);
                let (near, far) = (slope(before, long_before, r1)?, slope(now, long_before, r0)?);
                if self.solver.correction == Correction::Midpoint {
                    return step.second(&first, &far, Correction::Heun);
                }
                let apart = f64::from(r0 - r1);
                let slope = weighted_sum(r0, &near, -r1, &far)?.f_div_scalar(apart)?;
                let curve = far.f_sub(&near)?.f_mul_scalar(2.0)?.f_div_scalar(apart)?;
                step.third(&first, &slope, &curve)
            }
            _ => Ok(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_of_a_run() {
        assert_eq!(orders(6, 2, true, false), [1, 2, 1, 2, 1, 1]);
        assert_eq!(orders(5, 2, true, true), [1, 2, 1, 2, 1]);
        assert_eq!(orders(4, 2, false, false), [1, 2, 1, 2]);
        assert_eq!(orders(6, 3, true, true), [1, 2, 3, 1, 2, 1]);
        assert_eq!(orders(7, 3, true, true), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(orders(5, 3, true, false), [1, 2, 3, 1, 2]);
        assert_eq!(orders(5, 3, true, true), [1, 2, 3, 1, 1]);
        assert_eq!(orders(2, 1, true, true), [1, 1]);
    }
}
