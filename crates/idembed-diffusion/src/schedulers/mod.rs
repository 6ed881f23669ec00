//! Noise schedules and samplers.
//!
//! Each sampler is a file that opens with its source; all are built from a `scheduler_config.json` as diffusers'
//! `from_config` would build that class from it, whatever class wrote the file.

mod config;
mod ddim;
mod dpmpp_2m;
mod euler;
mod euler_ancestral;
mod noise_schedule;
mod sigmas;

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

pub use config::{PredictionType, SchedulerConfigJson};
pub use noise_schedule::NoiseSchedule;

use crate::{Error, Result};

/// One sampler set up for a number of steps.
///
/// It computes in f32 on the latents' device, whatever the model's number format.
pub trait Scheduler {
    /// The timesteps in the order of generation, noisiest first. They may be fractional.
    fn timesteps(&self) -> &[f64];

    /// What standard normal noise is multiplied with to become the first latents.
    fn init_noise_sigma(&self) -> f64;

    /// How many noise tensors (of the latents' shape) [`Scheduler::step`] consumes over the whole run, one per step
    /// from the first: 0 for a deterministic sampler, otherwise the number of steps.
    fn noise_draws(&self) -> usize;

    /// The latents as the U-Net wants to see them at step `index`.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such step.
    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor>;

    /// One step: from the model's output at step `index` to the next latents, in f32.
    ///
    /// `latents` are the unscaled latents of this step, `noise` is standard normal noise for this step
    /// (required if [`Scheduler::noise_draws`] is not 0). Steps are taken in order, from 0.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such step or its noise is missing, [`Error::Shape`] if the shapes differ.
    fn step(&mut self, model_output: &Tensor, index: usize, latents: &Tensor, noise: Option<&Tensor>)
    -> Result<Tensor>;
}

/// The samplers that [`build`] knows, by their names on the command line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
#[serde(into = "&'static str", try_from = "String")]
pub enum SchedulerKind {
    /// `DDIMScheduler`, without added noise.
    #[strum(serialize = "ddim")]
    Ddim,
    /// `DPMSolverMultistepScheduler`, on the file's noise levels.
    #[strum(serialize = "dpmpp-2m")]
    DpmPp2m,
    /// `DPMSolverMultistepScheduler` with `use_karras_sigmas`.
    #[strum(serialize = "dpmpp-2m-karras")]
    DpmPp2mKarras,
    /// `EulerDiscreteScheduler`.
    #[strum(serialize = "euler")]
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    #[strum(serialize = "euler-a")]
    EulerAncestral,
}

impl TryFrom<String> for SchedulerKind {
    type Error = UnknownName;

    fn try_from(name: String) -> std::result::Result<Self, UnknownName> {
        name.parse()
    }
}

/// Sets a sampler up for `steps` steps.
///
/// # Errors
/// [`Error::Unsupported`] names a field of the file that this sampler reads and whose value it does not support;
/// [`Error::Setting`] if there are no steps, or more than the model or the sampler can take.
pub fn build(kind: SchedulerKind, config: &SchedulerConfigJson, steps: usize) -> Result<Box<dyn Scheduler>> {
    let schedule = NoiseSchedule::from_config(config)?;
    if !(1..=schedule.train_timesteps).contains(&steps) {
        let most = schedule.train_timesteps;
        return Err(Error::Setting(format!("the number of steps is {steps}, expected 1 to {most}")));
    }
    Ok(match kind {
        SchedulerKind::Ddim => Box::new(ddim::Ddim::new(config, &schedule, steps)?),
        SchedulerKind::DpmPp2m => Box::new(dpmpp_2m::DpmPp2m::new(config, &schedule, steps, false)?),
        SchedulerKind::DpmPp2mKarras => Box::new(dpmpp_2m::DpmPp2m::new(config, &schedule, steps, true)?),
        SchedulerKind::Euler => Box::new(euler::Euler::new(config, &schedule, steps)?),
        SchedulerKind::EulerAncestral => Box::new(euler_ancestral::EulerAncestral::new(config, &schedule, steps)?),
    })
}

fn check_index(index: usize, steps: usize) -> Result<()> {
    if index < steps { Ok(()) } else { Err(Error::Setting(format!("there is no step {index} in a run of {steps}"))) }
}

/// Checks that a step's tensors fit together and brings them to f32 on the latents' device.
fn inputs(model_output: &Tensor, latents: &Tensor) -> Result<(Tensor, Tensor)> {
    if model_output.size() != latents.size() {
        let expected = format!("{:?}", latents.size());
        return Err(Error::Shape { what: "the model's output", got: model_output.size(), expected });
    }
    let output = model_output.f_to_device(latents.device())?.f_to_kind(Kind::Float)?;
    Ok((output, latents.f_to_kind(Kind::Float)?))
}

/// `a x + b y`.
fn weighted_sum(a: f32, x: &Tensor, b: f32, y: &Tensor) -> Result<Tensor> {
    Ok(x.f_mul_scalar(f64::from(a))?.f_add(&y.f_mul_scalar(f64::from(b))?)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use strum::IntoEnumIterator as _;
    use tch::Device;

    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in SchedulerKind::iter() {
            assert_eq!(kind.to_string().parse::<SchedulerKind>().unwrap(), kind);
        }
        let message = "pndm".parse::<SchedulerKind>().unwrap_err().to_string();
        assert!(message.contains("pndm") && message.contains("euler-a"), "{message}");
    }

    #[test]
    fn step_counts_out_of_range_are_errors() {
        let config = SchedulerConfigJson { num_train_timesteps: Some(20), ..Default::default() };
        for kind in SchedulerKind::iter() {
            for steps in [0, 21, usize::MAX] {
                assert!(matches!(build(kind, &config, steps), Err(Error::Setting(_))), "{kind} {steps}");
            }
            assert!(build(kind, &config, 19).is_ok(), "{kind}");
        }
    }

    #[test]
    fn every_step_count_ends_finite_or_is_refused() {
        let latents = Tensor::ones([1, 4, 1, 1], (Kind::Float, Device::Cpu));
        for spacing in ["leading", "trailing", "linspace"] {
            for (prediction, zero_snr) in [("epsilon", false), ("v_prediction", true)] {
                let config = SchedulerConfigJson {
                    num_train_timesteps: Some(30),
                    timestep_spacing: Some(spacing.to_owned()),
                    prediction_type: Some(prediction.to_owned()),
                    rescale_betas_zero_snr: Some(zero_snr),
                    steps_offset: Some(1),
                    ..Default::default()
                };
                for (kind, steps) in SchedulerKind::iter().flat_map(|kind| (1..=30).map(move |n| (kind, n))) {
                    let mut scheduler = match build(kind, &config, steps) {
                        Ok(scheduler) => scheduler,
                        Err(Error::Setting(_)) if steps >= 15 => continue,
                        Err(error) => panic!("{kind} {spacing} {steps}: {error}"),
                    };
                    let mut current = &latents * scheduler.init_noise_sigma();
                    for index in 0..scheduler.timesteps().len() {
                        let input = scheduler.scale_model_input(&current, index).unwrap();
                        current = scheduler.step(&(input * 0.5), index, &current, Some(&latents)).unwrap();
                    }
                    assert!(current.abs().max().double_value(&[]).is_finite(), "{kind} {spacing} {steps}");
                }
            }
        }
    }

    #[test]
    fn steps_that_do_not_fit_are_errors() {
        let latents = Tensor::zeros([1, 4, 3, 5], (Kind::Float, Device::Cpu));
        let turned = Tensor::zeros([1, 4, 5, 3], (Kind::Float, Device::Cpu));
        for kind in SchedulerKind::iter() {
            let mut scheduler = build(kind, &SchedulerConfigJson::default(), 2).unwrap();
            assert!(matches!(scheduler.step(&turned, 0, &latents, Some(&latents)), Err(Error::Shape { .. })));
            assert!(matches!(scheduler.step(&latents, 2, &latents, Some(&latents)), Err(Error::Setting(_))));
            assert!(matches!(scheduler.scale_model_input(&latents, 2), Err(Error::Setting(_))));
            let unfed = scheduler.step(&latents, 0, &latents, None);
            assert_eq!(unfed.is_ok(), scheduler.noise_draws() == 0);
        }
    }

    #[test]
    fn half_precision_comes_back_as_f32() {
        let latents = Tensor::zeros([1, 4, 1, 1], (Kind::Half, Device::Cpu));
        for kind in SchedulerKind::iter() {
            let mut scheduler = build(kind, &SchedulerConfigJson::default(), 2).unwrap();
            assert_eq!(scheduler.step(&latents, 0, &latents, Some(&latents)).unwrap().kind(), Kind::Float);
        }
    }
}
