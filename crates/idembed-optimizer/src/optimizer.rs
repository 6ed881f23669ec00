//! One of the optimizers, chosen by name, with its state as a file keeps it.

use tch::{TchError, Tensor};

use crate::adamw::{AdamW, AdamWConfig};
use crate::lion::{Lion, LionConfig};
use crate::prodigy::{Prodigy, ProdigyConfig};

/// The optimizers by name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OptimizerName {
    /// [`AdamW`].
    #[default]
    AdamW,
    /// [`Lion`]: wants a third to a tenth of AdamW's learning rate.
    Lion,
    /// [`Prodigy`]: finds the size of its steps; its learning rate is a factor, usually 1.
    Prodigy,
}

/// Any of the optimizers.
#[derive(Debug)]
pub enum Optimizer {
    /// [`AdamW`].
    AdamW(AdamW),
    /// [`Lion`].
    Lion(Lion),
    /// [`Prodigy`].
    Prodigy(Prodigy),
}

impl Optimizer {
    /// One that has seen nothing yet, with its usual constants but these two.
    pub fn new(name: OptimizerName, eps: f64, weight_decay: f64, parameters: &[&Tensor]) -> Result<Self, TchError> {
        Ok(match name {
            OptimizerName::AdamW => {
                let config = AdamWConfig { eps, weight_decay, ..AdamWConfig::default() };
                Optimizer::AdamW(AdamW::new(config, parameters)?)
            }
            OptimizerName::Lion => {
                Optimizer::Lion(Lion::new(LionConfig { weight_decay, ..LionConfig::default() }, parameters)?)
            }
            OptimizerName::Prodigy => {
                let config = ProdigyConfig { eps, weight_decay, ..ProdigyConfig::default() };
                Optimizer::Prodigy(Prodigy::new(config, parameters)?)
            }
        })
    }

    /// Updates the parameters in place, each with a learning rate of its own.
    ///
    /// # Shapes
    /// - `parameters`, `gradients`: as given to [`Optimizer::new`], in that order
    pub fn update(
        &mut self,
        parameters: &[&Tensor],
        gradients: &[Tensor],
        learning_rates: &[f64],
    ) -> Result<(), TchError> {
        match self {
            Optimizer::AdamW(optimizer) => optimizer.update(parameters, gradients, learning_rates),
            Optimizer::Lion(optimizer) => optimizer.update(parameters, gradients, learning_rates),
            Optimizer::Prodigy(optimizer) => optimizer.update(parameters, gradients, learning_rates),
        }
    }

    /// What is kept of the parameters: each with a name, and a tensor for each parameter, of its shape. They share their
    /// memory with the optimizer: what is copied into them, it has seen.
    pub fn tensors(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        match self {
            Optimizer::AdamW(AdamW { moments, .. }) => vec![
                ("mean", shared(moments.iter().map(|moments| &moments.mean))),
                ("square", shared(moments.iter().map(|moments| &moments.square))),
            ],
            Optimizer::Lion(Lion { means, .. }) => vec![("mean", shared(means))],
            Optimizer::Prodigy(Prodigy { moments, .. }) => vec![
                ("mean", shared(moments.iter().map(|moments| &moments.mean))),
                ("square", shared(moments.iter().map(|moments| &moments.square))),
                ("sum", shared(moments.iter().map(|moments| &moments.sum))),
                ("start", shared(moments.iter().map(|moments| &moments.start))),
            ],
        }
    }

    /// What is kept of all parameters together, by name.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        match self {
            Optimizer::AdamW(_) | Optimizer::Lion(_) => Vec::new(),
            Optimizer::Prodigy(Prodigy { distance, numerator, .. }) => {
                vec![("distance", *distance), ("numerator", *numerator)]
            }
        }
    }

    /// Goes on as after so many updates, with the numbers that [`Optimizer::numbers`] gave then, in their order.
    pub fn resume(&mut self, updates: u32, numbers: &[f64]) {
        match (self, numbers) {
            (Optimizer::AdamW(AdamW { steps, .. }) | Optimizer::Lion(Lion { steps, .. }), _) => *steps = updates,
            (Optimizer::Prodigy(optimizer), numbers) => {
                optimizer.steps = updates;
                for (own, number) in [&mut optimizer.distance, &mut optimizer.numerator].into_iter().zip(numbers) {
                    *own = *number;
                }
            }
        }
    }
}

fn shared<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<Tensor> {
    tensors.into_iter().map(Tensor::shallow_clone).collect()
}
