//! The names in a file of LoRA: which layer of which network each pair of factors belongs to.
//!
//! Three spellings are in the wild: kohya's scripts join the parts of a layer's name by underscores (`lora_unet_...`), for SDXL
//! those of the original code ([`crate::unet::original_names`]); diffusers
//! and PEFT keep the dots (`unet....lora_A.weight`), and early diffusers put the factors of attention beside the layers
//! (`...attn1.processor.to_q_lora.down.weight`).

use std::collections::BTreeMap;
use std::fmt;

use idembed_weights::Listing;

/// The networks that LoRA change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub enum Network {
    /// The U-Net.
    #[strum(to_string = "U-Net")]
    Unet,
    /// The text encoder, the first if there are two.
    #[strum(to_string = "text encoder")]
    TextEncoder,
    /// The second text encoder of SDXL.
    #[strum(to_string = "second text encoder")]
    SecondTextEncoder,
}

/// A layer as a file of LoRA names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer {
    /// The network that it belongs to.
    pub network: Network,
    /// Its name in that network, without a `text_model` before it.
    name: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// `mid_block.attentions.0.proj_in`.
    Dotted(String),
    /// `mid_block_attentions_0_proj_in`.
    Joined(String),
}

/// The tensors that change one layer, by their names in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// From the inputs to the rank.
    pub down: String,
    /// From the rank to the outputs.
    pub up: String,
    /// Between the two, for convolutions: their kernel.
    pub mid: Option<String>,
    /// A number that the product is multiplied with, over the rank.
    pub alpha: Option<String>,
    /// The lengths that the changed weight is brought to.
    pub magnitude: Option<Magnitude>,
}

/// The magnitudes of DoRA (arXiv 2402.09353), by their name in the file; a strength other than 1 means something else in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Magnitude {
    /// `dora_scale`, as LyCORIS and OneTrainer write it: `[outputs, 1, ...]` or `[1, inputs, 1, ...]`.
    Scale(String),
    /// `lora_magnitude_vector`, as PEFT writes it: one for each output.
    Vector(String),
}

impl Magnitude {
    /// The name of the tensor.
    pub fn tensor(&self) -> &str {
        let (Magnitude::Scale(name) | Magnitude::Vector(name)) = self;
        name
    }
}

/// A tensor of a file that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stray {
    /// It belongs to no layer, or to one that has such a tensor already.
    NoLayer(String),
    /// It is the only one of its layer's two factors.
    Alone(String),
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stray::NoLayer(name) => write!(f, "tensor `{name}` belongs to no layer"),
            Stray::Alone(name) => write!(f, "tensor `{name}` stands alone, without its other factor"),
        }
    }
}

/// One of a layer's tensors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Down,
    Up,
    Mid,
    Alpha,
    Scale,
    Vector,
}

const ENDS: [(&str, Part); 15] = [
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_mid.weight", Part::Mid),
    (".alpha", Part::Alpha),
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    ("_lora.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    (".dora_scale", Part::Scale),
    (".lora_magnitude_vector", Part::Vector),
    (".lora_magnitude_vector.weight", Part::Vector),
];

const JOINED: [(&str, Network); 4] = [
    ("lora_unet_", Network::Unet),
    ("lora_te_", Network::TextEncoder),
    ("lora_te1_", Network::TextEncoder),
    ("lora_te2_", Network::SecondTextEncoder),
];

const DOTTED: [(&str, Network); 3] = [
    ("unet.", Network::Unet),
    ("text_encoder.", Network::TextEncoder),
    ("text_encoder_2.", Network::SecondTextEncoder),
];

/// What begins so is in the U-Net, in files that change nothing else.
const BLOCKS: [&str; 3] = ["down_blocks.", "mid_block.", "up_blocks."];

/// What early diffusers called the projections of a text encoder's attention.
const OLD_TEXT: [(&str, &str); 4] =
    [("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")];

impl Layer {
    /// Whether its name is this, or ends in it behind a dot, as in PEFT's lists of layers.
    pub fn is_called(&self, name: &str) -> bool {
        let Name::Dotted(own) = &self.name else { return false };
        own.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }

    /// Whether this is the layer of a weight `name` of its network.
    pub fn is_of(&self, name: &str) -> bool {
        let Some(name) = name.strip_suffix(".weight") else { return false };
        let name = name.strip_prefix("text_model.").unwrap_or(name);
        match &self.name {
            Name::Dotted(own) => own == name,
            Name::Joined(own) => {
                own.len() == name.len() && own.bytes().eq(name.bytes().map(|b| if b == b'.' { b'_' } else { b }))
            }
        }
    }
}

/// The tensors of a file by the layers that they change.
///
/// # Errors
/// The first tensor that cannot be understood.
pub fn layers(file: &Listing) -> Result<BTreeMap<Layer, Factors>, Stray> {
    let mut found: BTreeMap<Layer, BTreeMap<Part, String>> = BTreeMap::new();
    for name in file.tensors.keys() {
        let no_layer = || Stray::NoLayer(name.clone());
        let (layer, part) = parse(name).ok_or_else(no_layer)?;
        if found.entry(layer).or_default().insert(part, name.clone()).is_some() {
            return Err(no_layer());
        }
    }
    let whole =
        found.into_iter().map(|(layer, mut parts)| match (parts.remove(&Part::Down), parts.remove(&Part::Up)) {
            (Some(down), Some(up)) => {
                let [mid, alpha, scale, vector] =
                    [Part::Mid, Part::Alpha, Part::Scale, Part::Vector].map(|part| parts.remove(&part));
                let magnitude = match (scale, vector) {
                    (Some(_), Some(second)) => return Err(Stray::NoLayer(second)),
                    (scale, vector) => scale.map(Magnitude::Scale).or(vector.map(Magnitude::Vector)),
                };
                Ok((layer, Factors { down, up, mid, alpha, magnitude }))
            }
            (down, up) => Err(Stray::Alone(down.or(up).or(parts.into_values().next()).unwrap_or_default())),
        });
    whole.collect()
}

fn parse(name: &str) -> Option<(Layer, Part)> {
    let (layer, part) = ENDS.iter().find_map(|(end, part)| Some((name.strip_suffix(end)?, *part)))?;
    if let Some((network, inner)) = without_prefix(layer, &JOINED) {
        let inner = inner.strip_prefix("text_model_").unwrap_or(inner);
        return Some((Layer { network, name: Name::Joined(inner.to_owned()) }, part));
    }
    let is_block = BLOCKS.iter().any(|block| layer.starts_with(block));
    let (network, inner) = without_prefix(layer, &DOTTED).or_else(|| is_block.then_some((Network::Unet, layer)))?;
    let inner = inner.strip_prefix("text_model.").unwrap_or(inner).replace(".processor.", ".");
    let (before, last) = inner.rsplit_once('.').unwrap_or(("", &inner));
    let last = match network {
        Network::Unet if last == "to_out" => "to_out.0",
        Network::Unet => last,
        _ => OLD_TEXT.iter().find(|(old, _)| *old == last).map_or(last, |(_, new)| *new),
    };
    Some((Layer { network, name: Name::Dotted(format!("{before}.{last}")) }, part))
}

fn without_prefix<'a>(name: &'a str, prefixes: &[(&str, Network)]) -> Option<(Network, &'a str)> {
    prefixes.iter().find_map(|(prefix, network)| Some((*network, name.strip_prefix(prefix)?)))
}
