//! How much memory drawing and learning take, counted from the configurations before anything runs.
//!
//! The counts follow the layers: which feature maps are alive at the same time, and, for learning, which of them the
//! gradient keeps. What libtorch needs on top (the program itself, room inside kernels, holes between blocks) is not
//! counted, so that an estimate is right within about a quarter; the figures page of the benchmarks has measurements.

use tch::Kind;

use crate::StableDiffusion;
use crate::unet::UNetConfig;

/// Number of text tokens that the maps of watched cross-attention layers are counted with.
const TOKENS: u64 = 77;
const F32_BYTES: u64 = 4;

/// What is drawn or learned at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Width in pixels.
    pub width: i64,
    /// Height in pixels.
    pub height: i64,
    /// Pictures in a drawing, samples in a training step.
    pub batch: usize,
}

/// Bytes of the feature maps that live at the same time while pictures are drawn.
///
/// `guided` says whether each picture takes two rows of the batch, `watched` whether attention maps are looked at.
pub fn drawing(model: &StableDiffusion, extent: Extent, guided: bool, watched: bool) -> u64 {
    let rows = extent.batch as u64 * if guided { 2 } else { 1 };
    let network = Walk::of_unet(model, extent, rows, watched).peak;
    // Pictures are decoded one by one.
    network.max(autoencoder(model, extent))
}

/// Bytes of the feature maps that live at the same time in a training step.
///
/// `watched` says whether there is an attention loss.
pub fn learning(model: &StableDiffusion, extent: Extent, watched: bool) -> u64 {
    let walk = Walk::of_unet(model, extent, extent.batch as u64, watched);
    // Keys and values have text states of their own.
    let text = 2 * extent.batch as u64 * kept_of_text(model);
    autoencoder(model, extent).max(walk.kept + walk.largest_layer + text)
}

/// What the gradient keeps of the text encoder for one prompt: per layer, the inputs of two normalisations, query, key,
/// value and result of the attention, and the feed-forward part before, within and after its activation.
fn kept_of_text(model: &StableDiffusion) -> u64 {
    let config = model.text_encoder.config();
    let numbers = 8 * config.hidden_size + 3 * config.intermediate_size;
    TOKENS * (config.layers * numbers) as u64 * element(model.compute.kind)
}

/// The widest moment of the autoencoder's pass over one picture: a residual layer at some resolution.
fn autoencoder(model: &StableDiffusion, extent: Extent) -> u64 {
    let pixels = (extent.width * extent.height) as u64;
    let channels = &model.vae.config().block_channels;
    let widest = channels.iter().enumerate().map(|(index, &own)| {
        let coarser = channels.get(index + 1).copied().unwrap_or(own).max(own);
        (3 * coarser + 2 * own) as u64 * (pixels >> (2 * index))
    });
    widest.max().unwrap_or(0) * element(model.vae.kind())
}

fn element(kind: Kind) -> u64 {
    kind.elt_size_in_bytes() as u64
}

/// A walk through the U-Net's layers in the order of the forward pass.
#[derive(Default)]
struct Walk {
    /// Skip connections that wait, in bytes.
    skips: Vec<u64>,
    /// The most that lives at one time without a gradient.
    peak: u64,
    /// The most that one layer needs while it runs.
    largest_layer: u64,
    /// What the gradient keeps of all layers.
    kept: u64,
}

/// One resolution during the walk.
#[derive(Clone, Copy)]
struct Level {
    /// Pixels, all rows of the batch counted.
    pixels: u64,
    /// Bytes of one number.
    element: u64,
    /// Whether attention maps are explicit.
    watched: bool,
}

impl Walk {
    fn of_unet(model: &StableDiffusion, extent: Extent, rows: u64, watched: bool) -> Walk {
        let config = model.unet.config();
        let unit = model.pixels_per_latent();
        let (height, width) = ((extent.height / unit) as u64, (extent.width / unit) as u64);
        let element = element(model.compute.kind);
        let level = |index: usize| {
            let coarser = 1 << index;
            Level { pixels: rows * height.div_ceil(coarser) * width.div_ceil(coarser), element, watched }
        };
        let mut walk = Walk::default();
        walk.down(config, level);
        walk.middle(config, level(config.blocks.len() - 1));
        walk.up(config, level);
        walk
    }

    fn down(&mut self, config: &UNetConfig, level: impl Fn(usize) -> Level) {
        let mut entering = config.blocks[0].channels as u64;
        self.skip(entering, level(0));
        for (index, block) in config.blocks.iter().enumerate() {
            let (channels, level_here) = (block.channels as u64, level(index));
            for _ in 0..block.layers {
                self.resnet(entering, channels, level_here);
                if block.attention_down {
                    self.transformer(channels, block.heads as u64, block.transformer_layers as u64, level_here);
                }
                self.skip(channels, level_here);
                entering = channels;
            }
            if index + 1 < config.blocks.len() {
                self.skip(channels, level(index + 1));
            }
        }
    }

    fn middle(&mut self, config: &UNetConfig, level: Level) {
        let Some(block) = config.blocks.last() else { return };
        let channels = block.channels as u64;
        self.resnet(channels, channels, level);
        self.transformer(channels, block.heads as u64, block.transformer_layers as u64, level);
        self.resnet(channels, channels, level);
    }

    fn up(&mut self, config: &UNetConfig, level: impl Fn(usize) -> Level) {
        let mut entering = config.blocks.last().map_or(0, |block| block.channels as u64);
        for (index, block) in config.blocks.iter().enumerate().rev() {
            let (channels, level) = (block.channels as u64, level(index));
            for _ in 0..=block.layers {
                // The skip connection is joined to the layer's input and gone after it.
                let skip = self.skips.pop().unwrap_or(0) / (level.pixels * level.element).max(1);
                self.resnet(entering + skip, channels, level);
                if block.attention_up {
                    self.transformer(channels, block.heads as u64, block.transformer_layers as u64, level);
                }
                entering = channels;
            }
        }
    }

    fn skip(&mut self, channels: u64, level: Level) {
        self.skips.push(channels * level.pixels * level.element);
    }

    /// Input, its normalisation and activation, and the outputs of the two convolutions live together. The gradient
    /// keeps what normalisations, activations and convolutions got.
    fn resnet(&mut self, inputs: u64, outputs: u64, level: Level) {
        let bytes = |channels: u64| channels * level.pixels * level.element;
        self.layer(bytes(3 * inputs + 2 * outputs), bytes(3 * inputs + 4 * outputs));
    }

    /// The feed-forward part is the widest: eight times the channels, halved, activated and multiplied. The gradient
    /// keeps it, the inputs of three normalisations, and query, key, value and result of two attentions.
    fn transformer(&mut self, channels: u64, heads: u64, depth: u64, level: Level) {
        let bytes = |channels: u64| channels * level.pixels * level.element;
        let map = if level.watched { heads * TOKENS * level.pixels * F32_BYTES } else { 0 };
        self.layer(bytes(20 * channels) + 3 * map, 0);
        self.kept += bytes(3 * channels) + depth * (bytes(26 * channels) + 5 * map);
    }

    fn layer(&mut self, running: u64, kept: u64) {
        self.peak = self.peak.max(self.skips.iter().sum::<u64>() + running);
        self.largest_layer = self.largest_layer.max(running);
        self.kept += kept;
    }
}
