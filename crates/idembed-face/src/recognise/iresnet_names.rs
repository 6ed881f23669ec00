//! Where the parts of an IResNet are in a weight file.

use idembed_weights::Weights;

use super::colour::ColourOrder;

/// A way to name the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// insightface: `layer1.0.conv1`, stages apart. Each stage's first block has a projection beside it, and the last
    /// normalisation has a weight and a bias.
    Insightface,
    /// AdaFace and CVLFace: `body.0.res_layer.1`, blocks counted through. Only blocks that change the number of channels
    /// have a projection beside them, and the last normalisation has neither weight nor bias.
    AdaFace,
}

/// Where in a file the network is, and how it sees colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) layout: Layout,
    /// What comes before all names.
    pub(super) prefix: &'static str,
    /// The colours' order that the names suggest, where the file's folder does not state it.
    ///
    /// AdaFace's own checkpoints were trained on blue, green, red ("our pretrained model takes the input in BGR", README
    /// of `mk-minchul/AdaFace`); they have no prefix, or `model.` in a checkpoint of the training. CVLFace's have `net.`,
    /// or `model.net.` in `model.safetensors`, come with a `config.json` that states it, and are mostly RGB. So are
    /// insightface's.
    pub(super) colours: ColourOrder,
}

impl Place {
    /// `None` if no IResNet is in the file.
    pub(super) fn find(weights: &Weights) -> Option<Place> {
        let has = |prefix: &str, name: &str| (weights.root() / prefix).has(name);
        ["", "model", "net", "model.net"].into_iter().find_map(|prefix| {
            let layout = if has(prefix, "layer1.0.prelu.weight") {
                Layout::Insightface
            } else if has(prefix, "body.0.res_layer.3.weight") {
                Layout::AdaFace
            } else {
                return None;
            };
            let blue_first = layout == Layout::AdaFace && !prefix.ends_with("net");
            let colours = if blue_first { ColourOrder::Bgr } else { ColourOrder::Rgb };
            Some(Place { layout, prefix, colours })
        })
    }
}

impl Layout {
    /// Convolution, normalisation, PReLU.
    pub(super) fn stem(self) -> [&'static str; 3] {
        match self {
            Layout::Insightface => ["conv1", "bn1", "prelu"],
            Layout::AdaFace => ["input_layer.0", "input_layer.1", "input_layer.2"],
        }
    }

    /// Block `index` of `stage` in a network with this many blocks in its stages.
    pub(super) fn block(self, depth: &[usize; 4], stage: usize, index: usize) -> String {
        match self {
            Layout::Insightface => format!("layer{}.{index}", stage + 1),
            Layout::AdaFace => format!("body.{}", depth[..stage].iter().sum::<usize>() + index),
        }
    }

    /// In a block: normalisation, convolution, normalisation, PReLU, convolution, normalisation.
    pub(super) fn residual(self) -> [&'static str; 6] {
        match self {
            Layout::Insightface => ["bn1", "conv1", "bn2", "prelu", "conv2", "bn3"],
            Layout::AdaFace => {
                ["res_layer.0", "res_layer.1", "res_layer.2", "res_layer.3", "res_layer.4", "res_layer.5"]
            }
        }
    }

    /// In a block: the projection beside it and its normalisation.
    pub(super) fn shortcut(self) -> [&'static str; 2] {
        match self {
            Layout::Insightface => ["downsample.0", "downsample.1"],
            Layout::AdaFace => ["shortcut_layer.0", "shortcut_layer.1"],
        }
    }

    /// Normalisation, linear layer, normalisation.
    pub(super) fn head(self) -> [&'static str; 3] {
        match self {
            Layout::Insightface => ["bn2", "fc", "features"],
            Layout::AdaFace => ["output_layer.0", "output_layer.3", "output_layer.4"],
        }
    }
}
