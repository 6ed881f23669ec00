//! From a timestep to the vector that every residual layer adds.

use idembed_layers::Linear;
use idembed_weights::Scope;
use tch::{Kind, Tensor};

use super::config::UNetConfig;
use crate::Result;

/// The longest period of the sinusoids (arXiv 1706.03762).
const MAX_PERIOD: f64 = 10_000.0;

/// Sinusoids of the timestep, then two linear layers.
#[derive(Debug)]
pub(super) struct TimeEmbedding {
    sinusoids: Sinusoids,
    layers: EmbeddingLayers,
    kind: Kind,
}

impl TimeEmbedding {
    pub(super) fn load(scope: &Scope<'_>, config: &UNetConfig, kind: Kind) -> Result<Self> {
        let width = config.blocks[0].channels;
        let layers = EmbeddingLayers::load(scope, width, config.time_width())?;
        Ok(TimeEmbedding { sinusoids: Sinusoids::new(config, width), layers, kind })
    }

    /// # Shapes
    /// - `timesteps`: `[batch]`, f32
    /// - returns: `[batch, 4 * width]`
    pub(super) fn forward(&self, timesteps: &Tensor) -> Result<Tensor> {
        self.layers.forward(&self.sinusoids.of(timesteps)?.f_to_kind(self.kind)?)
    }
}

/// A number as sines and cosines of many frequencies.
#[derive(Debug)]
pub(super) struct Sinusoids {
    width: i64,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl Sinusoids {
    pub(super) fn new(config: &UNetConfig, width: i64) -> Self {
        Sinusoids { width, flip_sin_to_cos: config.flip_sin_to_cos, freq_shift: config.freq_shift }
    }

    /// # Shapes
    /// - `numbers`: `[count]`
    /// - returns: `[count, width]`, f32
    pub(super) fn of(&self, numbers: &Tensor) -> Result<Tensor> {
        let half = self.width / 2;
        let exponent = Tensor::f_arange(half, (Kind::Float, numbers.device()))?
            .f_mul_scalar(-MAX_PERIOD.ln())?
            .f_div_scalar(half as f64 - self.freq_shift)?;
        let angles = numbers.f_to_kind(Kind::Float)?.f_unsqueeze(1)?.f_mul(&exponent.f_exp()?.f_unsqueeze(0)?)?;
        let (sin, cos) = (angles.f_sin()?, angles.f_cos()?);
        let halves = if self.flip_sin_to_cos { [cos, sin] } else { [sin, cos] };
        Ok(Tensor::f_cat(&halves, 1)?)
    }
}

/// Two linear layers with SiLU between them.
#[derive(Debug)]
pub(super) struct EmbeddingLayers {
    linear_1: Linear,
    linear_2: Linear,
}

impl EmbeddingLayers {
    pub(super) fn load(scope: &Scope<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let linear_1 = Linear::load(&(scope / "linear_1"), inputs, outputs)?;
        Ok(EmbeddingLayers { linear_1, linear_2: Linear::load(&(scope / "linear_2"), outputs, outputs)? })
    }

    /// # Shapes
    /// - `x`: `[batch, inputs]`
    /// - returns: `[batch, outputs]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.linear_2.forward(&self.linear_1.forward(x)?.f_silu()?)?)
    }
}
