//! How long and how fast a network learns.

use idembed_optimizer::{AdamWConfig, Decay, Ema, LearningRate};

use crate::{PretrainError, Result};

/// The course of a training, apart from the network and its data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Decides the first parameters, the data and all noise.
    pub seed: u64,
    /// Samples per step.
    pub batch: usize,
    /// The learning rate from step to step, and the number of steps.
    pub learning_rate: LearningRate,
    /// The optimizer's constants.
    pub optimizer: AdamWConfig,
    /// The greatest norm of a step's gradient; a longer one is shortened.
    pub clip_norm: f64,
    /// The average of the parameters that is kept at the end.
    pub ema: Ema,
}

/// What may be chosen of a recipe; the stage knows the rest, and what suits it where nothing is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Choices {
    /// Decides the first parameters, the data and all noise.
    pub seed: u64,
    /// Samples of the whole training.
    pub samples: Option<usize>,
    /// Samples per step.
    pub batch: Option<usize>,
    /// The highest learning rate.
    pub learning_rate: Option<f64>,
}

/// What suits a stage where nothing is chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    pub(crate) samples: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
}

impl Recipe {
    /// A short warm-up, then half a cosine; without weight decay.
    pub(crate) fn cosine(choices: &Choices, usual: Usual) -> Recipe {
        let (batch, base) =
            (choices.batch.unwrap_or(usual.batch), choices.learning_rate.unwrap_or(usual.learning_rate));
        let steps = choices.samples.unwrap_or(usual.samples).checked_div(batch).unwrap_or(0);
        let warm_up = 200.min(steps / 10);
        Recipe {
            seed: choices.seed,
            batch,
            learning_rate: LearningRate { base, warm_up, steps, decay: Decay::Cosine },
            optimizer: AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 },
            clip_norm: 1.0,
            ema: Ema { decay: 0.999 },
        }
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> usize {
        self.learning_rate.steps
    }

    pub(crate) fn check(&self) -> Result<()> {
        let counts = [("the number of steps", self.steps()), ("the batch", self.batch)];
        for (what, value) in counts {
            if value == 0 {
                return Err(PretrainError::Setting { what, got: "0".to_owned(), expected: "at least 1".to_owned() });
            }
        }
        Ok(())
    }

    /// What a checkpoint must agree with to go on from it, by name; all but the number of steps, so that a training can
    /// be made longer or shorter on the way.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.optimizer;
        let fields = [
            ("seed", self.seed.to_string()),
            ("batch", self.batch.to_string()),
            ("learning_rate", self.learning_rate.base.to_string()),
            ("warm_up", self.learning_rate.warm_up.to_string()),
            ("decay", self.learning_rate.decay.to_string()),
            ("optimizer", format!("{beta1} {beta2} {eps} {weight_decay}")),
            ("clip_norm", self.clip_norm.to_string()),
            ("average", self.ema.decay.to_string()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}
