//! ControlNets in a drawing.

use tch::Tensor;

use super::model::{ControlNet, Hint};
use crate::contexts::{Contexts, Texts};
use crate::unet::{PictureSizes, Residuals, UNetInput};
use crate::{Error, Result};

/// A ControlNet, the picture that it sees, and how and when it acts.
#[derive(Debug, Clone, Copy)]
pub struct Control<'a> {
    /// The network.
    pub net: &'a ControlNet,
    /// `[1, 3, height, width]` in 0..1, of the size that is drawn.
    pub picture: &'a Tensor,
    /// How strongly it acts; 1 is as it was trained.
    pub scale: f64,
    /// The share of the steps, 0 to 1, after which it begins to act.
    pub start: f64,
    /// The share of the steps after which it ends.
    pub end: f64,
}

impl Control<'_> {
    /// Fails if a setting is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let Control { scale, start, end, .. } = *self;
        if !scale.is_finite() {
            return Err(Error::Setting(format!("a ControlNet's scale is {scale}, expected a number")));
        }
        if !(0.0..=1.0).contains(&start) || !(0.0..=1.0).contains(&end) || start >= end {
            let what = format!("a ControlNet acts from {start} to {end} of the steps, expected a range within 0 to 1");
            return Err(Error::Setting(what));
        }
        Ok(())
    }

    /// Whether it acts in a step: from the first that begins at or after its start to the last that ends by its end.
    fn acts_at(&self, step: usize, steps: usize) -> bool {
        let share = |step: usize| step as f64 / steps as f64;
        share(step) >= self.start && share(step + 1) <= self.end
    }
}

/// ControlNets that steer a batch of pictures.
#[derive(Debug)]
pub(crate) struct Steering<'a> {
    controls: Vec<Steer<'a>>,
    sizes: PictureSizes,
}

#[derive(Debug)]
struct Steer<'a> {
    control: Control<'a>,
    hint: Hint,
    contexts: Contexts<'a>,
}

impl<'a> Steering<'a> {
    pub(crate) fn new(controls: &[Control<'a>], texts: Texts<'a>, sizes: PictureSizes) -> Result<Self> {
        let steer = controls.iter().map(|&control| {
            let hint = control.net.hint(control.picture)?;
            Ok(Steer { control, hint, contexts: Contexts::new(texts, |states| control.net.project(states))? })
        });
        Ok(Steering { controls: steer.collect::<Result<_>>()?, sizes })
    }

    /// What all that act in a step add to the U-Net's features, whose input is given with the U-Net's own text.
    pub(crate) fn residuals(
        &mut self,
        (step, steps): (usize, usize),
        timestep: f64,
        input: UNetInput<'_>,
    ) -> Result<Option<Residuals>> {
        let mut sum: Option<Residuals> = None;
        for Steer { control, hint, contexts } in &mut self.controls {
            if !control.acts_at(step, steps) {
                continue;
            }
            let context = contexts.at(timestep)?;
            let added = control.net.added(context, self.sizes)?;
            let input = UNetInput { context, added: added.as_ref(), residuals: None, ..input };
            let own = control.net.forward(input, hint, control.scale)?;
            sum = Some(match sum {
                Some(others) => others.plus(&own)?,
                None => own,
            });
        }
        Ok(sum)
    }

    /// Fails if a network's weights may be others by now.
    pub(crate) fn check_unchanged(controls: &[Control<'_>]) -> Result<()> {
        controls.iter().try_for_each(|control| control.net.check_unchanged())
    }
}

impl Residuals {
    fn plus(&self, other: &Residuals) -> Result<Residuals> {
        let sum = |(a, b): (&Tensor, &Tensor)| -> Result<Tensor> { Ok(a.f_add(b)?) };
        let skips = self.skips.iter().zip(&other.skips).map(sum).collect::<Result<_>>()?;
        Ok(Residuals { skips, middle: sum((&self.middle, &other.middle))? })
    }
}
