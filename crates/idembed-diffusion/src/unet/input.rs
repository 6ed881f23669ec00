//! What a U-Net reads in one forward call.

use tch::Tensor;

use super::model::ProjectedContext;

/// The inputs of one forward call.
#[derive(Debug, Clone, Copy)]
pub struct UNetInput<'a> {
    /// `[batch, channels, height, width]`, any height and width.
    pub latents: &'a Tensor,
    /// `[batch]` f32, may be fractional.
    pub timesteps: &'a Tensor,
    /// Projected from a batch of 1 or `batch`.
    pub context: &'a ProjectedContext,
    /// What the whole picture is conditioned on beside the text ([`super::UNet::added`]), `[1 or batch, time_width]`: it is
    /// added to the timestep's embedding.
    pub added: Option<&'a Tensor>,
    /// What a ControlNet adds on the way.
    pub residuals: Option<&'a Residuals>,
}

impl<'a> UNetInput<'a> {
    /// Latents, timesteps and text, and nothing else.
    pub fn new(latents: &'a Tensor, timesteps: &'a Tensor, context: &'a ProjectedContext) -> Self {
        UNetInput { latents, timesteps, context, added: None, residuals: None }
    }
}

/// Added to what the way down hands to the way up, and to the middle's result (arXiv 2302.05543).
#[derive(Debug)]
pub struct Residuals {
    /// For each skip connection, in the order of the way down, the first for the result of `conv_in`.
    pub skips: Vec<Tensor>,
    /// For the middle.
    pub middle: Tensor,
}
