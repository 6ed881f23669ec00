//! Everything that changes while a network learns.

use std::path::Path;

use idembed_optimizer::{AdamW, clip_by_global_norm};
use idembed_weights::{Packed, Parameters};
use tch::{Device, Kind};

use crate::worker::Found;
use crate::{PretrainError, Recipe, Result, Task};

/// The parameters, their average, the optimizer's moments, and the number of steps done.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) trained: Packed,
    pub(crate) average: Packed,
    pub(crate) optimizer: AdamW,
    pub(crate) step: usize,
}

impl State {
    /// A network that has learned nothing yet, or what is in the folder `from`.
    pub(crate) fn new<S: Task>(stage: &S, recipe: &Recipe, device: Device, from: Option<&Path>) -> Result<Self> {
        let parameters = Parameters::new(recipe.seed, device);
        stage.build(&parameters, Kind::Float)?;
        match from {
            Some(folder) => stage.import(&parameters, folder)?,
            None => stage.begin(&parameters)?,
        }
        let trained = Packed::copy(&parameters)?;
        let average = trained.with(&trained.numbers.f_alias_copy()?)?;
        let optimizer = AdamW::new(recipe.optimizer, &[&trained.numbers])?;
        Ok(State { trained, average, optimizer, step: 0 })
    }

    /// Takes the step that the workers found; returns the loss and its parts.
    pub(crate) fn advance(&mut self, recipe: &Recipe, found: Vec<Found>) -> Result<(f64, Vec<(&'static str, f64)>)> {
        let mut found = found.into_iter();
        let Some(mut sum) = found.next() else { return Err(PretrainError::ThreadEnded) };
        for other in found {
            sum.total += other.total;
            for ((_, sum), (_, part)) in sum.parts.iter_mut().zip(other.parts) {
                *sum += part;
            }
            sum.gradient = sum.gradient.f_add(&other.gradient)?;
        }
        let finite = |what, value: f64| {
            if value.is_finite() { Ok(()) } else { Err(PretrainError::NotFinite { what, step: self.step + 1 }) }
        };
        finite("the loss", sum.total)?;
        let mut gradient = [sum.gradient];
        finite("the gradient", clip_by_global_norm(&mut gradient, recipe.clip_norm)?)?;

        let numbers = &[&self.trained.numbers];
        self.optimizer.update(numbers, &gradient, &[recipe.learning_rate.at(self.step)])?;
        recipe.ema.update(&[&self.average.numbers], numbers, self.step)?;
        self.step += 1;
        Ok((sum.total, sum.parts))
    }
}
