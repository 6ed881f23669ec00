//! UniPC (arXiv 2302.04867): a multistep predictor, and a corrector that mends each step when the next output is known.
//!
//! Source: diffusers 0.42, `UniPCMultistepScheduler` with `predict_x0`. Coefficients are f32 as there.

use tch::Tensor;

use super::config::{FinalSigma, PredictionType, SchedulerConfigJson, TimestepSpacing, choose, refuse, unsupported};
use super::dpm_solver::slope;
use super::history::History;
use super::log_snr::{Level, check_apart, evenly_spaced, karras_levels};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{interpolate, with_final};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::Result;

/// The function `B(h)` of equation 5, in which both forms differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `h`.
    Bh1,
    /// `e^h - 1`.
    Bh2,
}

/// UniPC set up for a number of steps.
#[derive(Debug)]
pub(super) struct UniPc {
    timesteps: Vec<f64>,
    /// One more than timesteps: the last is the noise level after the last step.
    levels: Vec<Level>,
    prediction_type: PredictionType,
    form: Form,
    order: usize,
    lower_order_final: bool,
    /// Steps that are left as they were predicted.
    uncorrected: Vec<usize>,
    history: History,
    /// The latents from which the last step was predicted, and its order.
    last: Option<(Tensor, usize)>,
}

impl UniPc {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        for (field, flag) in [
            ("thresholding", config.thresholding),
            ("use_exponential_sigmas", config.use_exponential_sigmas),
            ("use_beta_sigmas", config.use_beta_sigmas),
            ("use_flow_sigmas", config.use_flow_sigmas),
            ("solver_p", Some(config.solver_p.is_some())),
        ] {
            refuse(field, flag)?;
        }
        if config.predict_x0 == Some(false) {
            return Err(unsupported("predict_x0", false, "true"));
        }
        // The values behind the first two are those of related solvers' files, which diffusers takes for bh2.
        let forms = [
            ("bh1", Form::Bh1),
            ("bh2", Form::Bh2),
            ("midpoint", Form::Bh2),
            ("heun", Form::Bh2),
            ("logrho", Form::Bh2),
        ];
        let form = choose("solver_type", config.solver_type.as_deref(), Form::Bh2, &forms)?;
        let order = match config.solver_order.unwrap_or(2) {
            order @ 1..=3 => order as usize,
            order => return Err(unsupported("solver_order", order, "1, 2 or 3")),
        };
        let last = FinalSigma::resolve(config)?;
        let lower_order_final = config.lower_order_final.unwrap_or(true);
        if last == FinalSigma::Zero && !lower_order_final && order.min(steps) > 1 {
            return Err(unsupported("lower_order_final", false, "true where final_sigmas_type is zero"));
        }

        let trained = schedule.sigmas()?;
        let karras = config.use_karras_sigmas == Some(true);
        let (timesteps, sigmas) = if karras {
            let (timesteps, sigmas) = karras_levels(config, &trained, steps);
            (timesteps.into_iter().map(f64::round_ties_even).collect(), sigmas)
        } else {
            let spacing = TimestepSpacing::resolve(config, TimestepSpacing::Linspace)?;
            let all = schedule.train_timesteps;
            let timesteps = evenly_spaced(spacing, config, all, all, steps);
            let sigmas = interpolate(&timesteps, &trained);
            (timesteps, sigmas)
        };
        check_apart(&sigmas, steps)?;
        let mut ratios = with_final(&sigmas, last, &trained)?;
        if let (true, FinalSigma::SigmaMin, [.., lowest, end]) = (karras, last, ratios.as_mut_slice()) {
            // The class ends on the lowest of Karras' levels, whichever that is.
            *end = *lowest;
        }
        Ok(Self {
            levels: ratios.into_iter().map(Level::new).collect(),
            timesteps,
            prediction_type: schedule.prediction_type,
            form,
            order,
            lower_order_final,
            uncorrected: config.disable_corrector.clone().unwrap_or_default(),
            history: History::default(),
            last: None,
        })
    }

    /// The latents of step `index`, which was predicted before its output was known; `clean` is what the output implies.
    fn correct(&self, index: usize, predicted: Tensor, clean: &Tensor) -> Result<Tensor> {
        let Some((from, order)) = &self.last else { return Ok(predicted) };
        let follows = index > 0 && self.history.continues_at(index);
        if !follows || self.uncorrected.contains(&(index - 1)) {
            return Ok(predicted);
        }
        let step = Step::new(self, index - 1, *order);
        let states = self.history.states();
        let weights = if *order == 1 { vec![0.5] } else { step.solve(*order)? };
        let mut change = clean.f_sub(&states[0])?.f_mul_scalar(f64::from(weights[order - 1]))?;
        for (slope, weight) in step.slopes(states)?.iter().zip(&weights) {
            change = weighted_sum(1.0, &change, *weight, slope)?;
        }
        weighted_sum(1.0, &step.first(from, &states[0])?, -step.scale, &change)
    }

    /// The latents after step `index`, at whose level the newest of the history is.
    fn predict(&self, index: usize, latents: &Tensor, order: usize) -> Result<Tensor> {
        let step = Step::new(self, index, order);
        let states = self.history.states();
        let first = step.first(latents, &states[0])?;
        let weights = match order {
            1 => return Ok(first),
            2 => vec![0.5],
            _ => step.solve(order - 1)?,
        };
        step.slopes(states)?
            .iter()
            .zip(&weights)
            .try_fold(first, |sum, (slope, weight)| weighted_sum(1.0, &sum, -step.scale * weight, slope))
    }
}

/// The numbers of one step, which predictor and corrector share.
#[derive(Debug)]
struct Step {
    /// Of the latents, and of the clean latents, in a step of first order.
    first: (f32, f32),
    /// What the sum of slopes is multiplied with.
    scale: f32,
    /// `-h`, and `B(-h)`.
    hh: f32,
    b: f32,
    /// Where earlier steps and the end of this one lie, in units of this step.
    places: Vec<f32>,
}

impl Step {
    /// From level `from` to the next, by what is known of `order` levels up to `from`.
    fn new(solver: &UniPc, from: usize, order: usize) -> Self {
        let (start, end) = (solver.levels[from], solver.levels[from + 1]);
        let h = end.lambda - start.lambda;
        let hh = -h;
        let b = match solver.form {
            Form::Bh1 => hh,
            Form::Bh2 => hh.exp_m1(),
        };
        let place = |back: usize| (solver.levels[from - back].lambda - start.lambda) / h;
        Step {
            first: (end.sigma / start.sigma, -(end.alpha * hh.exp_m1())),
            scale: end.alpha * b,
            hh,
            b,
            places: (1..order).map(place).chain([1.0]).collect(),
        }
    }

    fn first(&self, latents: &Tensor, clean: &Tensor) -> Result<Tensor> {
        weighted_sum(self.first.0, latents, self.first.1, clean)
    }

    /// The slopes from the newest state to each earlier one.
    fn slopes(&self, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let earlier = &self.places[..self.places.len() - 1];
        earlier.iter().zip(&states[1..]).map(|(&place, state)| slope(state, &states[0], place)).collect()
    }

    /// The weights of the first `count` places, for which the step is exact to that order (equation 6).
    fn solve(&self, count: usize) -> Result<Vec<f32>> {
        let (mut rows, mut right) = (Vec::new(), Vec::new());
        let (mut factorial, mut phi) = (1.0, self.hh.exp_m1() / self.hh - 1.0);
        for power in 0..count as i32 {
            rows.extend(self.places[..count].iter().map(|place| place.powi(power)));
            right.push(phi * factorial / self.b);
            factorial *= (power + 2) as f32;
            phi = phi / self.hh - 1.0 / factorial;
        }
        let rows = Tensor::f_from_slice(&rows)?.f_view([count as i64, count as i64])?;
        Ok(Vec::try_from(&Tensor::f_linalg_solve(&rows, &Tensor::f_from_slice(&right)?, true)?)?)
    }
}

impl Scheduler for UniPc {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        self.levels[index].noisy(latents, noise)
    }

    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        let clean = self.levels[index].clean(self.prediction_type, &output, &latents)?;
        let latents = self.correct(index, latents, &clean)?;
        let known = self.history.push(index, clean, self.order).len();
        let left = if self.lower_order_final { self.timesteps.len() - index } else { self.order };
        let order = self.order.min(left).min(known);
        let next = self.predict(index, &latents, order)?;
        self.last = Some((latents, order));
        Ok(next)
    }
}
