//! Pseudo numerical methods (arXiv 2202.09778): a linear multistep method on DDIM's transfer, with or without Runge-Kutta steps
//! to begin with.
//!
//! Source: diffusers 0.42, `PNDMScheduler`. With `skip_prk_steps`, as Stable Diffusion's files say, the second step is taken
//! twice; without, the first three steps take four outputs of the U-Net each.

use tch::{Kind, Tensor};

use super::config::{PredictionType, SchedulerConfigJson, TimestepSpacing};
use super::noise_schedule::NoiseSchedule;
use super::sigmas::{linspace, trailing};
use super::{Scheduler, check_index, inputs, weighted_sum};
use crate::{Error, Result};

/// Outputs that a Runge-Kutta start takes: four for each of three steps.
const RUNGE_KUTTA: usize = 12;

/// The sampler set up for a number of steps.
#[derive(Debug)]
pub(super) struct Pndm {
    timesteps: Vec<f64>,
    /// How many of the timesteps belong to Runge-Kutta steps.
    runge_kutta: usize,
    /// Training timesteps from one step to the next.
    stride: i64,
    alphas_cumprod: Vec<f32>,
    last_alpha: f32,
    prediction_type: PredictionType,
    run: Run,
}

/// What a run has seen.
#[derive(Debug, Default)]
struct Run {
    /// The entry of the timesteps that comes next, and how many there were.
    next: usize,
    counter: usize,
    /// Outputs of the last steps, newest last.
    outputs: Vec<Tensor>,
    /// The weighted sum of outputs in an unfinished Runge-Kutta step.
    sum: Option<Tensor>,
    /// Where an unfinished step began.
    start: Option<Tensor>,
}

impl Pndm {
    pub(super) fn new(config: &SchedulerConfigJson, schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        let train = schedule.train_timesteps;
        let rising = rising(config, train, steps)?;
        let skip = config.skip_prk_steps == Some(true);
        if !skip && rising.len() < 4 {
            return Err(Error::Setting(format!(
                "{steps} steps are too few for pndm without skip_prk_steps, which takes 4 or more"
            )));
        }
        let stride = (train / steps) as i64;
        let timesteps = if skip { multistep(&rising) } else { with_runge_kutta(&rising, stride) };
        let alphas_cumprod: Vec<f32> = schedule.alphas_cumprod.iter().map(|&alpha| alpha as f32).collect();
        let known = 0..train as i64;
        if let Some(timestep) = timesteps.iter().find(|timestep| !known.contains(timestep)) {
            return Err(Error::Setting(format!(
                "{steps} steps reach timestep {timestep}, but the model has 0 to {}; take fewer steps",
                train - 1
            )));
        }
        Ok(Self {
            timesteps: timesteps.iter().map(|&timestep| timestep as f64).collect(),
            runge_kutta: if skip { 0 } else { RUNGE_KUTTA },
            stride,
            last_alpha: if config.set_alpha_to_one == Some(true) { 1.0 } else { alphas_cumprod[0] },
            alphas_cumprod,
            prediction_type: schedule.prediction_type,
            run: Run::default(),
        })
    }

    fn runge_kutta_step(&mut self, timestep: i64, output: Tensor, latents: Tensor) -> Result<Tensor> {
        let (counter, half) = (self.run.counter, self.stride / 2);
        let to = if counter.is_multiple_of(2) { timestep - half } else { timestep };
        let from = self.timesteps[counter / 4 * 4] as i64;
        let share = |weight: f64| -> Result<Tensor> { Ok(output.f_mul_scalar(weight)?) };
        let sum = self.run.sum.take();
        let add = |share: Tensor| -> Result<Tensor> {
            sum.map_or_else(|| Ok(share.shallow_clone()), |sum| Ok(sum.f_add(&share)?))
        };
        let direction = match counter % 4 {
            0 => {
                self.run.sum = Some(add(share(1.0 / 6.0)?)?);
                self.run.outputs.push(output.shallow_clone());
                self.run.start = Some(latents.shallow_clone());
                output.shallow_clone()
            }
            1 | 2 => {
                self.run.sum = Some(add(share(1.0 / 3.0)?)?);
                output.shallow_clone()
            }
            _ => add(share(1.0 / 6.0)?)?,
        };
        let start = self.run.start.as_ref().unwrap_or(&latents);
        self.transfer(start, from, to, &direction)
    }

    fn multistep_step(&mut self, timestep: i64, output: Tensor, latents: Tensor) -> Result<Tensor> {
        let run = &mut self.run;
        let (mut from, mut to) = (timestep, timestep - self.stride);
        if run.counter == 1 {
            // The step before is taken again, now that its end is known.
            (from, to) = (timestep + self.stride, timestep);
        } else {
            let excess = run.outputs.len().saturating_sub(3);
            run.outputs.drain(..excess);
            run.outputs.push(output.shallow_clone());
        }
        let mut latents = latents;
        let direction = match (run.outputs.as_slice(), run.counter) {
            ([_], 0) => {
                run.start = Some(latents.shallow_clone());
                output
            }
            ([before], 1) => {
                latents = run.start.take().unwrap_or(latents);
                output.f_add(before)?.f_div_scalar(2.0)?
            }
            ([b, a], _) => combine(&[(3.0, a), (-1.0, b)])?.f_div_scalar(2.0)?,
            ([c, b, a], _) => combine(&[(23.0, a), (-16.0, b), (5.0, c)])?.f_div_scalar(12.0)?,
            ([.., d, c, b, a], _) => {
                combine(&[(55.0, a), (-59.0, b), (37.0, c), (-9.0, d)])?.f_mul_scalar(1.0 / 24.0)?
            }
            _ => output,
        };
        self.transfer(&latents, from, to, &direction)
    }

    /// Equation 11: from one timestep to another in the direction of `output`.
    fn transfer(&self, latents: &Tensor, from: i64, to: i64, output: &Tensor) -> Result<Tensor> {
        let at = |timestep: i64| usize::try_from(timestep).ok().and_then(|index| self.alphas_cumprod.get(index));
        let Some(&alpha) = at(from) else {
            return Err(Error::Setting(format!("a step would begin at timestep {from}; take another number of steps")));
        };
        let next = at(to).copied().unwrap_or(self.last_alpha);
        let (variance, next_variance) = (1.0 - alpha, 1.0 - next);
        let noise = match self.prediction_type {
            PredictionType::Epsilon => output.shallow_clone(),
            PredictionType::VPrediction => weighted_sum(alpha.sqrt(), output, variance.sqrt(), latents)?,
        };
        let divisor = alpha * next_variance.sqrt() + (alpha * variance * next).sqrt();
        let kept = latents.f_mul_scalar(f64::from((next / alpha).sqrt()))?;
        Ok(kept.f_sub(&noise.f_mul_scalar(f64::from(next - alpha))?.f_div_scalar(f64::from(divisor))?)?)
    }
}

/// The timesteps of a run, from the clearest to the noisiest.
fn rising(config: &SchedulerConfigJson, train: usize, steps: usize) -> Result<Vec<i64>> {
    Ok(match TimestepSpacing::resolve(config, TimestepSpacing::Leading)? {
        TimestepSpacing::Linspace => {
            linspace(0.0, train as f64 - 1.0, steps).iter().map(|value| value.round_ties_even() as i64).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0);
            (0..steps).map(|index| (index * (train / steps)) as i64 + offset).collect()
        }
        TimestepSpacing::Trailing => {
            let falling = trailing(train as f64, train as f64 / steps as f64, steps);
            falling.iter().rev().map(|&value| value as i64).collect()
        }
    })
}

/// From the noisiest, the second twice.
fn multistep(rising: &[i64]) -> Vec<i64> {
    let falling = rising.iter().rev().copied();
    let second = rising.iter().rev().nth(1).copied();
    falling.clone().take(1).chain(second).chain(falling.skip(1)).collect()
}

/// Three steps of four outputs each, then one for each of the others.
fn with_runge_kutta(rising: &[i64], stride: i64) -> Vec<i64> {
    let start = &rising[rising.len() - 4..];
    let halves: Vec<i64> = start.iter().flat_map(|&timestep| [timestep, timestep + stride / 2]).collect();
    let pairs: Vec<i64> = halves[..halves.len() - 1].iter().flat_map(|&timestep| [timestep, timestep]).collect();
    let rest = rising[..rising.len() - 3].iter().rev();
    pairs[1..pairs.len() - 1].iter().rev().chain(rest).copied().collect()
}

/// A weighted sum, from the left.
fn combine(terms: &[(f32, &Tensor)]) -> Result<Tensor> {
    let (weight, first) = terms[0];
    let start = first.f_mul_scalar(f64::from(weight))?;
    terms[1..].iter().try_fold(start, |sum, (weight, term)| weighted_sum(1.0, &sum, *weight, term))
}

impl Scheduler for Pndm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let alpha = self.alphas_cumprod[self.timesteps[index] as usize];
        let (latents, noise) = (latents.f_to_kind(Kind::Float)?, noise.f_to_kind(Kind::Float)?);
        weighted_sum(alpha.sqrt(), &latents, (1.0 - alpha).sqrt(), &noise)
    }

    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
        check_index(index, self.timesteps.len())?;
        let (output, latents) = inputs(model_output, latents)?;
        if self.run.next != index {
            self.run = Run::default();
        }
        let timestep = self.timesteps[index] as i64;
        let next = if self.run.counter < self.runge_kutta {
            self.runge_kutta_step(timestep, output, latents)
        } else {
            self.multistep_step(timestep, output, latents)
        }?;
        self.run.counter += 1;
        self.run.next = index + 1;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_step_is_taken_twice() {
        assert_eq!(multistep(&[1, 251, 501, 751]), [751, 501, 501, 251, 1]);
        assert_eq!(multistep(&[1, 501]), [501, 1, 1]);
        assert_eq!(multistep(&[1]), [1]);
    }

    #[test]
    fn three_steps_take_four_outputs_each() {
        let timesteps = with_runge_kutta(&[0, 200, 400, 600, 800], 200);
        assert_eq!(timesteps[..RUNGE_KUTTA], [800, 700, 700, 600, 600, 500, 500, 400, 400, 300, 300, 200]);
        assert_eq!(timesteps[RUNGE_KUTTA..], [200, 0]);
    }
}
