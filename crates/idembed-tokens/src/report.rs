//! What a training run tells about itself.

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// The noise loss.
    pub noise_loss: f64,
    /// The attention loss before lambda, if there is one.
    pub attention_loss: Option<f64>,
    /// The weight of the attention loss.
    pub lambda: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// What was measured, at every [`crate::LearnConfig::log_every`]-th step.
    pub measured: Option<Measured>,
}

/// What costs extra to know about a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Norm of the noise loss's gradient with respect to the `[2 * stages, hidden]` tokens.
    pub grad_norm_noise: f64,
    /// Norm of the gradient of lambda times the attention loss; 0 without one.
    pub grad_norm_attention: f64,
    /// Share of the identity's attention outside the mask, averaged over layers and samples, if there is a mask.
    pub leakage: Option<f64>,
}

/// The losses of every step so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Noise losses.
    pub noise: Vec<f32>,
    /// Attention losses before lambda; empty if there is none.
    pub attention: Vec<f32>,
}
