//! From the picture that steers to features of the latents' size.

use idembed_layers::{Conv2d, ConvShape};
use idembed_weights::Scope;
use tch::Tensor;

use super::config::ControlNetConfig;
use crate::Result;

/// Convolutions with SiLU behind all but the last; every second of the inner ones halves the size.
#[derive(Debug)]
pub(super) struct HintEmbedding {
    convs: Vec<Conv2d>,
    conv_out: Conv2d,
}

impl HintEmbedding {
    pub(super) fn load(root: &Scope<'_>, config: &ControlNetConfig) -> Result<Self> {
        let scope = root / "controlnet_cond_embedding";
        let same = ConvShape::same(3);
        let halved = ConvShape { stride: 2, ..same };
        let channels = &config.hint_channels;
        let mut convs = vec![Conv2d::load(&(&scope / "conv_in"), config.conditioning_channels, channels[0], same)?];
        for (index, pair) in channels.windows(2).enumerate() {
            let block = |number: usize| &scope / "blocks" / (2 * index + number);
            convs.push(Conv2d::load(&block(0), pair[0], pair[0], same)?);
            convs.push(Conv2d::load(&block(1), pair[0], pair[1], halved)?);
        }
        let last = channels[channels.len() - 1];
        Ok(HintEmbedding {
            convs,
            conv_out: Conv2d::load(&(&scope / "conv_out"), last, config.unet.blocks[0].channels, same)?,
        })
    }

    /// # Shapes
    /// - `picture`: `[batch, 3, height, width]`
    /// - returns: `[batch, channels, height / downscale, width / downscale]`
    pub(super) fn forward(&self, picture: &Tensor) -> Result<Tensor> {
        let mut x = picture.shallow_clone();
        for conv in &self.convs {
            x = conv.forward(&x)?.f_silu()?;
        }
        Ok(self.conv_out.forward(&x)?)
    }
}
