//! DPM-Solver++ 2M (arXiv 2211.01095, algorithm 2), plain or on Karras' noise levels.
//!
//! Source: diffusers 0.42, `DPMSolverMultistepScheduler` with `algorithm_type` `dpmsolver++` and `solver_type`
//! `midpoint`. The coefficients are f32 as there: differences of logarithms cancel, so that f64 would give others.

use tch::Tensor;

use super::config::{FinalSigma, PredictionType, SchedulerConfigJson, TimestepSpacing, choose, refuse, unsupported};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{interpolate, karras, linspace, timesteps_of, trailing, with_final};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::{Error, Result};

/// Below this many steps, `lower_order_final` makes the last one of first order.
const FEW_STEPS: usize = 15;

/// DPM-Solver++ set up for a number of steps.
#[derive(Debug)]
pub(super) struct DpmPp2m {
    timesteps: Vec<f64>,
    /// One more than timesteps: the last is the noise level after the last step.
    levels: Vec<Level>,
    prediction_type: PredictionType,
    second_order: bool,
    first_order_at_end: bool,
    /// The clean latents predicted one step ago, with that step's index.
    previous: Option<(usize, Tensor)>,
}

/// One noise level: the amplitudes of signal and noise, and `lambda = ln(alpha / sigma)`.
#[derive(Debug, Clone, Copy)]
struct Level {
    alpha: f32,
    sigma: f32,
    lambda: f32,
}

impl Level {
    fn new(ratio: f32) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        let sigma = ratio * alpha;
        Self { alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }
}

impl DpmPp2m {
    /// `karras` turns `use_karras_sigmas` on; a file can do so as well.
    pub(super) fn new(
        config: &SchedulerConfigJson,
        schedule: &NoiseSchedule,
        steps: usize,
        karras: bool,
    ) -> Result<Self> {
        for (field, flag) in [
            ("thresholding", config.thresholding),
            ("use_exponential_sigmas", config.use_exponential_sigmas),
            ("use_beta_sigmas", config.use_beta_sigmas),
            ("use_lu_lambdas", config.use_lu_lambdas),
            ("use_flow_sigmas", config.use_flow_sigmas),
        ] {
            refuse(field, flag)?;
        }
        // Fixed variances (DDPM's files name one) do not concern this sampler; learned ones double the output's channels.
        if let Some(variance) = config.variance_type.as_ref().filter(|variance| variance.starts_with("learned")) {
            return Err(unsupported("variance_type", format!("\"{variance}\""), "null"));
        }
        // The values behind the first are those of related solvers' files, which diffusers takes for the first.
        choose("algorithm_type", config.algorithm_type.as_deref(), (), &[("dpmsolver++", ()), ("deis", ())])?;
        let solvers = [("midpoint", ()), ("logrho", ()), ("bh1", ()), ("bh2", ())];
        choose("solver_type", config.solver_type.as_deref(), (), &solvers)?;
        let solver_order = config.solver_order.unwrap_or(2);
        if !(1..=2).contains(&solver_order) {
            return Err(unsupported("solver_order", solver_order, "1 or 2"));
        }
        let last = FinalSigma::resolve(config)?;

        let karras = karras || config.use_karras_sigmas == Some(true);
        let trained = schedule.sigmas()?;
        let (timesteps, sigmas) = if karras {
            karras_levels(config, &trained, steps)
        } else {
            let timesteps = timesteps(config, schedule, steps)?;
            let sigmas = interpolate(&timesteps, &trained);
            (timesteps, sigmas)
        };
        if sigmas.windows(2).any(|pair| pair[0] <= pair[1]) {
            return Err(Error::Setting(format!(
                "{steps} steps are too many for this scheduler: two of them fall on the same noise level"
            )));
        }
        let few = timesteps.len() < FEW_STEPS;
        Ok(Self {
            levels: with_final(&sigmas, last, &trained)?.into_iter().map(Level::new).collect(),
            timesteps,
            prediction_type: schedule.prediction_type,
            second_order: solver_order == 2,
            first_order_at_end: last == FinalSigma::Zero
                || config.euler_at_final.unwrap_or(false)
                || (config.lower_order_final.unwrap_or(true) && few),
            previous: None,
        })
    }

    /// The clean latents that the model's output implies.
    fn clean(&self, output: &Tensor, index: usize, latents: &Tensor) -> Result<Tensor> {
        let Level { alpha, sigma, .. } = self.levels[index];
        match self.prediction_type {
            PredictionType::Epsilon => Ok(weighted_sum(1.0, latents, -sigma, output)?.f_div_scalar(f64::from(alpha))?),
            PredictionType::VPrediction => weighted_sum(alpha, latents, -sigma, output),
        }
    }
}

fn timesteps(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Vec<f64>> {
    let train_timesteps = schedule.train_timesteps;
    let used = match config.lambda_min_clipped {
        None => train_timesteps,
        Some(lambda_min) => schedule.sigmas()?.iter().filter(|&&ratio| f64::from(-ratio.ln()) >= lambda_min).count(),
    };
    if used == 0 {
        let given = config.lambda_min_clipped.unwrap_or_default();
        return Err(unsupported("lambda_min_clipped", given, "a number below the clearest timestep's"));
    }
    Ok(match TimestepSpacing::resolve(config, TimestepSpacing::Linspace)? {
        TimestepSpacing::Linspace => {
            let grid = linspace(0.0, used as f64 - 1.0, steps + 1);
            grid[1..].iter().rev().map(|value| value.round_ties_even()).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0) as f64;
            (1..=steps).rev().map(|index| (index * (used / (steps + 1))) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => trailing(used as f64, train_timesteps as f64 / steps as f64, steps),
    })
}

fn karras_levels(config: &SchedulerConfigJson, trained: &[f32], steps: usize) -> (Vec<f64>, Vec<f64>) {
    // Not parameters of this class, but diffusers keeps them in its configuration and finds them there.
    let sigma_min = config.sigma_min.unwrap_or(f64::from(trained[0]));
    let sigma_max = config.sigma_max.unwrap_or(f64::from(trained[trained.len() - 1]));
    let sigmas = karras(sigma_min, sigma_max, steps);
    let whole: fn(f64) -> f64 = match config.beta_schedule.as_deref() {
        Some("squaredcos_cap_v2") => f64::trunc,
        _ => f64::round_ties_even,
    };
    let timesteps = timesteps_of(&sigmas, trained).into_iter().map(whole).collect();
    (timesteps, sigmas)
}

impl Scheduler for DpmPp2m {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    fn noise_draws(&self) -> usize {
        0
    }

    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        Ok(latents.shallow_clone())
    }

    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let clean = self.clean(&output, index, &latents)?;
        let previous = self.previous.replace((index, clean.shallow_clone()));
        let previous = previous.filter(|(before, _)| before + 1 == index);

        let (from, to) = (self.levels[index], self.levels[index + 1]);
        let h = to.lambda - from.lambda;
        let clean_weight = to.alpha * ((-h).exp() - 1.0);
        let first_order = weighted_sum(to.sigma / from.sigma, &latents, -clean_weight, &clean)?;
        let at_end = index + 1 == self.timesteps.len() && self.first_order_at_end;
        match previous {
            Some((_, previous)) if self.second_order && !at_end => {
                let r = (from.lambda - self.levels[index - 1].lambda) / h;
                let slope = clean.f_sub(&previous)?.f_mul_scalar(f64::from(1.0 / r))?;
                weighted_sum(1.0, &first_order, -0.5 * clean_weight, &slope)
            }
            _ => Ok(first_order),
        }
    }
}
