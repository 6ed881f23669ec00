//! How an identity is learned: the flags of `idembed learn` that become a [`LearnConfig`].

use idembed_attention::{LayerChoice, LossOptions, Norm, Reduction, Target};
use idembed_studio::Model;
use idembed_tokens::{LearnConfig, LearnWishes, Method};

use super::subject::SubjectArgs;
use crate::args::{above_zero, not_negative, positive};
use crate::failure::wrong_usage;

/// How it is learned.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The method")]
pub(super) struct MethodArgs {
    /// sefi (stage tokens with the attention loss) or textual-inversion (one token)
    #[arg(long, value_name = "METHOD", default_value_t = Method::Sefi)]
    method: Method,
    /// Training steps [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    steps: Option<usize>,
    /// Samples per step [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Learning rate, relative to the size of the class word's embedding [default: the model's]
    #[arg(long, value_name = "F", value_parser = above_zero, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Decides every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The class word: where learning starts, and what stands in the reference prompt [default: the model's]
    #[arg(long, value_name = "WORD")]
    class: Option<String>,
    /// The training prompt, with {} for the identity [default: the model's]
    #[arg(long, value_name = "PROMPT")]
    template: Option<String>,
    /// Number of stages, each with vectors of its own [default: 5 for sefi]
    #[arg(long, value_name = "N", value_parser = positive)]
    stages: Option<usize>,
    /// Weight of the attention loss [default: 0.003 for sefi, 0 for textual-inversion]
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

impl MethodArgs {
    /// The run's settings: the flags, and what the model likes where there is none.
    ///
    /// # Errors
    /// A mask is needed and there will be none.
    pub(super) fn config(&self, name: &str, subject: &SubjectArgs, model: &Model) -> anyhow::Result<LearnConfig> {
        let config = model.learn_config(name, self.method).with(&self.wishes(subject));
        if config.objective.needs_mask() && !subject.has_mask() {
            let flag = if self.masked_noise { "--masked-noise" } else { "--attention-target mask" };
            return Err(wrong_usage(format!("{flag} needs a mask: let the face be found, or give --mask FILE")));
        }
        Ok(config)
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
            steps: self.steps,
            batch: self.batch,
            lr: self.lr,
            seed: Some(self.seed),
            mirror: Some(subject.mirror),
            masked_noise: Some(self.masked_noise),
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
