//! Noise schedules and samplers.
//!
//! Each sampler is a file that opens with its source; all are built from a `scheduler_config.json` as diffusers'
//! `from_config` would build that class from it, whatever class wrote the file: a field that the class does not know has no say
//! (`rescale_betas_zero_snr` in `heun`, `dpmpp-sde` and `pndm`).

mod config;
mod ddim;
mod dpm_solver;
mod dpmpp_2m;
mod dpmpp_sde;
mod euler;
mod euler_ancestral;
mod heun;
mod history;
mod lcm;
mod log_snr;
mod noise_schedule;
mod pndm;
mod sigmas;
mod unipc;

use std::borrow::Cow;

use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

pub use config::{PredictionType, SchedulerConfigJson};
pub use noise_schedule::NoiseSchedule;

use crate::{Error, Result};
use dpmpp_2m::{DpmPp2m, Variant};

/// One sampler set up for a number of steps.
///
/// It computes in f32 on the latents' device, whatever the model's number format.
pub trait Scheduler {
    /// The timesteps in the order of generation, noisiest first: one entry for each output of the U-Net, so that a sampler that
    /// looks several times lists some of them again. They may be fractional.
    fn timesteps(&self) -> &[f64];

    /// How many entries of [`Scheduler::timesteps`] a step takes where it has no end of its own; a run that leaves out the first
    /// steps leaves out so many entries for each.
    fn entries_per_step(&self) -> usize {
        1
    }

    /// What standard normal noise is multiplied with to become the first latents: 1 where those vary as much as it.
    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    /// How many noise tensors (of the latents' shape) [`Scheduler::step`] consumes over the whole run, one per entry of the
    /// timesteps from the first: 0 for a deterministic sampler, otherwise their number, or one less.
    fn noise_draws(&self) -> usize {
        0
    }

    /// The latents as the U-Net wants to see them at step `index`: as they are, unless the sampler keeps them otherwise.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such step.
    fn scale_model_input(&self, latents: &Tensor, index: usize) -> Result<Tensor> {
        check_index(index, self.timesteps().len())?;
        Ok(latents.shallow_clone())
    }

    /// Clean latents with the noise of entry `index`, in f32, as a run that begins there has them.
    ///
    /// # Shapes
    /// - `latents`, `noise`: the same shape, which is returned
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such entry, or for a sampler that cannot begin at a picture.
    fn add_noise(&self, latents: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        let _ = (latents, noise, index);
        Err(Error::Setting("this sampler cannot begin at a picture".to_owned()))
    }

    /// One step: from the model's output at entry `index` of the timesteps to the next latents, in f32.
    ///
    /// `latents` are the unscaled latents of this step, `noise` is standard normal noise for this step
    /// (required if `index` is below [`Scheduler::noise_draws`]). Steps are taken in order, from any entry.
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
    /// `DDIMScheduler`, without added noise unless [`build_with_eta`] asks for some.
    #[strum(serialize = "ddim")]
    Ddim,
    /// `DPMSolverMultistepScheduler`, on the file's noise levels.
    #[strum(serialize = "dpmpp-2m")]
    DpmPp2m,
    /// `DPMSolverMultistepScheduler` with `use_karras_sigmas`.
    #[strum(serialize = "dpmpp-2m-karras")]
    DpmPp2mKarras,
    /// `DPMSolverMultistepScheduler` with `algorithm_type` `sde-dpmsolver++`.
    #[strum(serialize = "dpmpp-2m-sde")]
    DpmPp2mSde,
    /// `DPMSolverSinglestepScheduler` with `algorithm_type` `sde-dpmsolver++`.
    #[strum(serialize = "dpmpp-sde")]
    DpmPpSde,
    /// `UniPCMultistepScheduler`.
    #[strum(serialize = "unipc")]
    UniPc,
    /// `EulerDiscreteScheduler`.
    #[strum(serialize = "euler")]
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    #[strum(serialize = "euler-a")]
    EulerAncestral,
    /// `HeunDiscreteScheduler`.
    #[strum(serialize = "heun")]
    Heun,
    /// `PNDMScheduler`.
    #[strum(serialize = "pndm")]
    Pndm,
    /// `LCMScheduler`.
    #[strum(serialize = "lcm")]
    Lcm,
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
    build_with_eta(kind, config, steps, 0.0)
}

/// As [`build`], with the share of DDPM's noise that DDIM adds at each step, 0 to 1.
///
/// # Errors
/// As [`build`], and [`Error::Setting`] if `eta` is out of its range, or not 0 for another sampler than DDIM.
pub fn build_with_eta(
    kind: SchedulerKind,
    config: &SchedulerConfigJson,
    steps: usize,
    eta: f64,
) -> Result<Box<dyn Scheduler>> {
    if eta != 0.0 && kind != SchedulerKind::Ddim {
        return Err(Error::Setting(format!("eta is {eta}, but only ddim has one; the sampler is {kind}")));
    }
    let config = own_view(kind, config);
    let schedule = NoiseSchedule::from_config(&config)?;
    if !(1..=schedule.train_timesteps).contains(&steps) {
        let most = schedule.train_timesteps;
        return Err(Error::Setting(format!("the number of steps is {steps}, expected 1 to {most}")));
    }
    let multistep = |variant| DpmPp2m::new(&config, &schedule, steps, variant);
    Ok(match kind {
        SchedulerKind::Ddim => Box::new(ddim::Ddim::new(&config, &schedule, steps, eta)?),
        SchedulerKind::DpmPp2m => Box::new(multistep(Variant::Plain)?),
        SchedulerKind::DpmPp2mKarras => Box::new(multistep(Variant::Karras)?),
        SchedulerKind::DpmPp2mSde => Box::new(multistep(Variant::Stochastic)?),
        SchedulerKind::DpmPpSde => Box::new(dpmpp_sde::DpmPpSde::new(&config, &schedule, steps)?),
        SchedulerKind::UniPc => Box::new(unipc::UniPc::new(&config, &schedule, steps)?),
        SchedulerKind::Euler => Box::new(euler::Euler::new(&config, &schedule, steps)?),
        SchedulerKind::EulerAncestral => Box::new(euler_ancestral::EulerAncestral::new(&config, &schedule, steps)?),
        SchedulerKind::Heun => Box::new(heun::Heun::new(&config, &schedule, steps)?),
        SchedulerKind::Pndm => Box::new(pndm::Pndm::new(&config, &schedule, steps)?),
        SchedulerKind::Lcm => Box::new(lcm::Lcm::new(&config, &schedule, steps)?),
    })
}

/// The file as a class sees it: with its own defaults for what is absent, without what it does not know.
fn own_view(kind: SchedulerKind, config: &SchedulerConfigJson) -> Cow<'_, SchedulerConfigJson> {
    let without_zero_snr = || SchedulerConfigJson { rescale_betas_zero_snr: None, ..config.clone() };
    let own_betas = |schedule: &str| SchedulerConfigJson {
        beta_start: config.beta_start.or(Some(0.00085)),
        beta_end: config.beta_end.or(Some(0.012)),
        beta_schedule: config.beta_schedule.clone().or(Some(schedule.to_owned())),
        ..config.clone()
    };
    match kind {
        SchedulerKind::Heun => Cow::Owned(SchedulerConfigJson { rescale_betas_zero_snr: None, ..own_betas("linear") }),
        SchedulerKind::Lcm => Cow::Owned(own_betas("scaled_linear")),
        SchedulerKind::Pndm | SchedulerKind::DpmPpSde => Cow::Owned(without_zero_snr()),
        _ => Cow::Borrowed(config),
    }
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

/// The noise of a step that needs some, in f32 on the latents' device.
fn step_noise(noise: Option<&Tensor>, latents: &Tensor) -> Result<Tensor> {
    let Some(noise) = noise else {
        return Err(Error::Setting("this sampler needs noise for each step".to_owned()));
    };
    if noise.size() != latents.size() {
        let expected = format!("{:?}", latents.size());
        return Err(Error::Shape { what: "the step's noise", got: noise.size(), expected });
    }
    Ok(noise.f_to_device(latents.device())?.f_to_kind(Kind::Float)?)
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
        let message = "plms".parse::<SchedulerKind>().unwrap_err().to_string();
        assert!(message.contains("plms") && message.contains("euler-a"), "{message}");
    }

    #[test]
    fn step_counts_out_of_range_are_errors() {
        let config = SchedulerConfigJson {
            num_train_timesteps: Some(20),
            original_inference_steps: Some(20),
            ..Default::default()
        };
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
                    original_inference_steps: Some(30),
                    skip_prk_steps: Some(true),
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
            let mut scheduler = build(kind, &SchedulerConfigJson::default(), 4).unwrap();
            let end = scheduler.timesteps().len();
            assert!(matches!(scheduler.step(&turned, 0, &latents, Some(&latents)), Err(Error::Shape { .. })));
            assert!(matches!(scheduler.step(&latents, end, &latents, Some(&latents)), Err(Error::Setting(_))));
            assert!(matches!(scheduler.scale_model_input(&latents, end), Err(Error::Setting(_))));
            assert!(matches!(scheduler.add_noise(&latents, &latents, end), Err(Error::Setting(_))));
            let unfed = scheduler.step(&latents, 0, &latents, None);
            assert_eq!(unfed.is_ok(), scheduler.noise_draws() == 0);
        }
    }

    #[test]
    fn eta_is_for_ddim() {
        let config = SchedulerConfigJson::default();
        for kind in SchedulerKind::iter() {
            let built = build_with_eta(kind, &config, 5, 0.5);
            match built {
                Ok(scheduler) => assert_eq!((kind, scheduler.noise_draws()), (SchedulerKind::Ddim, 5)),
                Err(error) => assert!(error.to_string().contains("only ddim"), "{error}"),
            }
        }
        for eta in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(build_with_eta(SchedulerKind::Ddim, &config, 5, eta), Err(Error::Setting(_))), "{eta}");
        }
    }

    #[test]
    fn half_precision_comes_back_as_f32() {
        let latents = Tensor::zeros([1, 4, 1, 1], (Kind::Half, Device::Cpu));
        for kind in SchedulerKind::iter() {
            let mut scheduler = build(kind, &SchedulerConfigJson::default(), 4).unwrap();
            assert_eq!(scheduler.step(&latents, 0, &latents, Some(&latents)).unwrap().kind(), Kind::Float);
            assert_eq!(scheduler.add_noise(&latents, &latents, 1).unwrap().kind(), Kind::Float);
        }
    }
}
