//! The settings of one learning run.

use idembed_attention::Target;
use idembed_optimizer::{AdamWConfig, Decay, LearningRate};

use crate::method::{Learns, Method};
use crate::module::ModuleConfig;
use crate::objective::{AttentionOptions, ObjectiveOptions};
use crate::prompt::is_identity_name;
use crate::{Result, TokensError};

/// The template that the paper trains with; `{}` is the identity's place.
pub const DEFAULT_TEMPLATE: &str = "a photo of the face of {}";

/// Everything that decides what is learned from a picture, apart from the model.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnConfig {
    /// The identity's name.
    pub name: String,
    /// The class word: where training starts, and what stands in the reference prompt.
    ///
    /// A class of several tokens (`teddy bear`) is represented by the mean of their embeddings at one position, so that
    /// the reference prompt always agrees with the learned one token by token.
    pub class: String,
    /// The method.
    pub method: Method,
    /// Number of stages.
    pub stages: usize,
    /// The training prompt, with one `{}`.
    pub template: String,
    /// The losses and their weights.
    pub objective: ObjectiveOptions,
    /// Training steps.
    pub steps: usize,
    /// Samples (timestep and noise) per step.
    pub batch: usize,
    /// Learning rate, relative to the size of the start word's embedding (see [`crate::TokenModule`]).
    pub learning_rate: f64,
    /// Steps until the full learning rate.
    pub warm_up: usize,
    /// What the learning rate does after that.
    pub decay: Decay,
    /// AdamW's weight decay; pulls towards the start word, because offsets from it are what is trained.
    pub weight_decay: f64,
    /// The largest norm of a step's gradient.
    pub clip_norm: f64,
    /// Decides the module's first weights and every draw.
    pub seed: u64,
    /// Shows the picture mirrored half of the time.
    pub mirror: bool,
    /// Size of the token module, where the method has one.
    pub module: ModuleConfig,
    /// Every how many steps the two gradient norms and the leakage are measured: each measurement costs one more
    /// backward pass through the attention loss. 0 for never. Has no influence on what is learned.
    pub log_every: usize,
}

impl LearnConfig {
    /// The defaults of a method.
    pub fn new(name: &str, class: &str, method: Method) -> Self {
        let stages = match method.spec().learns {
            Learns::Vector => 1,
            Learns::Tokens { stages } => stages,
        };
        LearnConfig {
            name: name.to_owned(),
            class: class.to_owned(),
            method,
            stages,
            template: DEFAULT_TEMPLATE.to_owned(),
            objective: ObjectiveOptions::of(method),
            steps: 200,
            batch: 2,
            learning_rate: 0.05,
            warm_up: 10,
            decay: Decay::Constant,
            weight_decay: 0.0,
            clip_norm: 1.0,
            seed: 0,
            mirror: false,
            module: ModuleConfig::default(),
            log_every: 10,
        }
    }

    /// The weight of the attention loss, 0 if there is none.
    pub fn lambda(&self) -> f64 {
        self.objective.attention.as_ref().map_or(0.0, |attention| attention.lambda)
    }

    /// The learning rate at every step.
    pub fn learning_rate(&self) -> LearningRate {
        let (base, warm_up) = (self.learning_rate, self.warm_up);
        LearningRate { base, warm_up, steps: self.steps, decay: self.decay }
    }

    /// The optimizer's constants.
    ///
    /// The gradients here are far below 1 (a word's vector is a small part of a picture), so that AdamW's usual `eps`
    /// would stand above many of them.
    pub fn optimizer(&self) -> AdamWConfig {
        AdamWConfig { weight_decay: self.weight_decay, eps: 1e-12, ..AdamWConfig::default() }
    }

    /// The template cut at its `{}`.
    ///
    /// # Errors
    /// There is not exactly one.
    pub fn template_parts(&self) -> Result<(&str, &str)> {
        let parts = self.template.split_once("{}").filter(|(_, after)| !after.contains("{}"));
        parts.ok_or_else(|| setting("template", &self.template, "a prompt with one {} where the identity stands"))
    }

    /// Checks what no model is needed for.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let staged = matches!(self.method.spec().learns, Learns::Tokens { .. });
        let lambda = self.objective.attention.as_ref().map(|attention| attention.lambda);
        self.template_parts()?;
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        let checks = [
            (is_identity_name(&self.name), "name", self.name.clone(), "letters, digits, - and _"),
            (!self.class.trim().is_empty(), "class", format!("`{}`", self.class), "a word"),
            (self.stages >= 1, "stages", self.stages.to_string(), "1 or more"),
            (staged || self.stages == 1, "stages", self.stages.to_string(), "1 for this method"),
            (self.steps >= 1, "steps", self.steps.to_string(), "1 or more"),
            (self.batch >= 1, "batch", self.batch.to_string(), "1 or more"),
            (
                finite(self.learning_rate) && self.learning_rate > 0.0,
                "learning rate",
                self.learning_rate.to_string(),
                "a number above 0",
            ),
            (
                lambda.is_none_or(|lambda| finite(lambda) && lambda > 0.0),
                "lambda",
                self.lambda().to_string(),
                "above 0",
            ),
            (finite(self.weight_decay), "weight decay", self.weight_decay.to_string(), "0 or more"),
            (
                finite(self.clip_norm) && self.clip_norm > 0.0,
                "clip norm",
                self.clip_norm.to_string(),
                "a number above 0",
            ),
            (self.module.expansion >= 1, "module expansion", self.module.expansion.to_string(), "1 or more"),
        ];
        match checks.into_iter().find(|(allowed, ..)| !allowed) {
            Some((_, what, got, expected)) => Err(setting(what, &got, expected)),
            None => Ok(()),
        }
    }

    /// Every setting that influences the result, as name and value; numbers are written so that no digit is lost.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("name", self.name.clone()),
            ("class", self.class.clone()),
            ("method", self.method.to_string()),
            ("stages", self.stages.to_string()),
            ("template", self.template.clone()),
            ("lambda", self.lambda().to_string()),
            ("masked-noise", self.objective.masked_noise.to_string()),
            ("steps", self.steps.to_string()),
            ("batch", self.batch.to_string()),
            ("lr", self.learning_rate.to_string()),
            ("warm-up", self.warm_up.to_string()),
            ("decay", self.decay.to_string()),
            ("weight-decay", self.weight_decay.to_string()),
            ("clip-norm", self.clip_norm.to_string()),
            ("seed", self.seed.to_string()),
            ("mirror", self.mirror.to_string()),
            ("module-heads", self.module.heads.to_string()),
            ("module-expansion", self.module.expansion.to_string()),
        ];
        if let Some(AttentionOptions { loss, .. }) = &self.objective.attention {
            match loss.target {
                Target::Reference { norm, reduction } => fields.extend([
                    ("attention-target", "reference".to_owned()),
                    ("attention-norm", norm.to_string()),
                    ("attention-reduction", reduction.to_string()),
                ]),
                Target::Mask => fields.push(("attention-target", "mask".to_owned())),
            }
            fields.push(("attention-layers", loss.layers.to_string()));
            fields.push(("detach-query", loss.detach_query.to_string()));
        }
        fields
    }
}

fn setting(what: &'static str, got: &str, expected: &str) -> TokensError {
    TokensError::Setting { what, got: got.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass() {
        for method in Method::ALL {
            LearnConfig::new("me", "person", method).check().unwrap();
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let good = LearnConfig::new("me", "person", Method::Sefi);
        let refused = |change: fn(&mut LearnConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(refused(|config| config.steps = 0), "steps is 0, expected 1 or more");
        assert!(refused(|config| config.learning_rate = f64::NAN).contains("learning rate is NaN"));
        assert!(refused(|config| config.template = "a photo".to_owned()).contains("one {}"));
        assert!(refused(|config| config.template = "{} and {}".to_owned()).contains("one {}"));
        assert!(refused(|config| config.name = "a b".to_owned()).contains("letters"));
        assert!(refused(|config| config.method = Method::TextualInversion).contains("1 for this method"));
    }
}
