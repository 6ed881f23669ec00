//! One training step after another: draw, encode, predict, compare, update.
//!
//! All draws of a step come from a seed made of the run's seed and the step's number, so that a run which goes on from a
//! checkpoint draws what it would have drawn anyway.

use idembed_attention::{AttentionMaps, LayerChoice, MapRecorder, Mask, ReferenceKeys, Selection, Target, Word};
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::unet::UNet;
use idembed_optimizer::{Optimizer, clip_by_global_norm, global_norm};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::config::LearnConfig;
use crate::examples::{Example, Examples};
use crate::identity::{EncoderRows, Identity};
use crate::learned_rows::{Ground, LearnedRows};
use crate::objective::{AttentionOptions, AttentionTerm, Predictor, TermTarget, losses};
use crate::report::{History, Measured, StepReport};
use crate::start::{NameVectors, Origins, Start, start_vectors, word_vectors};
use crate::token_options::Rows;
use crate::training_pictures::{Drawn, Timing, TrainingPictures};
use crate::training_prompts::TrainingPrompts;
use crate::unet_training::UNetTraining;
use crate::{Result, TokensError};

/// f16 cannot hold the small gradients deep in the networks; they are computed this many times too large at first, and
/// half as many whenever that is too much for it.
const FIRST_HALF_SCALE: f64 = 1024.0;
/// A gradient that is not finite even so small was not made so by its scale.
const SMALLEST_SCALE: f64 = 1.0 / 1024.0;
/// The gradients here are far below 1 (a word's vector is a small part of a picture), so that the usual `eps` of optimizers would
/// stand above many of them.
const EPS: f64 = 1e-12;

/// A learning run: the frozen model, the encoded picture, and everything that changes.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a StableDiffusion,
    pub(crate) config: LearnConfig,
    pictures: TrainingPictures,
    prompts: TrainingPrompts,
    attention: Option<AttentionTerm>,
    text_encoder_sha256: Vec<String>,
    unet_sha256: String,
    rows: LearnedRows,
    unet: Option<UNetTraining>,
    /// SHA-256 of the pictures' own training prompts, if any has one.
    captions_sha256: Option<String>,
    /// SHA-256 of the names that the method starts at or is made of, if it needs some.
    names_sha256: Option<String>,
    /// SHA-256 of the identity that learning starts at, if it does.
    started_from: Option<String>,
    pub(crate) optimizer: Optimizer,
    pub(crate) step: usize,
    /// What the losses are multiplied with before their gradients are computed.
    pub(crate) loss_scale: f64,
    pub(crate) history: History,
}

impl<'a> Trainer<'a> {
    /// Prepares a run: encodes the pictures once (the means of their latents), and the reference prompt.
    ///
    /// The sides of the pictures must be divisible by [`StableDiffusion::pixels_per_latent`].
    ///
    /// # Errors
    /// Settings out of range, pictures that do not fit, a mask, names or class pictures that are needed and missing, or a
    /// template that is too long.
    pub fn new(model: &'a StableDiffusion, examples: &Examples, config: LearnConfig) -> Result<Self> {
        config.check()?;
        model.check_is_text_to_image()?;
        let tokens = config.tokens;
        let schedule = &model.noise_schedule;
        if tokens.stages > schedule.train_timesteps {
            let expected = format!("at most {}, the model's timesteps", schedule.train_timesteps);
            return Err(TokensError::Setting { what: "stages", got: tokens.stages.to_string(), expected });
        }
        let pictures = TrainingPictures::encode(model, &examples.pictures, config.mirror)?;
        if !pictures.are_masked() && config.objective.needs_mask() {
            let expected = "a mask of the face, because the objective needs it".to_owned();
            return Err(TokensError::Setting { what: "mask", got: "missing".to_owned(), expected });
        }

        let layout = tokens.layout(model.unet.sites().len());
        let prompts = TrainingPrompts::new(model, &config, &layout, &examples.pictures)?;
        let class = word_vectors(model, "class", &config.class)?;
        let attention = config.objective.attention.as_ref();
        let attention = attention.map(|options| attention_term(model, options, &prompts, &class)).transpose()?;

        let names = if tokens.needs_names() { Some(NameVectors::of(model, &examples.names)?) } else { None };
        let words = layout.learned_words();
        let start = examples.start.as_ref().filter(|_| tokens.start == Start::Identity);
        let origins = Origins { class: &class, rare: &config.rare_word, names: names.as_ref(), identity: start };
        let starts = start_vectors(model, tokens.start, &layout, &origins)?;
        let mut bases = match (&names, tokens.rows) {
            (Some(names), Rows::Basis) => names.of_words(words)?.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let grounds = class.into_iter().zip(starts);
        let grounds = grounds.map(|(class, start)| Ground { class, start, names: bases.next() }).collect();
        let rows = LearnedRows::new(grounds, &layout, tokens.rows, tokens.fixed_norm, config.module, config.seed)?;
        let changes = start.and_then(|start| start.unet.as_ref());
        let unet = match config.unet {
            Some(options) => {
                let class_prompt = config.template.replace("{}", &config.class);
                Some(UNetTraining::new(model, options, &examples.class_pictures, &class_prompt, changes)?)
            }
            None if changes.is_some() => {
                let got = "one that changes weights of the U-Net".to_owned();
                let expected = "one that does not, or a method that trains the same weights".to_owned();
                return Err(TokensError::Setting { what: "identity to start at", got, expected });
            }
            None => None,
        };
        let trained = tensors(&rows, unet.as_ref());
        let optimizer = Optimizer::new(config.optimizer, EPS, config.weight_decay, &trained)?;
        Ok(Trainer {
            text_encoder_sha256: model.text_encoders.fingerprints()?,
            unet_sha256: model.unet.fingerprint()?,
            model,
            config,
            pictures,
            prompts,
            attention,
            rows,
            unet,
            captions_sha256: captions_sha256(&examples.pictures),
            names_sha256: tokens.needs_names().then(|| hex::encode(Sha256::digest(examples.names.join("\n")))),
            started_from: start.map(Identity::sha256).transpose()?,
            optimizer,
            step: 0,
            loss_scale: if model.compute.kind == Kind::Half { FIRST_HALF_SCALE } else { 1.0 },
            history: History::default(),
        })
    }

    /// The settings.
    pub fn config(&self) -> &LearnConfig {
        &self.config
    }

    /// Number of steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.config.steps
    }

    /// The losses so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What a checkpoint must agree with: settings, model, pictures, captions, start, and where it is computed.
    pub fn run_fields(&self) -> Result<Vec<(String, String)>> {
        let mut fields = self.config.fields()?;
        let facts = [
            ("text encoder", self.text_encoder_sha256.join(",")),
            ("U-Net", self.unet_sha256.clone()),
            ("prediction type", self.model.noise_schedule.prediction_type.to_string()),
            ("picture", self.pictures.sha256().to_owned()),
            ("device and dtype", self.model.compute.to_string()),
        ];
        fields.extend(facts.map(|(name, value)| (name.to_owned(), value)));
        // What a run has not is not named: it goes on from the checkpoints of versions that did not know of it.
        let own = [
            ("captions", &self.captions_sha256),
            ("names", &self.names_sha256),
            ("start identity", &self.started_from),
        ];
        fields.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
        Ok(fields)
    }

    /// Does one step.
    ///
    /// Where the scaled gradient of an f16 network overflows, its scale is halved and the step computed again.
    ///
    /// # Errors
    /// [`TokensError::NotFinite`] if a loss or gradient is NaN or infinite, [`TokensError::ModelChanged`] if a file of the
    /// model was changed; the step is then not done, and the state is that before it.
    pub fn step(&mut self) -> Result<StepReport> {
        let train_timesteps = self.model.noise_schedule.train_timesteps;
        let tokens = self.config.tokens;
        let timing = Timing { stages: tokens.stages, learned: tokens.learned(), train_timesteps };
        let drawn = self.pictures.draw(self.config.seed, self.step, self.config.batch, &timing)?;
        let computed = loop {
            let computed = self.compute(&drawn)?;
            if computed.norm.is_finite() || self.loss_scale <= SMALLEST_SCALE || self.model.compute.kind != Kind::Half {
                break computed;
            }
            self.loss_scale /= 2.0;
            let scale = self.loss_scale;
            tracing::debug!("the gradient does not fit into f16; the losses are multiplied with {scale} from now on");
        };
        self.finite("the gradient", computed.norm)?;

        let learning_rate = self.config.learning_rate().at(self.step);
        let mut rates: Vec<f64> = self.rows.rate_factors().iter().map(|factor| factor * learning_rate).collect();
        if let Some(unet) = &self.unet {
            // Warm-up and decay are the same for both.
            let rate = unet.learning_rate() * learning_rate / self.config.learning_rate;
            rates.extend(unet.parameters().map(|_| rate));
        }
        self.check_model()?;
        let step_size = learning_rate * self.optimizer.estimate().map_or(1.0, |estimate| estimate.distance);
        self.optimizer.update(&tensors(&self.rows, self.unet.as_ref()), &computed.gradients, &rates)?;
        self.step += 1;
        let Computed { noise_loss, attention_loss, prior_loss, measured, .. } = computed;
        self.history.noise.push(noise_loss as f32);
        self.history.attention.extend(attention_loss.map(|loss| loss as f32));
        let lambda = self.config.lambda();
        Ok(StepReport { step: self.step, noise_loss, attention_loss, lambda, prior_loss, step_size, measured })
    }

    /// The losses of a batch and the clipped gradients of the parameters; nothing changes.
    fn compute(&self, Drawn { batch, pictures }: &Drawn) -> Result<Computed> {
        let measures = self.config.log_every > 0 && self.step.is_multiple_of(self.config.log_every);
        let mut recorder = if measures && batch.mask.is_some() { Some(self.recorder()?) } else { None };
        let made = self.rows.forward()?;
        let leaf = |made: &Tensor| made.f_detach()?.f_set_requires_grad(true);
        let tokens = made.iter().map(leaf).collect::<std::result::Result<Vec<_>, _>>()?;
        let prompts = self.prompts.of_samples(pictures);
        let states = self.prompts.states(&self.model.text_encoders, &tokens, &prompts, &batch.timesteps)?;
        let watcher = recorder.as_mut().map(|recorder| recorder as &mut dyn AttentionHook);
        let changed = self.unet.as_ref().map(|unet| unet.build(self.model)).transpose()?;
        let unet = changed.as_ref().unwrap_or(&self.model.unet);
        let predictor = Predictor { unet, ..self.model.into() };
        let weights = self.config.objective.noise_weights();
        let of_samples = match &self.attention {
            Some(term) if self.prompts.differ() => Some(term.of_samples(&prompts)?),
            _ => None,
        };
        let attention = of_samples.as_ref().or(self.attention.as_ref());
        let losses = losses(predictor, &states, batch, attention, weights, watcher)?;
        let noise_loss = self.finite("the noise loss", losses.noise.f_double_value(&[])?)?;
        let attention_loss = match &losses.attention {
            Some(loss) => Some(self.finite("the attention loss", loss.f_double_value(&[])?)?),
            None => None,
        };
        let prior = self.prior_loss(unet)?;
        let prior_loss = match &prior {
            Some(loss) => Some(self.finite("the class pictures' noise loss", loss.f_double_value(&[])?)?),
            None => None,
        };

        let attention = losses.attention.as_ref().map(|loss| loss.f_mul_scalar(self.config.lambda())).transpose()?;
        let of_attention = match &attention {
            Some(attention) if measures => {
                Some(self.scaled_gradients(attention, &tokens.iter().collect::<Vec<_>>(), true)?)
            }
            _ => None,
        };
        let mut total = losses.noise;
        for term in attention.iter().chain(&prior) {
            total = total.f_add(term)?;
        }
        let weights: Vec<Tensor> =
            self.unet.iter().flat_map(UNetTraining::parameters).map(|(_, delta)| delta.shallow_clone()).collect();
        let mut of_tokens = self.scaled_gradients(&total, &tokens.iter().chain(&weights).collect::<Vec<_>>(), false)?;
        let of_weights = of_tokens.split_off(tokens.len());
        let mut gradients = self.row_gradients(&made, &of_tokens)?;
        gradients.extend(of_weights);
        let norm = clip_by_global_norm(&mut gradients, self.config.clip_norm)?;

        let measured = if measures && norm.is_finite() {
            let of_noise = match &of_attention {
                Some(attention) => of_tokens
                    .iter()
                    .zip(attention)
                    .map(|(all, part)| all.f_sub(part))
                    .collect::<std::result::Result<_, _>>()?,
                None => of_tokens,
            };
            Some(Measured {
                grad_norm_noise: global_norm(&of_noise)?,
                grad_norm_attention: of_attention.map_or(Ok(0.0), |attention| global_norm(&attention))?,
                leakage: match (recorder, &batch.mask) {
                    (Some(recorder), Some(masks)) => leakage(&recorder.finish()?, masks, &prompts)?,
                    _ => None,
                },
            })
        } else {
            None
        };
        Ok(Computed { noise_loss, attention_loss, prior_loss, gradients, norm, measured })
    }

    /// The weighted noise loss of class pictures, where the method has one.
    fn prior_loss(&self, unet: &UNet) -> Result<Option<Tensor>> {
        let Some(training) = &self.unet else { return Ok(None) };
        let LearnConfig { seed, batch, objective, .. } = &self.config;
        training.prior_loss(self.model, unet, *seed, self.step, *batch, objective.min_snr)
    }

    /// The gradients of what makes the rows, given those of the rows.
    fn row_gradients(&self, made: &[Tensor], of_tokens: &[Tensor]) -> Result<Vec<Tensor>> {
        let parameters = self.rows.parameters();
        if parameters.is_empty() {
            return Ok(Vec::new());
        }
        // The graph of the rows ends in `made`: these products' gradients with respect to `made` are those of the tokens.
        let products = made.iter().zip(of_tokens).map(|(made, gradient)| made.f_mul(gradient)?.f_sum(Kind::Float));
        let products = products.collect::<std::result::Result<Vec<_>, _>>()?;
        let parameters: Vec<&Tensor> = parameters.into_iter().map(|(_, tensor)| tensor).collect();
        Ok(Tensor::f_run_backward(&products, &parameters, false, false)?)
    }

    /// What watches the identity's words in all layers: where they stand in each prompt, a word for each.
    fn recorder(&self) -> Result<MapRecorder> {
        let words = self.prompts.positions().into_iter();
        let words = words.map(|positions| Word::new(self.config.name.as_str(), positions)).collect();
        Ok(MapRecorder::new(words, LayerChoice::All.resolve(&self.model.unet.downscales())?)?)
    }

    /// What is trained, with names for a checkpoint, in a fixed order.
    pub(crate) fn parameters(&self) -> Vec<(String, &Tensor)> {
        self.rows.parameters().into_iter().chain(self.unet.iter().flat_map(UNetTraining::parameters)).collect()
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// The tokens as they are now.
    ///
    /// # Shapes
    /// - returns: for each text encoder `[rows, hidden]`, f32, without gradient, as [`crate::Layout`] says
    pub fn tokens(&self) -> Result<Vec<Tensor>> {
        let tokens = tch::no_grad(|| self.rows.forward())?;
        Ok(tokens.iter().map(Tensor::f_detach).collect::<std::result::Result<_, _>>()?)
    }

    /// What was learned so far, as an identity.
    pub fn identity(&self) -> Result<Identity> {
        let layout = self.config.tokens.layout(self.model.unet.sites().len());
        let half = layout.rows() as i64 / 2;
        let tokens = self.tokens()?;
        let encoders = tokens.iter().zip(&self.text_encoder_sha256).map(|(tokens, sha256)| {
            let tokens = tokens.f_to_device(Device::Cpu)?;
            let from = |first: i64| tokens.f_narrow(0, first, half)?.f_contiguous();
            Ok(EncoderRows { k: from(0)?, v: from(half)?, sha256: sha256.clone() })
        });
        Ok(Identity {
            name: self.config.name.clone(),
            class: self.config.class.clone(),
            method: self.config.method.to_string(),
            encoders: encoders.collect::<Result<_>>()?,
            layers: layout.layers,
            words: layout.words,
            unet: self.unet.as_ref().map(|unet| unet.changes(self.model)).transpose()?,
            train_timesteps: self.model.noise_schedule.train_timesteps,
            base_model: self.model.files.name(),
            prediction_type: self.model.noise_schedule.prediction_type,
            lambda: self.config.lambda(),
            attention_reduction: match self.config.objective.attention.as_ref().map(|options| options.loss.target) {
                Some(Target::Reference { reduction, .. }) => Some(reduction),
                Some(Target::Mask) | None => None,
            },
            steps: self.step,
            seed: self.config.seed,
            started_from: self.started_from.clone(),
            blended_from: Vec::new(),
            created_by: concat!("idembed ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// The gradients of a loss, computed so that f16 networks can hold them.
    fn scaled_gradients(&self, loss: &Tensor, of: &[&Tensor], keep_graph: bool) -> Result<Vec<Tensor>> {
        let scaled = loss.f_mul_scalar(self.loss_scale)?;
        let gradients = Tensor::f_run_backward(&[&scaled], of, keep_graph, false)?;
        let unscaled = gradients.iter().map(|gradient| gradient.f_div_scalar(self.loss_scale));
        Ok(unscaled.collect::<std::result::Result<_, _>>()?)
    }

    /// Fails if the step that is being computed may have seen other weights: so nothing that is kept has.
    fn check_model(&self) -> Result<()> {
        self.model.check_unchanged().map_err(|source| TokensError::ModelChanged {
            step: self.step + 1,
            checkpoint: None,
            source: Box::new(source),
        })
    }

    fn finite(&self, what: &'static str, value: f64) -> Result<f64> {
        if value.is_finite() {
            return Ok(value);
        }
        // Other weights would explain it.
        self.check_model()?;
        Err(TokensError::NotFinite { what, step: self.step + 1, checkpoint: None })
    }
}

/// Everything that is trained, in the order of [`Trainer::parameters`].
fn tensors<'a>(rows: &'a LearnedRows, unet: Option<&'a UNetTraining>) -> Vec<&'a Tensor> {
    let rows = rows.parameters().into_iter();
    rows.chain(unet.into_iter().flat_map(UNetTraining::parameters)).map(|(_, tensor)| tensor).collect()
}

/// The attention loss of a run, with the keys or the positions of every prompt. The reference is the model as it came: its keys
/// do not follow weights that are trained.
pub(crate) fn attention_term(
    model: &StableDiffusion,
    options: &AttentionOptions,
    prompts: &TrainingPrompts,
    class: &[Tensor],
) -> Result<AttentionTerm> {
    let loss = &options.loss;
    let target = match loss.target {
        Target::Reference { norm, reduction } => {
            let states = prompts.fixed_states(&model.text_encoders, class)?;
            let keys = ReferenceKeys::new(tch::no_grad(|| model.unet.project_keys(&states))?)?;
            TermTarget::Reference { keys, norm, reduction }
        }
        Target::Mask => TermTarget::Mask { positions: prompts.positions() },
    };
    let layers = loss.layers.resolve(&model.unet.downscales())?;
    Ok(AttentionTerm { target, layers, detach_query: loss.detach_query })
}

/// The share outside the masks of each sample's attention to its word, averaged over samples; `None` where there is no
/// attention.
fn leakage(maps: &AttentionMaps, masks: &Tensor, words: &[usize]) -> Result<Option<f64>> {
    let mut shares = Vec::new();
    for (row, &word) in words.iter().enumerate() {
        let mask = Mask::new(&masks.f_narrow(0, row as i64, 1)?)?;
        shares.extend(maps.leakage(word, &Selection { row: Some(row), ..Selection::default() }, &mask)?);
    }
    Ok((!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64))
}

/// SHA-256 of the pictures' own training prompts; `None` if no picture has one.
fn captions_sha256(pictures: &[Example]) -> Option<String> {
    let captions: Vec<Option<&str>> = pictures.iter().map(|picture| picture.template.as_deref()).collect();
    captions.iter().any(Option::is_some).then(|| hex::encode(Sha256::digest(format!("{captions:?}"))))
}

/// What a step computes before anything changes.
struct Computed {
    noise_loss: f64,
    attention_loss: Option<f64>,
    prior_loss: Option<f64>,
    /// Of the parameters, clipped.
    gradients: Vec<Tensor>,
    /// Their norm before they were clipped.
    norm: f64,
    measured: Option<Measured>,
}
