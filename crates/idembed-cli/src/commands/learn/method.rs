//! How an identity is learned: the flags of `idembed learn` that become a [`LearnConfig`].

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use idembed_attention::{LayerChoice, LossOptions, Norm, Reduction, Target};
use idembed_studio::Model;
use idembed_tokens::{Decay, Identity, LearnConfig, LearnWishes, Method, OptimizerName, Rows, StageRange, Start};

use super::subject::SubjectArgs;
use crate::args::{above_zero, not_negative, one_of, positive};
use crate::failure::wrong_usage;

/// How it is learned.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The method")]
pub(super) struct MethodArgs {
    /// sefi (stage tokens with the attention loss), sefi-names (the same in the space of known names), textual-inversion (one
    /// token), xti (one for each layer), prospect (ten stages), celeb-basis (one stage in the space of known names),
    /// persona-magic (middle stages), dreambooth (all weights of the U-Net) or custom-diffusion (a token, and the weights that
    /// read it) [default: that of --start FILE, or the model's for its own class, else sefi]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Training steps [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    steps: Option<usize>,
    /// Samples per step [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// What makes steps of gradients: adamw, or prodigy (finds its step size by itself; --lr is then a factor, 1 by default)
    /// [default: adamw]
    #[arg(long, value_name = "NAME", value_parser = one_of::<OptimizerName>)]
    optimizer: Option<OptimizerName>,
    /// Learning rate, relative to the size of the class word's embedding [default: the model's]
    #[arg(long, value_name = "F", value_parser = above_zero, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// What the learning rate does after ten steps of warming up: constant, or cosine (it falls to zero) [default: constant]
    #[arg(long, value_name = "HOW", value_parser = one_of::<Decay>)]
    decay: Option<Decay>,
    /// How strongly the vectors are pulled back to where they start: the optimizer's weight decay [default: 0]
    #[arg(long, value_name = "F", value_parser = not_negative, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Decides every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The class word: where learning starts, and what stands in the reference prompt [default: the model's]
    #[arg(long, value_name = "WORD")]
    class: Option<String>,
    /// The training prompt, with {} for the identity [default: the model's]
    #[arg(long, value_name = "PROMPT")]
    template: Option<String>,
    /// Number of stages, each with vectors of its own [default: the method's, 5 for sefi]
    #[arg(long, value_name = "N", value_parser = positive)]
    stages: Option<usize>,
    /// The stages to learn, as in 2-3, counted from 1, the noisiest; the class word stands before them, and what the last of
    /// them has after them [default: the method's, all for sefi]
    #[arg(long, value_name = "FIRST-LAST")]
    learned_stages: Option<StageRange>,
    /// The same vectors for keys and values
    #[arg(long)]
    shared_kv: bool,
    /// What makes the vectors: vectors (each is trained itself), module (a token module makes them all), basis (in the space
    /// of known names) or fixed (they stay; for methods that train weights) [default: the method's, module for sefi]
    #[arg(long, value_name = "HOW")]
    rows: Option<Rows>,
    /// How many vectors stand for the identity, one behind the other [default: the method's, 1 for sefi]
    #[arg(long, value_name = "N", value_parser = positive)]
    words: Option<usize>,
    /// Where the vectors start: class (the class word), class-output (what the text encoder makes of it), names (the mean of
    /// known names), names-output, rare (a rare word), or a file to go on from: an identity, of the same or another method, or an embedding of
    /// another tool [default: the method's, class for sefi]
    #[arg(long, value_name = "WHERE|FILE")]
    start: Option<StartFlag>,
    /// Keep every vector as long as the class word's
    #[arg(long)]
    fixed_norm: bool,
    /// The rare word, for methods that start at one [default: sks]
    #[arg(long, value_name = "WORD")]
    rare_word: Option<String>,
    /// Learning rate of the U-Net's weights, for methods that train some [default: the method's]
    #[arg(long, value_name = "F", value_parser = above_zero, allow_negative_numbers = true)]
    unet_lr: Option<f64>,
    /// Weight of the noise loss of class pictures, for the same methods [default: 1]
    #[arg(long, value_name = "F", value_parser = not_negative, allow_negative_numbers = true)]
    prior_weight: Option<f64>,
    /// How many class pictures are drawn for that [default: the method's, 200]
    #[arg(long, value_name = "N", value_parser = positive)]
    class_pictures: Option<usize>,
    /// Weigh timesteps by their signal-to-noise ratio, cut off at F: min-SNR, usually 5 [default: all weigh the same]
    #[arg(long, value_name = "F", value_parser = above_zero, allow_negative_numbers = true)]
    min_snr: Option<f64>,
    /// Weight of the attention loss [default: 0.003 for sefi and sefi-names, 0 for the other methods]
    #[arg(long, value_name = "F", value_parser = not_negative, allow_negative_numbers = true)]
    lambda: Option<f64>,
    /// What the attention is pulled to: reference (the class word's), mask (the face), none [default: reference]
    #[arg(long, value_name = "TARGET", hide_possible_values = true)]
    attention_target: Option<TargetName>,
    /// Layers of the attention loss: all, factors as in 1,2, or indices as in #0,#5 [default: all]
    #[arg(long, value_name = "LAYERS")]
    attention_layers: Option<LayerChoice>,
    /// Distance of two maps: squared or absolute [default: squared]
    #[arg(long, value_name = "NORM")]
    attention_norm: Option<Norm>,
    /// How a layer's distances become one number: normalised (the same at any picture size), sum, pixel-mean or mean
    /// [default: normalised]
    #[arg(long, value_name = "HOW")]
    attention_reduction: Option<Reduction>,
    /// Keep the attention loss's gradient out of the queries
    #[arg(long)]
    detach_query: bool,
    /// Count the noise loss only inside the mask
    #[arg(long)]
    masked_noise: bool,
}

/// What the attention is pulled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TargetName {
    Reference,
    Mask,
    None,
}

/// What `--start` says.
#[derive(Debug, Clone)]
enum StartFlag {
    /// One of the known words.
    At(Start),
    /// Any other word.
    File(PathBuf),
}

impl FromStr for StartFlag {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<StartFlag, Infallible> {
        Ok(match text.parse() {
            // Which identity that is, only a path can say.
            Ok(Start::Identity) | Err(_) => StartFlag::File(PathBuf::from(text)),
            Ok(start) => StartFlag::At(start),
        })
    }
}

impl MethodArgs {
    /// The run's settings: the flags, and what the model likes where there is none; the method also where learning starts at an
    /// identity.
    ///
    /// # Errors
    /// A mask is needed and there will be none; `masked` says whether all photos have one.
    pub(super) fn config(
        &self,
        name: &str,
        subject: &SubjectArgs,
        masked: bool,
        start: Option<&Identity>,
        model: &Model,
    ) -> anyhow::Result<LearnConfig> {
        let of_start = || start.and_then(|identity| identity.method.parse().ok());
        let method = self.method.or_else(of_start).unwrap_or_else(|| model.usual_method(self.class.as_deref()));
        let mut wishes = self.wishes(subject);
        let vectors = start.filter(|start| start.is_embedding()).map(|start| start.words);
        wishes.words = wishes.words.or(vectors);
        let config = model.learn_config(name, method).where_masked(masked).with(&wishes);
        if config.objective.needs_mask() && !masked {
            let flag = if self.masked_noise { "--masked-noise" } else { "--attention-target mask" };
            return Err(wrong_usage(format!("{flag} needs a mask: let the face be found, or give --mask FILE")));
        }
        Ok(config)
    }

    /// The identity file to start at, if one was named.
    pub(super) fn start_file(&self) -> Option<&Path> {
        match &self.start {
            Some(StartFlag::File(file)) => Some(file),
            _ => None,
        }
    }

    /// What the flags say.
    fn wishes(&self, subject: &SubjectArgs) -> LearnWishes {
        let target = match self.attention_target.unwrap_or(TargetName::Reference) {
            TargetName::Reference | TargetName::None => Target::Reference {
                norm: self.attention_norm.unwrap_or_default(),
                reduction: self.attention_reduction.unwrap_or_default(),
            },
            TargetName::Mask => Target::Mask,
        };
        let layers = self.attention_layers.clone().unwrap_or_default();
        LearnWishes {
            class: self.class.clone(),
            template: self.template.clone(),
            stages: self.stages,
            learned_stages: self.learned_stages,
            split_kv: self.shared_kv.then_some(false),
            rows: self.rows,
            words: self.words,
            start: self.start.as_ref().map(|start| match start {
                StartFlag::At(start) => *start,
                StartFlag::File(_) => Start::Identity,
            }),
            fixed_norm: self.fixed_norm.then_some(true),
            rare_word: self.rare_word.clone(),
            unet_lr: self.unet_lr,
            prior_weight: self.prior_weight,
            class_pictures: self.class_pictures,
            min_snr: self.min_snr,
            steps: self.steps,
            batch: self.batch,
            lr: self.lr,
            decay: self.decay,
            optimizer: self.optimizer,
            weight_decay: self.weight_decay,
            seed: Some(self.seed),
            mirror: Some(subject.mirror),
            masked_noise: self.masked_noise.then_some(true),
            lambda: if self.attention_target == Some(TargetName::None) { Some(0.0) } else { self.lambda },
            attention: Some(LossOptions { target, layers, detach_query: self.detach_query }),
        }
    }

    /// The flags that were given and change nothing in this run, each with the reason.
    pub(super) fn without_effect(&self, config: &LearnConfig) -> Vec<(&'static str, &'static str)> {
        let no_loss = match (&config.objective.attention, self.attention_target) {
            (Some(_), _) => None,
            (None, Some(TargetName::None)) => Some("--attention-target none leaves no attention loss"),
            (None, _) => Some("there is no attention loss, because lambda is 0"),
        };
        // The distance to a mask has one form only.
        let to_mask = self.attention_target == Some(TargetName::Mask);
        let one_form = to_mask.then_some("it belongs to --attention-target reference");
        let flags = [
            ("--lambda", self.lambda.is_some_and(|lambda| lambda > 0.0), no_loss),
            ("--attention-target", self.attention_target.is_some_and(|target| target != TargetName::None), no_loss),
            ("--attention-layers", self.attention_layers.is_some(), no_loss),
            ("--detach-query", self.detach_query, no_loss),
            ("--attention-norm", self.attention_norm.is_some(), no_loss.or(one_form)),
            ("--attention-reduction", self.attention_reduction.is_some(), no_loss.or(one_form)),
        ];
        let given = flags.into_iter().filter(|(_, given, _)| *given);
        given.filter_map(|(flag, _, reason)| Some((flag, reason?))).collect()
    }
}
