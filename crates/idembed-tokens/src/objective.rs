//! What is minimised: the noise loss plus lambda times the attention loss.

use idembed_attention::{
    FaceWiseLoss, Layers, Listeners, LossOptions, Mask, Norm, Reduction, ReferenceKeys, Target, TargetMaps,
};
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::schedulers::{NoiseSchedule, PredictionType};
use idembed_diffusion::unet::{PictureSizes, UNet, UNetInput};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::method::Method;
use crate::{Result, TokensError};

/// The losses and their weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectiveOptions {
    /// The attention loss, if there is one.
    pub attention: Option<AttentionOptions>,
    /// Counts the noise loss only where the mask is.
    pub masked_noise: bool,
    /// Weighs timesteps by their signal-to-noise ratio, cut off at this (min-SNR, arXiv 2303.09556; 5 there). All weigh the
    /// same if `None`.
    pub min_snr: Option<f64>,
}

/// The attention loss in an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttentionOptions {
    /// Its weight, above 0.
    pub lambda: f64,
    /// Its form.
    #[serde(flatten)]
    pub loss: LossOptions,
}

impl AttentionOptions {
    /// The usual form with a weight; `None` for weight 0.
    pub fn weighted(lambda: f64) -> Option<Self> {
        (lambda != 0.0).then(|| AttentionOptions { lambda, loss: LossOptions::default() })
    }
}

impl ObjectiveOptions {
    /// The objective that a method was published with.
    pub fn of(method: Method) -> Self {
        let spec = method.spec();
        ObjectiveOptions {
            attention: AttentionOptions::weighted(spec.lambda),
            masked_noise: spec.masked_noise,
            min_snr: None,
        }
    }

    /// Whether a mask is needed.
    pub fn needs_mask(&self) -> bool {
        self.masked_noise || self.attention.as_ref().is_some_and(|attention| attention.loss.target == Target::Mask)
    }
}

/// One batch of noised latents.
#[derive(Debug)]
pub struct Batch {
    /// Clean latents, `[batch, channels, height, width]`, f32.
    pub latents: Tensor,
    /// Standard normal noise of the same shape.
    pub noise: Tensor,
    /// One timestep for each sample.
    pub timesteps: Vec<i64>,
    /// Where the face is, `[batch, 1, H, W]` in 0..1, at any size.
    pub mask: Option<Tensor>,
}

/// The attention loss of a run, ready for any batch.
#[derive(Debug)]
pub struct AttentionTerm {
    /// What the maps are pulled to.
    pub target: TermTarget,
    /// The layers that take part.
    pub layers: Layers,
    /// Keeps the gradient out of the queries ([`LossOptions::detach_query`]).
    pub detach_query: bool,
}

impl AttentionTerm {
    /// The same for samples of different prompts; `prompts` says of each sample which of the term's prompts it belongs to.
    ///
    /// # Errors
    /// The term has no prompt of that number.
    pub fn of_samples(&self, prompts: &[usize]) -> Result<Self> {
        let target = match &self.target {
            TermTarget::Reference { keys, norm, reduction } => {
                let prompts: Vec<i64> = prompts.iter().map(|&prompt| prompt as i64).collect();
                TermTarget::Reference { keys: keys.of_samples(&prompts)?, norm: *norm, reduction: *reduction }
            }
            TermTarget::Mask { positions } => {
                let of_sample = |prompt: &usize| positions.get(*prompt).cloned().unwrap_or_default();
                TermTarget::Mask { positions: prompts.iter().map(of_sample).collect() }
            }
        };
        Ok(AttentionTerm { target, layers: self.layers.clone(), detach_query: self.detach_query })
    }
}

/// What the maps of every batch are pulled to.
#[derive(Debug)]
pub enum TermTarget {
    /// The maps of the reference prompt.
    Reference {
        /// Its keys: those of one prompt for all samples, or of one for each.
        keys: ReferenceKeys,
        /// Distance of two attention values.
        norm: Norm,
        /// How a layer's distances become one number.
        reduction: Reduction,
    },
    /// The batch's mask.
    Mask {
        /// Token positions of the learned words: one list for all samples, or one for each.
        positions: Vec<Vec<i64>>,
    },
}

/// What predicts noise, and the schedule it was trained with.
#[derive(Debug, Clone, Copy)]
pub struct Predictor<'a> {
    /// The U-Net.
    pub unet: &'a UNet,
    /// The noise schedule.
    pub schedule: &'a NoiseSchedule,
    /// How many pixels one latent stands for, along each side.
    pub pixels_per_latent: i64,
}

impl<'a> From<&'a StableDiffusion> for Predictor<'a> {
    fn from(model: &'a StableDiffusion) -> Self {
        let pixels_per_latent = model.pixels_per_latent();
        Predictor { unet: &model.unet, schedule: &model.noise_schedule, pixels_per_latent }
    }
}

/// Which parts of a noise loss count how much.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoiseWeights {
    /// Only where the batch's mask is.
    pub masked: bool,
    /// By the timesteps ([`ObjectiveOptions::min_snr`]).
    pub min_snr: Option<f64>,
}

impl ObjectiveOptions {
    /// Those of the noise loss.
    pub fn noise_weights(&self) -> NoiseWeights {
        NoiseWeights { masked: self.masked_noise, min_snr: self.min_snr }
    }
}

/// The losses of one batch, with their gradients.
#[derive(Debug)]
#[non_exhaustive]
pub struct Losses {
    /// Mean squared error of the predicted noise (or velocity), a scalar.
    pub noise: Tensor,
    /// The attention loss, not yet multiplied with lambda.
    pub attention: Option<Tensor>,
}

/// Runs the U-Net once and computes both losses, in f32. `watcher` listens to the same pass.
///
/// # Errors
/// Shapes that do not fit, a mask that is needed and missing, or whatever the watcher reports.
pub fn losses<'a>(
    predictor: impl Into<Predictor<'a>>,
    states: &TextStates,
    batch: &Batch,
    attention: Option<&AttentionTerm>,
    weights: NoiseWeights,
    watcher: Option<&mut dyn AttentionHook>,
) -> Result<Losses> {
    let predictor = predictor.into();
    let target = predictor.schedule.training_target(&batch.latents, &batch.noise, &batch.timesteps)?;
    let mask;
    let mut loss = match attention {
        None => None,
        Some(AttentionTerm { target, layers, detach_query }) => {
            let maps = match target {
                TermTarget::Reference { keys, norm, reduction } => {
                    TargetMaps::Reference { keys, norm: *norm, reduction: *reduction }
                }
                TermTarget::Mask { positions } => {
                    mask = Mask::new(needed_mask(batch)?)?;
                    TargetMaps::Mask { mask: &mask, positions }
                }
            };
            Some(FaceWiseLoss::new(maps, layers, *detach_query)?)
        }
    };
    let mut listeners = Listeners::new();
    if let Some(loss) = &mut loss {
        listeners = listeners.with(loss);
    }
    if let Some(watcher) = watcher {
        listeners = listeners.with(watcher);
    }
    let noise_pred = predict_noise(predictor, states, batch, Some(&mut listeners))?;
    let mask = if weights.masked { Some(needed_mask(batch)?) } else { None };
    let of_samples = weights.min_snr.map(|cut| min_snr_weights(predictor.schedule, &batch.timesteps, cut));
    let noise = noise_loss(&noise_pred, &target, mask, of_samples.as_deref())?;
    Ok(Losses { noise, attention: loss.as_ref().map(FaceWiseLoss::finish).transpose()? })
}

/// The U-Net's output for a noised batch, in f32.
fn predict_noise(
    Predictor { unet, schedule, pixels_per_latent }: Predictor<'_>,
    states: &TextStates,
    batch: &Batch,
    hook: Option<&mut dyn AttentionHook>,
) -> Result<Tensor> {
    let noised = schedule.add_noise(&batch.latents, &batch.noise, &batch.timesteps)?;
    let timesteps = Tensor::f_from_slice(&batch.timesteps)?.f_to_kind(Kind::Float)?;
    let context = unet.project(states)?;
    let (_, _, height, width) = noised.size4()?;
    let sizes = PictureSizes::whole(height * pixels_per_latent, width * pixels_per_latent);
    let added = unet.added(&context, sizes)?;
    let input = UNetInput { added: added.as_ref(), ..UNetInput::new(&noised, &timesteps, &context) };
    let noise_pred = unet.forward(input, hook)?;
    Ok(noise_pred.f_to_kind(Kind::Float)?)
}

/// Mean squared error of a prediction, counted only where a mask is, if there is one, and each sample as its weight says.
///
/// # Shapes
/// - `noise_pred`, `target`: `[batch, channels, height, width]`, f32
/// - `mask`: `[1 or batch, 1, H, W]` at any size, reduced to the latents' by area
/// - `weights`: one for each sample
/// - returns: scalar
pub fn noise_loss(
    noise_pred: &Tensor,
    target: &Tensor,
    mask: Option<&Tensor>,
    weights: Option<&[f64]>,
) -> Result<Tensor> {
    if mask.is_none() && weights.is_none() {
        return Ok(noise_pred.f_mse_loss(target, tch::Reduction::Mean)?);
    }
    let (_, _, height, width) = noise_pred.size4()?;
    let mut squared = noise_pred.f_sub(target)?.f_square()?;
    if let Some(weights) = weights {
        let weights = Tensor::f_from_slice(weights)?.f_to_kind(Kind::Float)?.f_to_device(squared.device())?;
        squared = squared.f_mul(&weights.f_view([-1, 1, 1, 1])?)?;
    }
    let Some(mask) = mask else { return Ok(squared.f_mean(Kind::Float)?) };
    let mask = mask.f_to_kind(Kind::Float)?.f_adaptive_avg_pool2d([height, width])?.f_expand_as(noise_pred)?;
    Ok(squared.f_mul(&mask)?.f_sum(Kind::Float)?.f_div(&mask.f_sum(Kind::Float)?)?)
}

/// What each sample's noise loss is multiplied with: `min(snr, cut) / snr`, and `min(snr, cut) / (snr + 1)` where the velocity
/// is predicted.
///
/// # Source
/// arXiv 2303.09556, and diffusers' `compute_snr` as `train_text_to_image.py` uses it; `train_dreambooth.py` adds 1 to the first
/// weight where the velocity is predicted.
fn min_snr_weights(schedule: &NoiseSchedule, timesteps: &[i64], cut: f64) -> Vec<f64> {
    let weight = |timestep: &i64| {
        let alpha = schedule.alphas_cumprod[*timestep as usize];
        let snr = alpha / (1.0 - alpha);
        let divisor = match schedule.prediction_type {
            PredictionType::Epsilon => snr,
            PredictionType::VPrediction => snr + 1.0,
        };
        snr.min(cut) / divisor
    };
    timesteps.iter().map(weight).collect()
}

fn needed_mask(batch: &Batch) -> Result<&Tensor> {
    batch.mask.as_ref().ok_or_else(|| TokensError::Setting {
        what: "mask",
        got: "missing".to_owned(),
        expected: "given, because the objective needs it".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_mask_decides_what_counts() {
        let options = (Kind::Float, tch::Device::Cpu);
        let target = Tensor::zeros([2, 4, 2, 2], options);
        let noise_pred = Tensor::from_slice(&[1.0f32, 2.0, 1.0, 2.0]).view([1, 1, 2, 2]).expand([2, 4, 2, 2], false);
        let mask = Tensor::from_slice(&[0.0f32, 1.0, 0.0, 1.0]).view([1, 1, 2, 2]);
        let loss = |mask: Option<&Tensor>| noise_loss(&noise_pred, &target, mask, None).unwrap().double_value(&[]);
        assert_eq!((loss(None), loss(Some(&mask))), (2.5, 4.0));
        let large = mask.repeat_interleave_self_int(4, 2, None).repeat_interleave_self_int(4, 3, None);
        assert_eq!(loss(Some(&large)), 4.0);
        let weighed = |mask| noise_loss(&noise_pred, &target, mask, Some(&[1.0, 0.5])).unwrap().double_value(&[]);
        assert_eq!((weighed(None), weighed(Some(&mask))), (2.5 * 0.75, 4.0 * 0.75));
    }
}
