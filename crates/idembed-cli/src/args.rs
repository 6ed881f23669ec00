//! Flags that several commands share. They only parse; what they mean is checked where a command makes its plan.

use std::path::PathBuf;
use std::str::FromStr;

use idembed_diffusion::schedulers::{PredictionType, SchedulerKind};
use idembed_diffusion::{Compute, DeviceChoice, DtypeChoice, Lora};
use idembed_tokens::{PromptSyntax, is_identity_name};
use idembed_weights::UnknownName;
use strum::VariantNames;

use idembed_studio::{Draw, DrawWarning, Drawing, Model, NamedIdentity, RegionWish, Size, models};

use crate::failure::wrong_usage;
use crate::file_args::{ControlFile, LoraFile, NamedFile};

const COMPUTE: &str = "Where and how to compute";
const DRAWING: &str = "Drawing";

/// Where the networks run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = COMPUTE)]
pub(crate) struct ComputeArgs {
    /// auto, cpu, cuda or cuda:N; auto takes the first GPU, or else the CPU
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Number format: auto, f32, bf16 or f16; auto is bf16 on a GPU and f32 on the CPU
    #[arg(long, value_name = "DTYPE", default_value = "auto")]
    dtype: DtypeChoice,
    /// CPU threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl ComputeArgs {
    /// Sets the threads and chooses the device.
    ///
    /// # Errors
    /// A GPU was asked for and is not there.
    pub(crate) fn resolve(&self) -> anyhow::Result<Compute> {
        if let Some(threads) = self.threads {
            tch::set_num_threads(i32::from(threads));
        }
        Ok(Compute::resolve(self.device, self.dtype)?)
    }
}

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    /// A model's name, a folder in diffusers layout, or a checkpoint in one file (.safetensors)
    #[arg(long, short, value_name = "MODEL", default_value = models::DEFAULT)]
    model: String,
    /// Another autoencoder than the model's: a file, or a folder in diffusers layout
    #[arg(long, value_name = "FILE")]
    vae: Option<PathBuf>,
    /// Another text encoder than the model's: a folder as transformers writes it (of SDXL, given twice for both)
    #[arg(long = "text-encoder", value_name = "DIR")]
    text_encoders: Vec<PathBuf>,
    /// A LoRA to add to the model, and how strongly if not as it was made (may be given several times)
    #[arg(long = "lora", value_name = "FILE[:STRENGTH]")]
    loras: Vec<LoraFile>,
    /// What the model's U-Net predicts: epsilon or v [default: what its files say, else what is usual]
    #[arg(long, value_name = "WHAT")]
    prediction: Option<PredictionType>,
}

impl ModelArgs {
    /// Finds the model.
    ///
    /// # Errors
    /// As [`Model::find`].
    pub(crate) fn find(&self) -> anyhow::Result<Model> {
        let mut model = Model::find(&self.model)?;
        if let Some(path) = &self.vae {
            model.files = model.files.with_vae(path.clone());
        }
        for folder in &self.text_encoders {
            model.files = model.files.with_text_encoder(folder.clone());
        }
        for LoraFile { path, strength } in &self.loras {
            model.files = model.files.with_lora(Lora::open(path, *strength)?);
        }
        if let Some(prediction) = self.prediction {
            model.files = model.files.with_prediction(prediction);
        }
        Ok(model)
    }
}

/// What a picture is drawn from.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = DRAWING)]
pub(crate) struct DrawArgs {
    /// An identity for the prompt: `<NAME>` in the prompt stands for it (may be given several times). NAME=FILE:0.7 draws it
    /// less strongly, up to 2 more so; one strength for each stage with / between
    #[arg(long = "identity", short = 'i', value_name = "NAME=FILE")]
    pub(crate) identities: Vec<NamedFile>,
    /// An embedding of another tool: `<NAME>` in a prompt stands for its vectors (may be given several times)
    #[arg(long = "embedding", value_name = "NAME=FILE")]
    pub(crate) embeddings: Vec<NamedFile>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// What should not be in the picture; identities and weights may stand in it, too
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) negative: String,
    /// Take brackets and BREAK in prompts for text, and cut prompts after 75 tokens
    #[arg(long)]
    pub(crate) plain_prompt: bool,
    /// Leave out the last layers of the text encoder: 1 leaves out none, 2 the last one, as web interfaces count
    #[arg(long, value_name = "N", value_parser = positive, default_value = "1", hide_default_value = true)]
    pub(crate) clip_skip: usize,
    /// Denoising steps [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) steps: Option<usize>,
    /// How strictly to follow the prompt; 1 and below draws without guidance [default: the model's]
    #[arg(long, value_name = "F", value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) guidance: Option<f64>,
    /// The sampler, such as ddim or dpmpp-2m; `idembed generate --help` says when to use which [default: the model's]
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<SchedulerKind>,
    /// How much noise ddim adds at each step, from none at 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = share, allow_negative_numbers = true)]
    pub(crate) eta: f64,
    /// Decides the picture; further pictures take the seeds after it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Width and height in pixels, both divisible by 8 [default: the model's]
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,
    /// A ControlNet (a folder, a file, or a name: the bundled model has `controlnet`) and the picture that it sees (may be given
    /// several times). NET=canny:PICTURE shows it that picture's edges; :SCALE or :SCALE,START,END behind it says how strongly
    /// it acts, and in which share of the steps
    #[arg(long = "control", value_name = "NET=PICTURE")]
    controls: Vec<ControlFile>,
    /// Take less memory: decode pictures of more than 512 x 512 part by part, which changes them slightly, and keep the text
    /// encoders out of a GPU's memory
    #[arg(long)]
    low_memory: bool,
    /// Use identities that were learned for another model, where the shapes allow
    #[arg(long)]
    pub(crate) force: bool,
}

impl DrawArgs {
    /// How to draw, with these seeds.
    pub(crate) fn wish(&self, seeds: Vec<u64>, batch: Option<usize>) -> Draw {
        Draw {
            negative: self.negative.clone(),
            steps: self.steps,
            guidance: self.guidance,
            scheduler: self.scheduler,
            eta: self.eta,
            size: self.size,
            from: None,
            batch,
            seeds,
            controls: self.controls.iter().map(|control| control.0.clone()).collect(),
            enlargement: None,
            face_detail: None,
            face_prompt: None,
            low_memory: self.low_memory,
            force: self.force,
            syntax: if self.plain_prompt { PromptSyntax::Plain } else { PromptSyntax::Weighted },
            clip_skip: self.clip_skip,
            regions: RegionWish::default(),
        }
    }

    /// Finds the model, reads the identities, and checks the drawing; what is odd about it is said.
    ///
    /// # Errors
    /// As [`Drawing::plan`], or a model or a file that cannot be used.
    pub(crate) fn plan(&self, prompt: &str, wish: &Draw) -> anyhow::Result<(Model, Drawing)> {
        let named = self.identities.iter().map(|file| ("--identity", &file.name));
        let named: Vec<(&str, &String)> =
            named.chain(self.embeddings.iter().map(|file| ("--embedding", &file.name))).collect();
        for (index, (flag, name)) in named.iter().enumerate() {
            match named[..index].iter().find(|(_, other)| other == name) {
                Some((first, _)) if first == flag => {
                    return Err(wrong_usage(format!("{flag} {name}=... is given twice")));
                }
                Some((first, _)) => {
                    return Err(wrong_usage(format!("the name `{name}` is given twice, by {first} and {flag}")));
                }
                None => {}
            }
        }
        let model = self.model.find()?;
        let identities = self
            .identities
            .iter()
            .map(|file| Ok(NamedIdentity::read(&file.name, &file.path)?.with_strength(file.strength.clone())));
        let embeddings = self.embeddings.iter().map(|file| {
            let embedding = NamedIdentity::read_embedding(&file.name, &file.path)?;
            Ok(embedding.with_strength(file.strength.clone()))
        });
        let identities = identities.chain(embeddings).collect::<idembed_studio::Result<_>>()?;
        let drawing = Drawing::plan(&model, prompt, identities, wish)?;
        for warning in drawing.warnings() {
            match warning {
                DrawWarning::NegativeWithoutGuidance { guidance } => {
                    tracing::warn!("--negative has no effect: it needs a --guidance above 1, this is {guidance}");
                }
                other => tracing::warn!("{other}"),
            }
        }
        Ok((model, drawing))
    }
}

/// A name that an identity can have.
pub(crate) fn identity_name(text: &str) -> Result<String, String> {
    is_identity_name(text).then(|| text.to_owned()).ok_or_else(|| "letters, digits, - and _ are allowed".to_owned())
}

/// One of the names of an enum.
pub(crate) fn one_of<T: FromStr + VariantNames>(text: &str) -> Result<T, UnknownName> {
    text.parse().map_err(|_| UnknownName::of::<T>(text))
}

/// A whole number from 1.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| "expected a whole number from 1".to_owned())
}

/// A number from 0.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number from 0".to_owned())
}

/// A number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    not_negative(text).ok().filter(|&number| number <= 1.0).ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// A number above 0.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    not_negative(text).ok().filter(|&number| number > 0.0).ok_or_else(|| "expected a number above 0".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_ranges() {
        assert_eq!(positive("3"), Ok(3));
        assert!(["0", "-1", "x", "1.5", ""].iter().all(|text| positive(text).is_err()));
        assert_eq!(not_negative("0"), Ok(0.0));
        assert!(["-1", "nan", "inf", "x"].iter().all(|text| not_negative(text).is_err()));
        assert!(share("1.01").is_err() && share("-0.1").is_err() && share("1") == Ok(1.0));
        assert!(above_zero("0").is_err() && above_zero("1e-3").is_ok());
    }
}
