//! Everything that changes while a network learns.

use idembed_optimizer::{AdamW, clip_by_global_norm};
use idembed_weights::Parameters;
use tch::{Device, Kind, Tensor};

use crate::worker::Found;
use crate::{PretrainError, Recipe, Result, Stage};

/// The parameters, their average, the optimizer's moments, and the number of steps done.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) parameters: Parameters,
    pub(crate) average: Parameters,
    pub(crate) optimizer: AdamW,
    pub(crate) step: usize,
}

impl State {
    /// A network that has learned nothing yet.
    pub(crate) fn new<S: Stage>(stage: &S, recipe: &Recipe, device: Device) -> Result<Self> {
        let parameters = Parameters::new(recipe.seed, device);
        stage.build(&parameters, Kind::Float)?;
        stage.begin(&parameters)?;
        let list = parameters.list();
        let leaves: Vec<&Tensor> = list.iter().map(|(_, leaf)| leaf).collect();
        let optimizer = AdamW::new(recipe.optimizer, &leaves)?;
        Ok(State { average: parameters.frozen_copy()?, parameters, optimizer, step: 0 })
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
            for (sum, gradient) in sum.gradients.iter_mut().zip(&other.gradients) {
                *sum = sum.f_add(gradient)?;
            }
        }
        let finite = |what, value: f64| {
            if value.is_finite() { Ok(()) } else { Err(PretrainError::NotFinite { what, step: self.step + 1 }) }
        };
        finite("the loss", sum.total)?;
        finite("the gradient", clip_by_global_norm(&mut sum.gradients, recipe.clip_norm)?)?;

        let leaves = self.parameters.list();
        let leaves: Vec<&Tensor> = leaves.iter().map(|(_, leaf)| leaf).collect();
        let rates = vec![recipe.learning_rate.at(self.step); leaves.len()];
        self.optimizer.update(&leaves, &sum.gradients, &rates)?;
        let averages = self.average.list();
        let averages: Vec<&Tensor> = averages.iter().map(|(_, average)| average).collect();
        recipe.average.update(&averages, &leaves, self.step)?;
        self.step += 1;
        Ok((sum.total, sum.parts))
    }
}
