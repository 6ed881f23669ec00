//! What a weight file is.

use idembed_weights::Listing;

use crate::text_encoder::Place;
use crate::{unet, vae};

/// What a weight file is, told by the names and shapes of its tensors.
#[derive(Debug, Clone, PartialEq, Eq, strum::Display)]
#[non_exhaustive]
pub enum Kind {
    /// A whole model in one file, or most of it.
    #[strum(to_string = "model in one file")]
    Checkpoint(Checkpoint),
    /// An autoencoder, below these names.
    #[strum(to_string = "autoencoder")]
    Vae {
        /// Whether its tensors have the names of the original code, not diffusers'.
        original: bool,
        /// What stands before all names.
        prefix: &'static str,
    },
    /// What is added to some weights of a model.
    #[strum(to_string = "LoRA")]
    Lora {
        /// How it is written.
        form: LoraForm,
        /// Which models it is for, where that is told.
        family: Option<Family>,
    },
    /// Vectors to put in the place of a word.
    #[strum(to_string = "embedding")]
    Embedding {
        /// How many vectors stand for the word.
        vectors: i64,
        /// Their width, for each text encoder.
        widths: Vec<i64>,
    },
    /// A network beside the U-Net that is told what to draw by a picture.
    #[strum(to_string = "ControlNet")]
    ControlNet {
        /// Whether its tensors have the names of the original code, not diffusers'.
        original: bool,
    },
    /// A U-Net in diffusers' layout.
    #[strum(to_string = "U-Net in diffusers layout")]
    DiffusersUnet,
    /// A text encoder by itself.
    #[strum(to_string = "text encoder")]
    TextEncoder,
    /// Something else.
    #[strum(to_string = "weights of another kind")]
    Unknown,
}

/// A checkpoint and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which family of models it belongs to.
    pub family: Family,
    /// Its text encoder, where it has one.
    pub conditioner: Option<Conditioner>,
    /// Whether an autoencoder is there.
    pub has_vae: bool,
    /// Whether a second copy of the U-Net is there, averaged over the training, which is of no use here.
    pub has_average: bool,
    /// How many channels the U-Net reads: 4 in text-to-image models, more where it also reads a picture.
    pub input_channels: Option<i64>,
    /// What the file says that the U-Net predicts, as it says it, such as `v` or `epsilon`.
    pub prediction: Option<String>,
    /// Whether the file says that the noisiest timestep is pure noise (arXiv 2305.08891).
    pub zero_terminal_snr: bool,
}

/// Families of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[non_exhaustive]
pub enum Family {
    /// 1.1 to 1.5 and what was trained on from them.
    #[strum(to_string = "Stable Diffusion 1.x")]
    Sd1,
    /// 2.0, 2.1.
    #[strum(to_string = "Stable Diffusion 2.x")]
    Sd2,
    /// SDXL base 1.0.
    #[strum(to_string = "SDXL")]
    Sdxl,
    /// The second network of SDXL, which refines what the first has drawn.
    #[strum(to_string = "SDXL refiner")]
    SdxlRefiner,
    /// 3, 3.5.
    #[strum(to_string = "Stable Diffusion 3")]
    Sd3,
    /// Flux.
    #[strum(to_string = "Flux")]
    Flux,
}

/// How the text encoders of a checkpoint are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditioner {
    /// One, by `transformers`.
    Transformers,
    /// One, by OpenCLIP.
    OpenClip,
    /// SDXL's two, or the refiner's one.
    Embedders,
}

/// How something that is added to weights is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[non_exhaustive]
pub enum LoraForm {
    /// A product of two matrices for each weight, or of two convolutions (LoCon); arXiv 2106.09685.
    #[strum(to_string = "low rank")]
    LowRank,
    /// The same, with the length of each row or column beside it (DoRA, arXiv 2402.09353).
    #[strum(to_string = "low rank with magnitudes (DoRA)")]
    Dora,
    /// An elementwise product of two such products (arXiv 2108.06098).
    #[strum(to_string = "LoHa")]
    LoHa,
    /// A Kronecker product (arXiv 2309.14859).
    #[strum(to_string = "LoKr")]
    LoKr,
    /// A rotation of the weights (arXiv 2306.07280).
    #[strum(to_string = "OFT")]
    Oft,
}

/// The widths of the text states that the U-Nets of the families read.
const WIDTH_OF_SD1: i64 = 768;
const WIDTH_OF_SD2: i64 = 1024;
const WIDTH_OF_SDXL: i64 = 2048;

impl Family {
    /// How wide the text states are that a U-Net of the family reads; nothing of families whose text states are others.
    pub fn text_width(self) -> Option<i64> {
        match self {
            Family::Sd1 => Some(WIDTH_OF_SD1),
            Family::Sd2 => Some(WIDTH_OF_SD2),
            Family::Sdxl => Some(WIDTH_OF_SDXL),
            _ => None,
        }
    }

    /// The family whose U-Nets read text states so wide; those of all text encoders side by side.
    pub fn of_text_width(width: i64) -> Option<Family> {
        [Family::Sd1, Family::Sd2, Family::Sdxl].into_iter().find(|family| family.text_width() == Some(width))
    }
}

impl Kind {
    /// Tells what a file is.
    pub fn of(file: &Listing) -> Kind {
        let below = |prefix: &str| file.has_below(prefix);
        if let Some(checkpoint) = checkpoint(file) {
            return Kind::Checkpoint(checkpoint);
        }
        if let Some(form) = lora_form(file) {
            return Kind::Lora { form, family: family_of_lora(file) };
        }
        if below("control_model.") || below("input_hint_block.") {
            return Kind::ControlNet { original: true };
        }
        if below("controlnet_cond_embedding.") {
            return Kind::ControlNet { original: false };
        }
        for prefix in [vae::PREFIX, ""] {
            if below(&format!("{prefix}decoder.up.0.")) {
                return Kind::Vae { original: true, prefix };
            }
            if below(&format!("{prefix}decoder.up_blocks.0.")) {
                return Kind::Vae { original: false, prefix };
            }
        }
        if below("down_blocks.0.resnets.") && below("time_embedding.") {
            return Kind::DiffusersUnet;
        }
        if ["text_model.embeddings.", "embeddings.token_embedding.", "transformer.resblocks.0."].into_iter().any(below)
        {
            return Kind::TextEncoder;
        }
        embedding(file).unwrap_or(Kind::Unknown)
    }
}

fn checkpoint(file: &Listing) -> Option<Checkpoint> {
    let below = |prefix: &str| file.has_below(prefix);
    let in_unet = |name: &str| [unet::PREFIX, ""].iter().any(|prefix| below(&format!("{prefix}{name}")));
    let conditioner = if below(Place::FIRST.prefix) {
        Some(Conditioner::Transformers)
    } else if below(Place::SECOND.prefix) {
        Some(Conditioner::OpenClip)
    } else {
        below("conditioner.embedders.").then_some(Conditioner::Embedders)
    };
    let family = if in_unet("double_blocks.") {
        Family::Flux
    } else if in_unet("joint_blocks.") {
        Family::Sd3
    } else if below(&format!("{}input_blocks.", unet::PREFIX)) {
        family_of_unet(file, conditioner)
    } else {
        return None;
    };
    let said = ["modelspec.prediction_type", "prediction_type"].iter().find_map(|key| file.metadata.get(*key));
    let has = |name: &str| file.shape(name).is_some();
    Some(Checkpoint {
        family,
        conditioner,
        has_vae: below(vae::PREFIX),
        has_average: below("model_ema."),
        input_channels: file
            .shape(&format!("{}input_blocks.0.0.weight", unet::PREFIX))
            .and_then(|shape| shape.get(1))
            .copied(),
        prediction: said.cloned().or_else(|| has("v_pred").then(|| "v".to_owned())),
        zero_terminal_snr: has("ztsnr"),
    })
}

/// The family of a U-Net of the original layout: by its text encoders, or else by what it reads.
fn family_of_unet(file: &Listing, conditioner: Option<Conditioner>) -> Family {
    let is_base = Place::OF_XL.iter().any(|place| file.has_below(place.prefix));
    match conditioner {
        Some(Conditioner::Transformers) => return Family::Sd1,
        Some(Conditioner::OpenClip) => return Family::Sd2,
        Some(Conditioner::Embedders) if is_base => return Family::Sdxl,
        Some(Conditioner::Embedders) => return Family::SdxlRefiner,
        None => {}
    }
    let keys = file.below(unet::PREFIX).find(|name| name.ends_with(".attn2.to_k.weight"));
    let width = keys.and_then(|name| file.shape(name)?.get(1).copied());
    match (width, file.has_below(&format!("{}label_emb.", unet::PREFIX))) {
        (Some(WIDTH_OF_SDXL), true) => Family::Sdxl,
        (_, true) => Family::SdxlRefiner,
        (Some(WIDTH_OF_SD2), false) => Family::Sd2,
        _ => Family::Sd1,
    }
}

fn lora_form(file: &Listing) -> Option<LoraForm> {
    let has = |part: &str| file.tensors.keys().any(|name| name.contains(part));
    let low_rank = [".lora_down.", ".lora_A.", ".lora.down.", "_lora.down.", ".lora_linear_layer.down."];
    if has(".hada_w1_") {
        Some(LoraForm::LoHa)
    } else if has(".lokr_w1") {
        Some(LoraForm::LoKr)
    } else if has(".oft_blocks") || has(".oft_diag") {
        Some(LoraForm::Oft)
    } else if has(".dora_scale") || has(".lora_magnitude_vector") {
        Some(LoraForm::Dora)
    } else {
        low_rank.iter().any(|part| has(part)).then_some(LoraForm::LowRank)
    }
}

fn family_of_lora(file: &Listing) -> Option<Family> {
    if ["lora_te2_", "text_encoder_2."].iter().any(|prefix| file.has_below(prefix)) {
        return Some(Family::Sdxl);
    }
    let reads_text = |name: &&String| name.contains("attn2") && name.contains("to_k") && !name.ends_with("alpha");
    let of_inputs = |name: &&String| ["down", "lora_A"].iter().any(|part| name.contains(&format!("{part}.weight")));
    let name = file.tensors.keys().filter(reads_text).find(of_inputs)?;
    Family::of_text_width(*file.shape(name)?.get(1)?)
}

/// One vector or several, alone in the file or one tensor for each of two text encoders.
fn embedding(file: &Listing) -> Option<Kind> {
    let names: Vec<&str> = file.tensors.keys().map(String::as_str).collect();
    let is_known = match names.as_slice() {
        ["emb_params"] | ["clip_g", "clip_l"] => true,
        // diffusers names the tensor as the word: `<cat-toy>`.
        [name] => !name.ends_with(".weight") && !name.ends_with(".bias"),
        _ => false,
    };
    let shapes: Vec<(i64, i64)> = file
        .tensors
        .values()
        .filter_map(|listed| match *listed.shape.as_slice() {
            [width] => Some((1, width)),
            [vectors, width] => Some((vectors, width)),
            _ => None,
        })
        .collect();
    let &(vectors, _) = shapes.first()?;
    let alike = shapes.len() == names.len() && shapes.iter().all(|shape| shape.0 == vectors);
    (is_known && alike).then(|| Kind::Embedding { vectors, widths: shapes.iter().map(|shape| shape.1).collect() })
}
