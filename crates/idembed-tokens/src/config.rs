//! The settings of one learning run.

use idembed_attention::LossOptions;
use idembed_optimizer::{Decay, LearningRate, OptimizerName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::method::{Method, MethodSpec};
use crate::module::ModuleConfig;
use crate::objective::{AttentionOptions, ObjectiveOptions};
use crate::prompt::is_identity_name;
use crate::start::Start;
use crate::token_options::{Rows, StageRange, TokenOptions};
use crate::unet_options::UNetOptions;
use crate::{Result, TokensError};

/// The template that the paper trains with; `{}` is the identity's place.
pub const DEFAULT_TEMPLATE: &str = "a photo of the face of {}";

/// A word that Stable Diffusion hardly knows: the one that the published examples of DreamBooth take.
pub const DEFAULT_RARE_WORD: &str = "sks";

/// Everything that decides what is learned from a picture, apart from the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Which vectors stand for the identity.
    #[serde(flatten)]
    pub tokens: TokenOptions,
    /// The training prompt, with one `{}`.
    pub template: String,
    /// The losses and their weights.
    #[serde(flatten)]
    pub objective: ObjectiveOptions,
    /// What is trained of the U-Net, if anything.
    pub unet: Option<UNetOptions>,
    /// A word that the model hardly knows, for methods that start at one.
    pub rare_word: String,
    /// Training steps.
    pub steps: usize,
    /// Samples (timestep and noise) per step.
    pub batch: usize,
    /// Learning rate, relative to the size of the start word's embedding (see [`crate::TokenModule`]).
    #[serde(rename = "lr")]
    pub learning_rate: f64,
    /// Steps until the full learning rate.
    pub warm_up: usize,
    /// What the learning rate does after that.
    pub decay: Decay,
    /// What makes steps of gradients.
    pub optimizer: OptimizerName,
    /// The optimizer's weight decay; pulls towards the start word, because offsets from it are what is trained.
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
    #[serde(skip)]
    pub log_every: usize,
}

impl LearnConfig {
    /// The defaults of a method.
    pub fn new(name: &str, class: &str, method: Method) -> Self {
        let MethodSpec { tokens, recipe, unet, .. } = method.spec();
        LearnConfig {
            name: name.to_owned(),
            class: class.to_owned(),
            method,
            tokens,
            template: DEFAULT_TEMPLATE.to_owned(),
            objective: ObjectiveOptions::of(method),
            unet,
            rare_word: DEFAULT_RARE_WORD.to_owned(),
            steps: recipe.steps,
            batch: recipe.batch,
            learning_rate: recipe.learning_rate,
            warm_up: 10,
            decay: Decay::Constant,
            optimizer: OptimizerName::default(),
            weight_decay: 0.0,
            clip_norm: 1.0,
            seed: 0,
            mirror: false,
            module: ModuleConfig::default(),
            log_every: 10,
        }
    }

    /// These settings for pictures that all have masks, or have not: a method that looks at masks does without them then.
    #[must_use]
    pub fn where_masked(mut self, masked: bool) -> Self {
        self.objective.masked_noise &= masked;
        self
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

    /// Checks what no model is needed for.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        self.tokens.check()?;
        let lambda = self.objective.attention.as_ref().map(|attention| attention.lambda);
        template_parts(&self.template)?;
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        let learns = self.unet.is_some() || self.tokens.rows != Rows::Fixed;
        let checks = [
            (learns, "rows", Rows::Fixed.to_string(), "rows that are learned, or a part of the U-Net"),
            (is_identity_name(&self.name), "name", self.name.clone(), "letters, digits, - and _"),
            (!self.class.trim().is_empty(), "class", format!("`{}`", self.class), "a word"),
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
            (
                self.objective.min_snr.is_none_or(|cut| finite(cut) && cut > 0.0),
                "min-SNR",
                format!("{:?}", self.objective.min_snr),
                "a number above 0",
            ),
            (finite(self.weight_decay), "weight decay", self.weight_decay.to_string(), "0 or more"),
            (
                self.optimizer != OptimizerName::Prodigy || self.unet.is_none(),
                "optimizer",
                self.optimizer.to_string(),
                "adamw for a method that trains weights of the U-Net, because prodigy has one step size for all",
            ),
            (
                finite(self.clip_norm) && self.clip_norm > 0.0,
                "clip norm",
                self.clip_norm.to_string(),
                "a number above 0",
            ),
            (
                self.unet.is_none_or(|unet| {
                    finite(unet.learning_rate) && unet.learning_rate > 0.0 && finite(unet.prior_weight)
                }),
                "U-Net's learning rate and prior weight",
                self.unet.map_or_else(String::new, |unet| format!("{} and {}", unet.learning_rate, unet.prior_weight)),
                "a number above 0 and one of 0 or more",
            ),
            (self.module.expansion >= 1, "module expansion", self.module.expansion.to_string(), "1 or more"),
        ];
        match checks.into_iter().find(|(allowed, ..)| !allowed) {
            Some((_, what, got, expected)) => Err(setting(what, &got, expected)),
            None => Ok(()),
        }
    }

    /// Every setting that influences the result, as name and value: [`LearnConfig`] as JSON, its levels joined by `-`.
    ///
    /// Numbers are written so that no digit is lost.
    pub fn fields(&self) -> Result<Vec<(String, String)>> {
        let value = serde_json::to_value(self)
            .map_err(|error| setting("settings", &error.to_string(), "settings that can be written as JSON"))?;
        let mut fields = Vec::new();
        flatten("", &value, &mut fields);
        Ok(fields)
    }
}

/// A training prompt cut at its `{}`.
///
/// # Errors
/// There is not exactly one.
pub fn template_parts(template: &str) -> Result<(&str, &str)> {
    let parts = template.split_once("{}").filter(|(_, after)| !after.contains("{}"));
    parts.ok_or_else(|| setting("template", template, "a prompt with one {} where the identity stands"))
}

/// Adds the leaves of a JSON value under the names of their levels.
fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if name.is_empty() { key.clone() } else { format!("{name}-{key}") };
                flatten(&name, value, fields);
            }
        }
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        Value::Null => fields.push((name.to_owned(), "none".to_owned())),
        other => fields.push((name.to_owned(), other.to_string())),
    }
}

/// Settings that a model, a file or a user wishes: what is `None` is as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct LearnWishes {
    /// The class word.
    pub class: Option<String>,
    /// The training prompt, with one `{}`.
    pub template: Option<String>,
    /// Number of stages.
    pub stages: Option<usize>,
    /// The stages that are learned.
    pub learned_stages: Option<StageRange>,
    /// Whether keys and values have vectors of their own.
    pub split_kv: Option<bool>,
    /// Where the vectors come from.
    pub rows: Option<Rows>,
    /// How many vectors stand for the identity, one behind the other.
    pub words: Option<usize>,
    /// Where the vectors start.
    pub start: Option<Start>,
    /// Keeps every vector as long as the class word's.
    pub fixed_norm: Option<bool>,
    /// A word that the model hardly knows, for methods that start at one.
    pub rare_word: Option<String>,
    /// Learning rate of the U-Net's weights, for methods that train some.
    pub unet_lr: Option<f64>,
    /// Weight of the class pictures' noise loss, for methods that train some of the U-Net's weights.
    pub prior_weight: Option<f64>,
    /// Number of class pictures, likewise.
    pub class_pictures: Option<usize>,
    /// Training steps.
    pub steps: Option<usize>,
    /// Samples per step.
    pub batch: Option<usize>,
    /// Learning rate.
    pub lr: Option<f64>,
    /// What the learning rate does after warming up.
    pub decay: Option<Decay>,
    /// What makes steps of gradients.
    pub optimizer: Option<OptimizerName>,
    /// The optimizer's weight decay.
    pub weight_decay: Option<f64>,
    /// Decides every random draw.
    pub seed: Option<u64>,
    /// Shows the picture mirrored half of the time.
    pub mirror: Option<bool>,
    /// Counts the noise loss only inside the mask.
    pub masked_noise: Option<bool>,
    /// Weighs timesteps by their signal-to-noise ratio, cut off at this.
    pub min_snr: Option<f64>,
    /// Weight of the attention loss; 0 for none.
    pub lambda: Option<f64>,
    /// Form of the attention loss.
    pub attention: Option<LossOptions>,
}

impl LearnConfig {
    /// These settings with what is wished in their place. Wishes later in a chain win.
    ///
    /// A learning rate means nothing to another optimizer: who wishes for one and for no rate gets its own usual one.
    #[must_use]
    pub fn with(mut self, wishes: &LearnWishes) -> Self {
        fn set<T: Clone>(value: &mut T, wish: &Option<T>) {
            if let Some(wish) = wish {
                value.clone_from(wish);
            }
        }
        set(&mut self.class, &wishes.class);
        set(&mut self.template, &wishes.template);
        set(&mut self.tokens.stages, &wishes.stages);
        if wishes.learned_stages.is_some() {
            self.tokens.learned_stages = wishes.learned_stages;
        }
        set(&mut self.tokens.split_kv, &wishes.split_kv);
        set(&mut self.tokens.rows, &wishes.rows);
        set(&mut self.tokens.words, &wishes.words);
        set(&mut self.tokens.start, &wishes.start);
        set(&mut self.tokens.fixed_norm, &wishes.fixed_norm);
        set(&mut self.rare_word, &wishes.rare_word);
        if let Some(unet) = &mut self.unet {
            set(&mut unet.learning_rate, &wishes.unet_lr);
            set(&mut unet.prior_weight, &wishes.prior_weight);
            set(&mut unet.class_pictures, &wishes.class_pictures);
        }
        set(&mut self.steps, &wishes.steps);
        set(&mut self.batch, &wishes.batch);
        if let Some(optimizer) = wishes.optimizer.filter(|optimizer| *optimizer != self.optimizer) {
            self.optimizer = optimizer;
            self.learning_rate = match optimizer {
                OptimizerName::AdamW => self.method.spec().recipe.learning_rate,
                OptimizerName::Prodigy => 1.0,
            };
        }
        set(&mut self.learning_rate, &wishes.lr);
        set(&mut self.decay, &wishes.decay);
        set(&mut self.weight_decay, &wishes.weight_decay);
        set(&mut self.seed, &wishes.seed);
        set(&mut self.mirror, &wishes.mirror);
        set(&mut self.objective.masked_noise, &wishes.masked_noise);
        if wishes.min_snr.is_some() {
            self.objective.min_snr = wishes.min_snr;
        }
        if let Some(lambda) = wishes.lambda {
            let loss = self.objective.attention.take().map(|attention| attention.loss);
            self.objective.attention = AttentionOptions::weighted(lambda);
            if let (Some(attention), Some(loss)) = (&mut self.objective.attention, loss) {
                attention.loss = loss;
            }
        }
        if let (Some(attention), Some(loss)) = (&mut self.objective.attention, &wishes.attention) {
            attention.loss = loss.clone();
        }
        self
    }
}

fn setting(what: &'static str, got: &str, expected: &str) -> TokensError {
    TokensError::Setting { what, got: got.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_attention::{LayerChoice, Target};
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn defaults_pass() {
        for method in Method::iter() {
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
        assert_eq!(
            refused(|config| config.tokens = TokenOptions { rows: Rows::Fixed, ..config.tokens }),
            "rows is fixed, expected rows that are learned, or a part of the U-Net"
        );
        assert!(refused(|config| config.tokens.stages = 0).contains("stages is 0, expected 1 or more"));
        let mut weights = LearnConfig::new("me", "person", Method::Dreambooth);
        weights.optimizer = OptimizerName::Prodigy;
        assert!(weights.check().unwrap_err().to_string().contains("optimizer is prodigy, expected adamw"));
    }

    #[test]
    fn settings_go_through_json_and_are_listed() {
        let mut config = LearnConfig { seed: u64::MAX, log_every: 0, ..LearnConfig::new("me", "person", Method::Sefi) };
        if let Some(attention) = &mut config.objective.attention {
            (attention.lambda, attention.loss.layers) = (0.1 + 0.2, LayerChoice::Indices(vec![0, 5]));
        }
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LearnConfig>(&text).unwrap(), config);
        let fields = config.fields().unwrap();
        let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!(field("attention-lambda"), Some("0.30000000000000004"));
        assert_eq!((field("attention-target"), field("attention-layers")), (Some("reference"), Some("#0,#5")));
        assert_eq!((field("seed"), field("lr")), (Some("18446744073709551615"), Some("0.05")));
        config.objective.attention = None;
        assert!(config.fields().unwrap().contains(&("attention".to_owned(), "none".to_owned())));
    }

    #[test]
    fn later_wishes_win() {
        let masked = LossOptions { target: Target::Mask, ..LossOptions::default() };
        let model = LearnWishes { steps: Some(7), lr: Some(0.5), ..LearnWishes::default() };
        let user = LearnWishes {
            steps: Some(9),
            weight_decay: Some(0.25),
            attention: Some(masked.clone()),
            ..LearnWishes::default()
        };
        let config = LearnConfig::new("me", "person", Method::Sefi).with(&model).with(&user);
        assert_eq!((config.steps, config.learning_rate, config.lambda()), (9, 0.5, 0.003));
        assert_eq!(config.weight_decay, 0.25);
        assert_eq!(config.objective.attention.as_ref().unwrap().loss, masked);
        // A rate for AdamW is none for Prodigy.
        let prodigy = LearnWishes { optimizer: Some(OptimizerName::Prodigy), ..LearnWishes::default() };
        let rated = LearnWishes { lr: Some(0.5), ..prodigy.clone() };
        assert_eq!([&prodigy, &rated].map(|wishes| config.clone().with(wishes).learning_rate), [1.0, 0.5]);
        let adamw = LearnWishes { optimizer: Some(OptimizerName::AdamW), ..LearnWishes::default() };
        assert_eq!(config.clone().with(&prodigy).with(&adamw).learning_rate, 0.05);
        assert_eq!(config.clone().with(&adamw).learning_rate, 0.5, "it was AdamW's all the time");
        let lambda = |lambda| LearnWishes { lambda: Some(lambda), ..LearnWishes::default() };
        assert_eq!(config.clone().with(&lambda(0.0)).objective.attention, None);
        let heavier = config.with(&lambda(0.1)).objective.attention.unwrap();
        assert_eq!((heavier.lambda, heavier.loss), (0.1, masked));
        let magic = || LearnConfig::new("me", "person", Method::PersonaMagic);
        let asked = LearnWishes { masked_noise: Some(true), ..LearnWishes::default() };
        assert!(magic().where_masked(true).objective.masked_noise);
        assert!(!magic().where_masked(false).objective.masked_noise);
        assert!(magic().where_masked(false).with(&asked).objective.needs_mask());
        let vector = LearnConfig::new("me", "person", Method::TextualInversion);
        assert_eq!((vector.lambda(), vector.with(&lambda(0.2)).lambda()), (0.0, 0.2));
    }
}
