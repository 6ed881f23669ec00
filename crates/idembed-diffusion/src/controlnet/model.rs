//! The whole ControlNet.

use idembed_layers::{Conv2d, ConvShape};
use idembed_weights::{Compute, Weights, channels_last};
use tch::Tensor;

use super::config::ControlNetConfig;
use super::hint::HintEmbedding;
use crate::conditioning::TextStates;
use crate::unet::{
    AddedEmbedding, CrossAttention, CrossContext, DownPath, Features, PictureSizes, ProjectedContext, Residuals,
    SiteCounter, TextInput, UNetInput, no_added,
};
use crate::{Error, Result};

/// A ControlNet, frozen.
#[derive(Debug)]
pub struct ControlNet {
    config: ControlNetConfig,
    compute: Compute,
    hint: HintEmbedding,
    added: Option<AddedEmbedding>,
    down_path: DownPath,
    /// For each skip connection, in the order of the way down.
    outputs: Vec<Conv2d>,
    middle: Conv2d,
    weights: Weights,
}

/// The features of a picture that steers, ready for any number of steps.
#[derive(Debug)]
pub struct Hint(Tensor);

impl ControlNet {
    /// Builds the ControlNet of a configuration on weights from anywhere.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: ControlNetConfig, weights: Weights) -> Result<Self> {
        let compute = weights.compute();
        let root = weights.root();
        let unet = &config.unet;
        let pointwise = |scope, channels| Conv2d::load(&scope, channels, channels, ConvShape::same(1));
        let outputs = skip_channels(&config).into_iter().enumerate();
        let outputs =
            outputs.map(|(index, channels)| Ok(pointwise(&root / "controlnet_down_blocks" / index, channels)?));
        let outputs = outputs.collect::<Result<_>>()?;
        let coarsest = unet.blocks[unet.blocks.len() - 1].channels;
        let added = unet.added.as_ref().map(|added| AddedEmbedding::load(&root, unet, added, compute)).transpose()?;
        let net = ControlNet {
            hint: HintEmbedding::load(&root, &config)?,
            added,
            down_path: DownPath::load(&root, unet, compute.kind, &mut SiteCounter::new())?,
            outputs,
            middle: pointwise(&root / "controlnet_mid_block", coarsest)?,
            compute,
            config,
            weights,
        };
        net.weights.check_all_used(&[])?;
        Ok(net)
    }

    /// The configuration.
    pub fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// Bytes of its weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Fails if the weights may be others by now, because their file was changed in place.
    ///
    /// # Errors
    /// Names the file.
    pub fn check_unchanged(&self) -> Result<()> {
        Ok(self.weights.check_unchanged()?)
    }

    /// The features of a picture.
    ///
    /// # Shapes
    /// - `picture`: `[batch, 3, height, width]`, 0..1; sides divisible by [`ControlNetConfig::downscale`]
    ///
    /// # Errors
    /// Another shape.
    pub fn hint(&self, picture: &Tensor) -> Result<Hint> {
        let (got, unit) = (picture.size(), self.config.downscale());
        if got.len() != 4 || got[1] != self.config.conditioning_channels || got[2] % unit != 0 || got[3] % unit != 0 {
            let expected =
                format!("[batch, {}, height, width] with sides divisible by {unit}", self.config.conditioning_channels);
            return Err(Error::Shape { what: "picture for the ControlNet", got, expected });
        }
        let picture = if self.config.blue_first { picture.f_flip([1])? } else { picture.shallow_clone() };
        let Compute { device, kind } = self.compute;
        Ok(Hint(self.hint.forward(&channels_last(&picture.f_to_device(device)?.f_to_kind(kind)?)?)?))
    }

    /// Keys and values of all cross-attention layers, as [`crate::unet::UNet::project`] has them. Of states that differ from
    /// layer to layer it takes those of the U-Net's layers that it is a copy of.
    ///
    /// # Errors
    /// States of another width.
    pub fn project(&self, states: &TextStates) -> Result<ProjectedContext> {
        let layers: Vec<&CrossAttention> = self.down_path.cross_attentions().map(|(layer, _)| layer).collect();
        let own = |states: &Tensor| match states.size().as_slice() {
            [all, _, _, _] if *all > layers.len() as i64 => states.f_narrow(0, 0, layers.len() as i64),
            _ => Ok(states.shallow_clone()),
        };
        let states = TextStates {
            key: own(&states.key)?,
            value: own(&states.value)?,
            pooled: states.pooled.as_ref().map(Tensor::shallow_clone),
        };
        let input = TextInput { width: self.config.unet.cross_attention_dim, compute: self.compute };
        ProjectedContext::new(&layers, &states, input)
    }

    /// As [`crate::unet::UNet::added`].
    ///
    /// # Errors
    /// The context has no pooled state of the width that the network wants.
    pub fn added(&self, context: &ProjectedContext, sizes: PictureSizes) -> Result<Option<Tensor>> {
        self.added.as_ref().map(|added| added.forward(context.pooled(), sizes)).transpose()
    }

    /// What it adds to the U-Net's features, times a scale.
    ///
    /// # Shapes
    /// - `hint`: of a batch of 1, or of the latents'
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, input: UNetInput<'_>, hint: &Hint, scale: f64) -> Result<Residuals> {
        input.check(self.config.unet.channels)?;
        if self.added.is_some() && input.added.is_none() {
            return Err(no_added());
        }
        let (latent, got) = (input.latents.size(), hint.0.size());
        if got[2..] != latent[2..] || (got[0] != 1 && got[0] != latent[0]) {
            let expected = format!("1 or {} pictures, of {} x {} latents", latent[0], latent[3], latent[2]);
            return Err(Error::Shape { what: "features of the picture for the ControlNet", got, expected });
        }
        let Compute { device, kind } = self.compute;
        let latents = channels_last(&input.latents.f_to_device(device)?.f_to_kind(kind)?)?;
        let timesteps = input.timesteps.f_to_device(device)?;
        let mut context = CrossContext { layers: &input.context.layers, regions: &[], hook: None };
        let Features { skips, middle, .. } =
            self.down_path.forward(&latents, &timesteps, input.added, Some(&hint.0), &mut context)?;
        let scaled = |conv: &Conv2d, x: &Tensor| -> Result<Tensor> { Ok(conv.forward(x)?.f_mul_scalar(scale)?) };
        let skips = self.outputs.iter().zip(&skips).map(|(conv, x)| scaled(conv, x)).collect::<Result<_>>()?;
        Ok(Residuals { skips, middle: scaled(&self.middle, &middle)? })
    }
}

/// Channels of every skip connection, in the order of the way down.
fn skip_channels(config: &ControlNetConfig) -> Vec<i64> {
    let blocks = &config.unet.blocks;
    let mut channels = vec![blocks[0].channels];
    for (index, block) in blocks.iter().enumerate() {
        let downsampled = i64::from(index + 1 < blocks.len());
        channels.extend((0..block.layers + downsampled).map(|_| block.channels));
    }
    channels
}
