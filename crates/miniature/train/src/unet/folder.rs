//! The folder of the whole model, in diffusers layout: what the U-Net is trained in, and what others load.

use std::io;
use std::path::{Path, PathBuf};

use idembed_clip::{ClipTextConfig, Tokenizer};
use idembed_diffusion::schedulers::{NoiseSchedule, SchedulerConfigJson};
use idembed_diffusion::unet::UNetConfig;
use idembed_diffusion::vae::Vae;
use idembed_weights::{Compute, Parameters, TensorFile};
use serde_json::Value;
use tch::{Kind, Tensor};

use super::networks::{TEXT_ENCODER, UNET, text_encoder};
use crate::outputs::{self, DIFFUSERS_WEIGHTS, WEIGHTS, take_over, write};
use crate::{PretrainError, Result, tokenizer};

/// Files that are the same whatever is learned: where they go, and what is in them.
const FILES: [(&str, &str); 4] = [
    ("idembed.json", include_str!("files/idembed.json")),
    ("model_index.json", include_str!("files/model_index.json")),
    ("scheduler/scheduler_config.json", include_str!("files/scheduler_config.json")),
    ("unet/config.json", include_str!("files/unet.json")),
];
/// The text encoder's configuration, but for what the tokenizer decides.
const TEXT_ENCODER_CONFIG: &str = include_str!("files/text_encoder.json");

/// The parts that are trained here, which are also the names of their folders, and the files in those.
const TRAINED: [(&str, &str); 2] = [(TEXT_ENCODER, WEIGHTS), (UNET, DIFFUSERS_WEIGHTS)];

/// What the stage `vae` leaves.
const VAE_FILES: [&str; 2] = ["config.json", DIFFUSERS_WEIGHTS];

/// The folder of the tokenizer.
const TOKENIZER: &str = "tokenizer";

/// Before the names of CLIP's text encoder in its file.
const TEXT_PREFIX: &str = "text_model.";
/// Bytes of that file at most: far above any that is trained here.
const CLIP_SIZE_LIMIT: u64 = 1 << 30;

/// The model's folder and what does not change while the U-Net learns.
#[derive(Debug)]
pub(super) struct ModelFolder {
    pub(super) path: PathBuf,
    /// The weights of CLIP.
    clip: PathBuf,
    pub(super) tokenizer: Tokenizer,
    pub(super) text_config: ClipTextConfig,
    pub(super) unet_config: UNetConfig,
    pub(super) schedule: NoiseSchedule,
}

impl ModelFolder {
    /// Makes `out/model` from what the earlier stages left in `out`, or in `from` where they are not in `out`; only the
    /// weights that are to be learned are missing.
    pub(super) fn prepare(out: &Path, from: Option<&Path>) -> Result<Self> {
        let path = out.join("model");
        let left_in = |stage: &str| from.filter(|_| !out.join(stage).is_dir()).unwrap_or(out);
        for (name, content) in FILES {
            write(&path.join(name), content.as_bytes())?;
        }
        VAE_FILES.iter().try_for_each(|name| take_over(left_in("vae"), "vae", name, &path.join("vae")))?;
        // The text encoder goes on from CLIP's, so its tokens must be CLIP's.
        tokenizer::FILES.iter().try_for_each(|name| take_over(left_in("clip"), "clip", name, &path.join(TOKENIZER)))?;
        let clip = left_in("clip").join("clip").join(WEIGHTS);
        if !clip.is_file() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(PretrainError::Earlier { stage: "clip", path: clip, source });
        }
        let tokenizer = Tokenizer::from_folder(&path.join(TOKENIZER))?;
        let config = path.join("text_encoder").join("config.json");
        write(&config, &text_encoder_config(&tokenizer)?)?;
        let scheduler = SchedulerConfigJson::read(&path.join("scheduler").join("scheduler_config.json"))?;
        Ok(ModelFolder {
            text_config: ClipTextConfig::read(&config)?,
            unet_config: UNetConfig::read(&path.join("unet").join("config.json"))?,
            schedule: NoiseSchedule::from_config(&scheduler)?,
            tokenizer,
            clip,
            path,
        })
    }

    /// The autoencoder.
    pub(super) fn vae(&self, compute: Compute) -> Result<Vae> {
        Ok(Vae::load(&self.path.join("vae"), compute)?)
    }

    /// Takes over the weights of CLIP's text encoder.
    pub(super) fn read_text_encoder(&self, parameters: &Parameters) -> Result<()> {
        let clip = TensorFile::read(&self.clip, "CLIP", CLIP_SIZE_LIMIT)?;
        let own = |(name, tensor): (String, Tensor)| Some((name.strip_prefix(TEXT_PREFIX)?.to_owned(), tensor));
        let weights = clip.tensors.into_iter().filter_map(own).collect();
        Ok(text_encoder(parameters).set(&weights)?)
    }

    /// Reads the weights of text encoder and U-Net that [`ModelFolder::write_weights`] wrote below `folder`.
    pub(super) fn read_weights(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        let [text, unet] = TRAINED.map(|(part, file)| (parameters.part(part), folder.join(part).join(file)));
        outputs::read_text_weights(&text.0, &text.1, &folder.join(TOKENIZER), &self.path.join(TOKENIZER))?;
        outputs::read_weights(&unet.0, &unet.1)
    }

    /// Writes the weights of text encoder and U-Net.
    pub(super) fn write_weights(&self, parameters: &Parameters) -> Result<()> {
        TRAINED.iter().try_for_each(|(part, file)| {
            Ok(parameters.part(part).save(&self.path.join(part).join(file), Kind::Half)?)
        })
    }
}

/// The configuration with the numbers that the tokenizer decides.
fn text_encoder_config(tokenizer: &Tokenizer) -> Result<Vec<u8>> {
    let mut config: serde_json::Map<String, Value> = serde_json::from_str(TEXT_ENCODER_CONFIG)?;
    let decided = [
        ("vocab_size", tokenizer.vocab_size() as i64),
        ("bos_token_id", tokenizer.bos()),
        ("eos_token_id", tokenizer.eos()),
        ("pad_token_id", tokenizer.pad()),
    ];
    config.extend(decided.map(|(name, value)| (name.to_owned(), value.into())));
    Ok(serde_json::to_vec_pretty(&config)?)
}
