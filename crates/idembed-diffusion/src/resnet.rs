//! The residual layers of U-Net and autoencoder, and the changes of resolution between them.

use idembed_layers::{Conv2d, ConvShape, GroupNorm, Linear};
use idembed_weights::Scope;
use tch::Tensor;

use crate::Result;

/// The largest number of resolutions that a configuration may ask for: each halves the sides of the picture.
pub(crate) const MOST_RESOLUTIONS: usize = 16;

/// What a residual layer is like apart from its channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResnetStyle {
    /// Groups of its normalisations.
    pub(crate) groups: i64,
    /// Added to the variance in its normalisations.
    pub(crate) eps: f64,
    /// Width of the timestep embedding that it hears, if it hears one.
    pub(crate) time_width: Option<i64>,
}

/// `x + conv(silu(norm(conv(silu(norm(x))) + time)))`, with a 1 x 1 convolution on the shortcut where channels change.
#[derive(Debug)]
pub(crate) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(crate) fn load(scope: &Scope<'_>, style: ResnetStyle, inputs: i64, outputs: i64) -> Result<Self> {
        let norm = |name, channels| GroupNorm::load(&(scope / name), channels, style.groups, style.eps);
        let time_layer = |width| Linear::load(&(scope / "time_emb_proj"), width, outputs);
        let conv_shortcut = (inputs != outputs)
            .then(|| Conv2d::load(&(scope / "conv_shortcut"), inputs, outputs, ConvShape::same(1)))
            .transpose()?;
        Ok(ResnetBlock {
            norm1: norm("norm1", inputs)?,
            conv1: Conv2d::load(&(scope / "conv1"), inputs, outputs, ConvShape::same(3))?,
            time_emb_proj: style.time_width.map(time_layer).transpose()?,
            norm2: norm("norm2", outputs)?,
            conv2: Conv2d::load(&(scope / "conv2"), outputs, outputs, ConvShape::same(3))?,
            conv_shortcut,
        })
    }

    /// # Shapes
    /// - `x`: `[batch, inputs, height, width]`
    /// - `time`: `[batch, time_width]`, after its SiLU; ignored by a layer that hears no timestep
    /// - returns: `[batch, outputs, height, width]`
    pub(crate) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let mut hidden = self.conv1.forward(&self.norm1.forward(x)?.f_silu()?)?;
        if let (Some(layer), Some(time)) = (&self.time_emb_proj, time) {
            hidden = hidden.f_add(&layer.forward(time)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?;
        }
        let hidden = self.conv2.forward(&self.norm2.forward(&hidden)?.f_silu()?)?;
        match &self.conv_shortcut {
            Some(conv) => Ok(hidden.f_add(&conv.forward(x)?)?),
            None => Ok(hidden.f_add(x)?),
        }
    }
}

/// Halves the resolution with a strided convolution.
#[derive(Debug)]
pub(crate) struct Downsample {
    conv: Conv2d,
    pad_below_right: bool,
}

impl Downsample {
    /// `padding` pixels of zeros on every side; 0 stands for one row below and one column to the right instead.
    pub(crate) fn load(scope: &Scope<'_>, channels: i64, padding: i64) -> Result<Self> {
        let conv = Conv2d::load(&(scope / "conv"), channels, channels, ConvShape::square(3, 2, padding))?;
        Ok(Downsample { conv, pad_below_right: padding == 0 })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let padded = self.pad_below_right.then(|| x.f_constant_pad_nd([0, 1, 0, 1])).transpose()?;
        Ok(self.conv.forward(padded.as_ref().unwrap_or(x))?)
    }
}

/// Brings a feature map to a larger size by nearest neighbours, then a convolution.
#[derive(Debug)]
pub(crate) struct Upsample(Conv2d);

impl Upsample {
    pub(crate) fn load(scope: &Scope<'_>, channels: i64) -> Result<Self> {
        Ok(Upsample(Conv2d::load(&(scope / "conv"), channels, channels, ConvShape::same(3))?))
    }

    /// `size` is that of the skip connection that comes next: not always the double, for odd sizes were rounded up on
    /// the way down.
    pub(crate) fn forward(&self, x: &Tensor, size: (i64, i64)) -> Result<Tensor> {
        Ok(self.0.forward(&x.f_upsample_nearest2d([size.0, size.1], None, None)?)?)
    }
}
