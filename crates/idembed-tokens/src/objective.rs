//! What is minimised: the noise loss plus lambda times the attention loss.

use idembed_attention::{FaceWiseLoss, Layers, LossOptions, Mask, ReferenceKeys, Target, TargetKind};
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::hook::AttentionHook;
use tch::{Kind, Tensor};

use crate::{Result, TokensError};

/// The losses and their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveOptions {
    /// Weight of the attention loss.
    pub lambda: f64,
    /// Form and target of the attention loss.
    pub attention: LossOptions,
    /// Counts the noise loss only where the mask is.
    pub masked_noise: bool,
}

impl Default for ObjectiveOptions {
    fn default() -> Self {
        ObjectiveOptions { lambda: 0.003, attention: LossOptions::default(), masked_noise: false }
    }
}

impl ObjectiveOptions {
    /// Whether these options have an attention loss at all.
    pub fn has_attention_term(&self) -> bool {
        self.attention.target != TargetKind::None && self.lambda > 0.0
    }

    /// Whether a mask is needed.
    pub fn needs_mask(&self) -> bool {
        self.masked_noise || (self.has_attention_term() && self.attention.target == TargetKind::Mask)
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

/// What the attention loss compares with.
#[derive(Debug)]
pub struct AttentionTerm {
    /// Form and target.
    pub options: LossOptions,
    /// The layers that take part.
    pub layers: Layers,
    /// The reference prompt's keys, for the reference target.
    pub reference: Option<ReferenceKeys>,
    /// Token position of the learned word.
    pub position: i64,
}

/// The losses of one batch, with their gradients.
#[derive(Debug)]
pub struct Losses {
    /// Mean squared error of the predicted noise (or velocity), a scalar.
    pub noise: Tensor,
    /// The attention loss, not yet multiplied with lambda.
    pub attention: Option<Tensor>,
}

/// Runs the U-Net once and computes both losses, in f32.
///
/// # Errors
/// Shapes that do not fit, or a mask or reference that is needed and missing.
pub fn losses(
    model: &StableDiffusion,
    states: &TextStates,
    batch: &Batch,
    attention: Option<&AttentionTerm>,
    masked_noise: bool,
) -> Result<Losses> {
    let target = model.noise_schedule.training_target(&batch.latents, &batch.noise, &batch.timesteps)?;
    let learned_keys = match attention {
        Some(term) if term.options.detach_query => Some(model.unet.project_keys(&states.key)?),
        _ => None,
    };
    let mask = batch.mask.as_ref().filter(|_| attention.is_some_and(|term| term.options.target == TargetKind::Mask));
    let mask = mask.map(Mask::new).transpose()?;
    let positions = [vec![attention.map_or(0, |term| term.position)]];
    let mut loss = match attention {
        Some(term) => {
            let target = match (term.options.target, &term.reference, &mask) {
                (TargetKind::Reference, Some(keys), _) => Target::Reference(keys),
                (TargetKind::Mask, _, Some(mask)) => Target::Mask { mask, positions: &positions },
                (TargetKind::None, ..) => Target::None,
                (TargetKind::Reference, None, _) => return Err(missing("reference keys")),
                (TargetKind::Mask, _, None) => return Err(missing("mask")),
            };
            Some(FaceWiseLoss::new(&term.options, &term.layers, target, learned_keys.as_deref())?)
        }
        None => None,
    };
    let hook = loss.as_mut().map(|loss| loss as &mut dyn AttentionHook);
    let predicted = predict(model, states, batch, hook)?;
    let mask = match (masked_noise, &batch.mask) {
        (true, None) => return Err(missing("mask")),
        (true, mask) => mask.as_ref(),
        (false, _) => None,
    };
    let noise = noise_loss(&predicted, &target, mask)?;
    let attention = match &loss {
        Some(loss) => loss.finish()?,
        None => None,
    };
    Ok(Losses { noise, attention })
}

/// The U-Net's output for a noised batch, in f32.
pub fn predict(
    model: &StableDiffusion,
    states: &TextStates,
    batch: &Batch,
    hook: Option<&mut dyn AttentionHook>,
) -> Result<Tensor> {
    let noised = model.noise_schedule.add_noise(&batch.latents, &batch.noise, &batch.timesteps)?;
    let timesteps = Tensor::f_from_slice(&batch.timesteps)?.f_to_kind(Kind::Float)?;
    let predicted = model.unet.forward(&noised, &timesteps, &model.unet.project(states)?, hook)?;
    Ok(predicted.f_to_kind(Kind::Float)?)
}

/// Mean squared error of a prediction, counted only where a mask is, if there is one.
///
/// # Shapes
/// - `predicted`, `target`: `[batch, channels, height, width]`, f32
/// - `mask`: `[1 or batch, 1, H, W]` at any size, reduced to the latents' by area
/// - returns: scalar
pub fn noise_loss(predicted: &Tensor, target: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let Some(mask) = mask else { return Ok(predicted.f_mse_loss(target, tch::Reduction::Mean)?) };
    let (_, _, height, width) = predicted.size4()?;
    let mask = mask.f_to_kind(Kind::Float)?.f_adaptive_avg_pool2d([height, width])?.f_expand_as(predicted)?;
    let squared = predicted.f_sub(target)?.f_square()?;
    Ok(squared.f_mul(&mask)?.f_sum(Kind::Float)?.f_div(&mask.f_sum(Kind::Float)?)?)
}

fn missing(what: &'static str) -> TokensError {
    TokensError::Setting {
        what,
        got: "missing".to_owned(),
        expected: "given, because the objective needs it".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_mask_decides_what_counts() {
        let options = (Kind::Float, tch::Device::Cpu);
        let target = Tensor::zeros([2, 4, 2, 2], options);
        let predicted = Tensor::from_slice(&[1.0f32, 2.0, 1.0, 2.0]).view([1, 1, 2, 2]).expand([2, 4, 2, 2], false);
        let mask = Tensor::from_slice(&[0.0f32, 1.0, 0.0, 1.0]).view([1, 1, 2, 2]);
        let loss = |mask: Option<&Tensor>| noise_loss(&predicted, &target, mask).unwrap().double_value(&[]);
        assert_eq!((loss(None), loss(Some(&mask))), (2.5, 4.0));
        let large = mask.repeat_interleave_self_int(4, 2, None).repeat_interleave_self_int(4, 3, None);
        assert_eq!(loss(Some(&large)), 4.0);
    }
}
