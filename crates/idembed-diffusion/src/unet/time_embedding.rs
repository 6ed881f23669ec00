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
    linear_1: Linear,
    linear_2: Linear,
    kind: Kind,
    width: i64,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl TimeEmbedding {
    pub(super) fn load(scope: &Scope<'_>, config: &UNetConfig, kind: Kind) -> Result<Self> {
        let width = config.blocks[0].channels;
        let out = config.time_width();
        Ok(TimeEmbedding {
            linear_1: Linear::load(&(scope / "linear_1"), width, out)?,
            linear_2: Linear::load(&(scope / "linear_2"), out, out)?,
            kind,
            width,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
        })
    }

    /// # Shapes
    /// - `timesteps`: `[batch]`, f32
    /// - returns: `[batch, 4 * width]`
    pub(super) fn forward(&self, timesteps: &Tensor) -> Result<Tensor> {
        let embedding = self.linear_1.forward(&self.sinusoids(timesteps)?.f_to_kind(self.kind)?)?;
        Ok(self.linear_2.forward(&embedding.f_silu()?)?)
    }

    fn sinusoids(&self, timesteps: &Tensor) -> Result<Tensor> {
        let half = self.width / 2;
        let exponent = Tensor::f_arange(half, (Kind::Float, timesteps.device()))?
            .f_mul_scalar(-MAX_PERIOD.ln())?
            .f_div_scalar(half as f64 - self.freq_shift)?;
        let angles = timesteps.f_to_kind(Kind::Float)?.f_unsqueeze(1)?.f_mul(&exponent.f_exp()?.f_unsqueeze(0)?)?;
        let (sin, cos) = (angles.f_sin()?, angles.f_cos()?);
        let halves = if self.flip_sin_to_cos { [cos, sin] } else { [sin, cos] };
        Ok(Tensor::f_cat(&halves, 1)?)
    }
}
