//! What a U-Net reads in one forward call.

use tch::Tensor;

use super::projected::ProjectedContext;
use crate::{Error, Result};

/// The inputs of one forward call.
#[derive(Debug, Clone, Copy)]
pub struct UNetInput<'a> {
    /// `[batch, channels, height, width]`, any height and width; in inpainting models with the channels behind the latents'.
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

    /// Fails unless the latents have so many channels and the rest fits to them.
    pub(crate) fn check(&self, channels: i64) -> Result<()> {
        let UNetInput { latents, timesteps, context, .. } = self;
        let got = latents.size();
        if got.len() != 4 || got[1] != channels || got[2] < 1 || got[3] < 1 {
            let expected = format!("[batch, {channels}, height, width]");
            return Err(Error::Shape { what: "latents", got, expected });
        }
        if timesteps.size() != [got[0]] {
            let expected = format!("[{}], one for each of the latents", got[0]);
            return Err(Error::Shape { what: "timesteps", got: timesteps.size(), expected });
        }
        match context.layers.first().map(|layer| layer.key.size()) {
            Some(key) if key[0] != 1 && key[0] != got[0] => {
                let expected = format!("a batch of 1 or {}", got[0]);
                Err(Error::Shape { what: "projected context", got: key, expected })
            }
            _ => Ok(()),
        }
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
