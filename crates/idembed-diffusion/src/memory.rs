//! How much memory drawing and learning take, counted from the configurations before anything runs.
//!
//! The counts follow the layers: which feature maps are alive at the same time, and, for learning, which of them the
//! gradient keeps. The program itself is not counted. Forecasts come within a quarter of what was measured on the
//! miniature (128 to 1024 pixels), at the size of Stable Diffusion 1.5 and at that of SDXL; drawings in f32 at 1024 and 1280
//! pixels with Stable Diffusion 1.5 took two thirds to seven tenths of what was said.

use idembed_weights::Compute;
use tch::{Device, Kind};

use crate::StableDiffusion;
use crate::unet::UNetConfig;
use crate::vae::Tiles;

/// Tokens of a chunk of a prompt.
const TOKENS: u64 = 77;
const F32_BYTES: u64 = 4;
/// What the autoencoder takes more than its feature maps: it comes last, its maps are few and large, and the holes that
/// the U-Net left in the memory are too small for them. Measured.
const HOLES: f64 = 1.4;
/// Of the U-Net and the autoencoder, the one that takes less leaves one in so many of its bytes to no use of the other. Measured.
const HELD_BACK: u64 = 2;
/// What the U-Net takes more than its feature maps while it draws. Measured.
const HOLES_OF_UNET: f64 = 1.3;
/// What a training step takes more than what its gradient keeps, for holes that are left on its way back. Measured.
const WAY_BACK: f64 = 1.2;
/// What a training step takes beside its feature maps, as a share of the weights, such as for those that are brought into
/// another order. Measured at SDXL's size.
const BESIDE_WEIGHTS: f64 = 0.04;

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
/// `guided` says whether each picture takes two rows of the batch, `watched` whether attention maps are looked at, `chunks` how
/// many chunks the prompt has, `tiles` whether pictures are decoded part by part.
pub fn drawing(
    model: &StableDiffusion,
    extent: Extent,
    guided: bool,
    watched: bool,
    chunks: usize,
    tiles: Option<Tiles>,
) -> u64 {
    let rows = extent.batch as u64 * if guided { 2 } else { 1 };
    let tokens = TOKENS * chunks as u64;
    let network = Walk::of_unet(model, extent, rows, watched.then_some(tokens)).peak;
    let network = (network as f64 * HOLES_OF_UNET) as u64;
    // Pictures are decoded one by one.
    let picture = autoencoder(model, tiles.map_or(extent, |tiles| tile_of(model, extent, tiles)));
    network.max(picture) + network.min(picture) / HELD_BACK + projected(model, rows * tokens)
}

/// The part of a picture that is decoded at once.
fn tile_of(model: &StableDiffusion, extent: Extent, tiles: Tiles) -> Extent {
    let side = tiles.side() * model.pixels_per_latent();
    Extent { width: extent.width.min(side), height: extent.height.min(side), ..extent }
}

/// Bytes of the feature maps that live at the same time in a training step.
///
/// `watched` says whether there is an attention loss.
pub fn learning(model: &StableDiffusion, extent: Extent, watched: bool) -> u64 {
    let rows = extent.batch as u64;
    let walk = Walk::of_unet(model, extent, rows, watched.then_some(TOKENS));
    // Keys and values have text states of their own.
    let text = 2 * rows * kept_of_text(model) + projected(model, rows * TOKENS);
    let step = (walk.kept + walk.largest_layer + text) as f64 * WAY_BACK;
    let beside = model.weight_bytes() as f64 * BESIDE_WEIGHTS;
    autoencoder(model, extent).max((step + beside) as u64)
}

/// The keys and values of so many tokens in all cross-attention layers, which are computed once for all steps.
fn projected(model: &StableDiffusion, tokens: u64) -> u64 {
    let config = model.unet.config();
    let of_blocks = config.blocks.iter().map(|block| {
        let layers =
            if block.attention_down { block.layers } else { 0 } + if block.attention_up { block.layers + 1 } else { 0 };
        layers * block.transformer_layers * block.channels
    });
    let of_middle = config.blocks.last().map_or(0, |block| block.transformer_layers * block.channels);
    let channels = (of_blocks.sum::<i64>() + of_middle) as u64;
    2 * channels * tokens * model.compute.kind.elt_size_in_bytes() as u64
}

/// What the gradient keeps of the text encoders for one prompt: per layer, the inputs of two normalisations, query, key,
/// value and result of the attention, and the feed-forward part before, within and after its activation.
fn kept_of_text(model: &StableDiffusion) -> u64 {
    let numbers = model.text_encoders.iter().map(|encoder| {
        let config = encoder.model.config();
        config.layers * (8 * config.hidden_size + 3 * config.intermediate_size)
    });
    TOKENS * numbers.sum::<i64>() as u64 * model.compute.kind.elt_size_in_bytes() as u64
}

/// The widest moment of the autoencoder's pass over one picture: a residual layer at some resolution.
fn autoencoder(model: &StableDiffusion, extent: Extent) -> u64 {
    let pixels = (extent.width * extent.height) as u64;
    let channels = &model.vae.config().block_channels;
    let compute = model.vae.compute();
    let widest = channels.iter().enumerate().map(|(index, &own)| {
        let coarser = channels.get(index + 1).copied().unwrap_or(own).max(own);
        resnet_channels(coarser as u64, own as u64, compute) * (pixels >> (2 * index))
    });
    let bytes = widest.max().unwrap_or(0) * compute.kind.elt_size_in_bytes() as u64;
    (bytes as f64 * HOLES) as u64
}

/// Channels that live at the same time in a residual layer: its input, normalised, activated and once more in the order
/// of the convolution's kernel; its output, and that in the kernel's order.
fn resnet_channels(inputs: u64, outputs: u64, compute: Compute) -> u64 {
    let unfolded = if unfolds_convolutions(compute) { 9 * inputs } else { 0 };
    4 * inputs + 2 * outputs + unfolded
}

/// Whether convolutions copy the nine neighbours of each pixel side by side, as libtorch does in a half format on a
/// processor that cannot compute in it.
fn unfolds_convolutions(compute: Compute) -> bool {
    #[cfg(target_arch = "x86_64")]
    let can_compute = match compute.kind {
        Kind::BFloat16 => std::is_x86_feature_detected!("avx512bw"),
        Kind::Half => std::is_x86_feature_detected!("avx512fp16"),
        _ => true,
    };
    #[cfg(not(target_arch = "x86_64"))]
    let can_compute = true;
    compute.device == Device::Cpu && !can_compute
}

/// A walk through the U-Net's layers in the order of the forward pass.
#[derive(Default)]
struct Walk {
    /// Skip connections that wait.
    skips: Vec<Skip>,
    /// The most that lives at one time without a gradient.
    peak: u64,
    /// The most that one layer needs while it runs.
    largest_layer: u64,
    /// What the gradient keeps of all layers.
    kept: u64,
}

struct Skip {
    channels: u64,
    bytes: u64,
}

/// One resolution during the walk.
#[derive(Clone, Copy)]
struct Level {
    /// Pixels, all rows of the batch counted.
    pixels: u64,
    /// How they are computed.
    compute: Compute,
    /// The tokens of attention maps, if these are explicit.
    watched: Option<u64>,
}

impl Level {
    /// Bytes of a feature map.
    fn bytes(self, channels: u64) -> u64 {
        channels * self.pixels * self.compute.kind.elt_size_in_bytes() as u64
    }
}

impl Walk {
    fn of_unet(model: &StableDiffusion, extent: Extent, rows: u64, watched: Option<u64>) -> Walk {
        let config = model.unet.config();
        let unit = model.pixels_per_latent();
        let (height, width) = ((extent.height / unit) as u64, (extent.width / unit) as u64);
        let level = |index: usize| {
            let coarser = 1 << index;
            let pixels = rows * height.div_ceil(coarser) * width.div_ceil(coarser);
            Level { pixels, compute: model.compute, watched }
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
                let skip = self.skips.pop().map_or(0, |skip| skip.channels);
                self.resnet(entering + skip, channels, level);
                if block.attention_up {
                    self.transformer(channels, block.heads as u64, block.transformer_layers as u64, level);
                }
                entering = channels;
            }
        }
    }

    fn skip(&mut self, channels: u64, level: Level) {
        self.skips.push(Skip { channels, bytes: level.bytes(channels) });
    }

    /// The gradient keeps what normalisations, activations and convolutions got.
    fn resnet(&mut self, inputs: u64, outputs: u64, level: Level) {
        let running = level.bytes(resnet_channels(inputs, outputs, level.compute));
        self.layer(running, level.bytes(3 * inputs + 4 * outputs));
    }

    /// The feed-forward part is the widest: eight times the channels, halved, activated and multiplied. The gradient
    /// keeps it, the inputs of three normalisations, and query, key, value and result of two attentions.
    fn transformer(&mut self, channels: u64, heads: u64, depth: u64, level: Level) {
        let map = level.watched.map_or(0, |tokens| heads * tokens * level.pixels * F32_BYTES);
        let kept = level.bytes(3 * channels) + depth * (level.bytes(26 * channels) + 4 * map);
        self.layer(level.bytes(20 * channels) + 3 * map, kept);
    }

    fn layer(&mut self, running: u64, kept: u64) {
        self.peak = self.peak.max(self.skips.iter().map(|skip| skip.bytes).sum::<u64>() + running);
        self.largest_layer = self.largest_layer.max(running);
        self.kept += kept;
    }
}
