//! One of the optimizers, chosen by name, with its state as a file keeps it.

use tch::{TchError, Tensor};

use crate::adamw::{AdamW, AdamWConfig};
use crate::prodigy::{Estimate, Prodigy, ProdigyConfig};

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
    /// [`Prodigy`]: finds the size of its steps; its learning rate is a factor of that, usually 1.
    Prodigy,
}

/// Any of the optimizers.
#[derive(Debug)]
pub enum Optimizer {
    /// [`AdamW`].
    AdamW(AdamW),
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
            Optimizer::Prodigy(optimizer) => optimizer.update(parameters, gradients, learning_rates),
        }
    }

    /// What is known of the distance, where steps are as long as that.
    pub fn estimate(&self) -> Option<Estimate> {
        match self {
            Optimizer::AdamW(_) => None,
            Optimizer::Prodigy(optimizer) => Some(optimizer.estimate),
        }
    }

    /// What is kept of the parameters: each with a name, and a tensor for each parameter, of its shape. They share their
    /// memory with the optimizer: what is copied into them, it has seen.
    pub fn tensors(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        fn shared<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Vec<Tensor> {
            tensors.map(Tensor::shallow_clone).collect()
        }
        match self {
            Optimizer::AdamW(AdamW { moments, .. }) => vec![
                ("mean", shared(moments.iter().map(|moments| &moments.mean))),
                ("square", shared(moments.iter().map(|moments| &moments.square))),
            ],
            Optimizer::Prodigy(Prodigy { moments, .. }) => vec![
                ("mean", shared(moments.iter().map(|moments| &moments.mean))),
                ("square", shared(moments.iter().map(|moments| &moments.square))),
                ("sum", shared(moments.iter().map(|moments| &moments.sum))),
            ],
        }
    }

    /// Goes on as after so many updates, when [`Optimizer::estimate`] was this. The parameters that it was made for are where
    /// they began.
    pub fn resume(&mut self, updates: u32, estimate: Option<Estimate>) {
        match self {
            Optimizer::AdamW(optimizer) => optimizer.steps = updates,
            Optimizer::Prodigy(optimizer) => optimizer.estimate = estimate.unwrap_or(optimizer.estimate),
        }
    }
}
