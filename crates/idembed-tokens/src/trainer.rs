//! One training step after another: draw, encode, predict, compare, update.
//!
//! All draws of a step come from a seed made of the run's seed and the step's number, so that a run which goes on from a
//! checkpoint draws what it would have drawn anyway.

use idembed_attention::{AttentionMaps, LayerChoice, MapRecorder, Mask, ReferenceKeys, Selection, Target, Word};
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::text_encoders::TextEncoder;
use idembed_optimizer::{AdamW, clip_by_global_norm, global_norm};
use tch::{Device, Kind, Tensor};

use crate::config::LearnConfig;
use crate::contexts::TrainingPrompt;
use crate::encoder_modules::EncoderModules;
use crate::identity::{EncoderRows, Identity};
use crate::method::Learns;
use crate::objective::{AttentionOptions, AttentionTerm, Batch, Losses, TermTarget, losses};
use crate::prompt::Prompt;
use crate::report::{History, Measured, StepReport};
use crate::training_picture::{Timing, TrainingPicture};
use crate::{Result, TokensError};

/// f16 cannot hold the small gradients deep in the networks; they are computed this many times too large at first, and
/// half as many whenever that is too much for it.
const FIRST_HALF_SCALE: f64 = 1024.0;
/// A gradient that is not finite even so small was not made so by its scale.
const SMALLEST_SCALE: f64 = 1.0 / 1024.0;

/// A learning run: the frozen model, the encoded picture, and everything that changes.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a StableDiffusion,
    pub(crate) config: LearnConfig,
    picture: TrainingPicture,
    prompt: TrainingPrompt,
    attention: Option<AttentionTerm>,
    text_encoder_sha256: Vec<String>,
    unet_sha256: String,
    pub(crate) modules: EncoderModules,
    pub(crate) optimizer: AdamW,
    pub(crate) step: usize,
    /// What the losses are multiplied with before their gradients are computed.
    pub(crate) loss_scale: f64,
    pub(crate) history: History,
}

impl<'a> Trainer<'a> {
    /// Prepares a run: encodes the picture once (the mean of its latents), and the reference prompt.
    ///
    /// # Shapes
    /// - `image`: `[1, 3, H, W]` in -1..1, sides divisible by [`StableDiffusion::pixels_per_latent`]
    /// - `mask`: `[1, 1, H, W]` in 0..1, 1 on the face
    ///
    /// # Errors
    /// Settings out of range, a picture that does not fit, a mask that is needed and missing, or a template that is too
    /// long.
    pub fn new(model: &'a StableDiffusion, image: &Tensor, mask: Option<&Tensor>, config: LearnConfig) -> Result<Self> {
        config.check()?;
        let schedule = &model.noise_schedule;
        if config.stages > schedule.train_timesteps {
            let expected = format!("at most {}, the model's timesteps", schedule.train_timesteps);
            return Err(TokensError::Setting { what: "stages", got: config.stages.to_string(), expected });
        }
        if mask.is_none() && config.objective.needs_mask() {
            let expected = "a mask of the face, because the objective needs it".to_owned();
            return Err(TokensError::Setting { what: "mask", got: "missing".to_owned(), expected });
        }
        let picture = TrainingPicture::encode(model, image, mask, config.mirror)?;

        let starts = start_embeddings(model, &config.class)?;
        let (before, after) = config.template_parts()?;
        let name = config.name.as_str();
        let prompt = Prompt::parse(&format!("{before}<{name}>{after}"), model.text_encoders.tokenizers())?;
        let position = prompt.word_positions(&format!("<{name}>"), &model.text_encoders.first().tokenizer)?[0];
        let embeds = model.text_encoders.embed(&prompt.ids)?;
        let (split_kv, body) = match config.method.spec().learns {
            Learns::Vector => (false, None),
            Learns::Tokens { .. } => (true, Some(config.module)),
        };
        let prompt = TrainingPrompt::new(embeds, position, config.stages, schedule.train_timesteps, split_kv);
        let attention = config.objective.attention.as_ref();
        let attention = attention.map(|options| attention_term(model, options, &prompt, &starts)).transpose()?;

        let modules = EncoderModules::new(&starts, 2 * config.stages as i64, body, config.seed)?;
        let optimizer = AdamW::new(config.optimizer(), &modules.tensors())?;
        Ok(Trainer {
            text_encoder_sha256: model.text_encoders.fingerprints()?,
            unet_sha256: model.unet.fingerprint()?,
            model,
            config,
            picture,
            prompt,
            attention,
            modules,
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

    /// What a checkpoint must agree with: settings, model, picture, and where it is computed.
    pub fn run_fields(&self) -> Result<Vec<(String, String)>> {
        let mut fields = self.config.fields()?;
        let facts = [
            ("text encoder", self.text_encoder_sha256.join(",")),
            ("U-Net", self.unet_sha256.clone()),
            ("prediction type", self.model.noise_schedule.prediction_type.to_string()),
            ("picture", self.picture.sha256().to_owned()),
            ("device and dtype", self.model.compute.to_string()),
        ];
        fields.extend(facts.map(|(name, value)| (name.to_owned(), value)));
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
        let timing = Timing { stages: self.config.stages, train_timesteps };
        let batch = self.picture.draw(self.config.seed, self.step, self.config.batch, timing)?;
        let computed = loop {
            let computed = self.compute(&batch)?;
            if computed.norm.is_finite() || self.loss_scale <= SMALLEST_SCALE || self.model.compute.kind != Kind::Half {
                break computed;
            }
            self.loss_scale /= 2.0;
            let scale = self.loss_scale;
            tracing::debug!("the gradient does not fit into f16; the losses are multiplied with {scale} from now on");
        };
        self.finite("the gradient", computed.norm)?;

        let learning_rate = self.config.learning_rate().at(self.step);
        let rates: Vec<f64> = self.modules.rate_factors().iter().map(|factor| factor * learning_rate).collect();
        self.check_model()?;
        self.optimizer.update(&self.modules.tensors(), &computed.gradients, &rates)?;
        self.step += 1;
        let Computed { noise_loss, attention_loss, measured, .. } = computed;
        self.history.noise.push(noise_loss as f32);
        self.history.attention.extend(attention_loss.map(|loss| loss as f32));
        let lambda = self.config.lambda();
        Ok(StepReport { step: self.step, noise_loss, attention_loss, lambda, learning_rate, measured })
    }

    /// The losses of a batch and the clipped gradients of the parameters; nothing changes.
    fn compute(&self, batch: &Batch) -> Result<Computed> {
        let measures = self.config.log_every > 0 && self.step.is_multiple_of(self.config.log_every);
        let mut recorder = if measures && batch.mask.is_some() { Some(self.recorder()?) } else { None };
        let made = self.modules.forward()?;
        let leaf = |made: &Tensor| made.f_detach()?.f_set_requires_grad(true);
        let tokens = made.iter().map(leaf).collect::<std::result::Result<Vec<_>, _>>()?;
        let states = self.prompt.states(&self.model.text_encoders, &tokens, &batch.timesteps)?;
        let watcher = recorder.as_mut().map(|recorder| recorder as &mut dyn AttentionHook);
        let masked_noise = self.config.objective.masked_noise;
        let losses = losses(self.model, &states, batch, self.attention.as_ref(), masked_noise, watcher)?;
        let noise_loss = self.finite("the noise loss", losses.noise.f_double_value(&[])?)?;
        let attention_loss = match &losses.attention {
            Some(loss) => Some(self.finite("the attention loss", loss.f_double_value(&[])?)?),
            None => None,
        };

        let (of_tokens, of_attention) = self.token_gradients(&losses, &tokens, measures)?;
        // The modules' graphs end in `made`: these products' gradients with respect to `made` are those of the tokens.
        let products = made.iter().zip(&of_tokens).map(|(made, gradient)| made.f_mul(gradient)?.f_sum(Kind::Float));
        let products = products.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut gradients = Tensor::f_run_backward(&products, &self.modules.tensors(), false, false)?;
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
                    (Some(recorder), Some(masks)) => leakage(&recorder.finish()?, masks)?,
                    _ => None,
                },
            })
        } else {
            None
        };
        Ok(Computed { noise_loss, attention_loss, gradients, norm, measured })
    }

    /// What watches the identity's word in all layers.
    fn recorder(&self) -> Result<MapRecorder> {
        let word = Word::new(self.config.name.as_str(), vec![self.prompt.position()]);
        Ok(MapRecorder::new(vec![word], LayerChoice::All.resolve(&self.model.unet.downscales())?)?)
    }

    /// The tokens as they are now.
    ///
    /// # Shapes
    /// - returns: for each text encoder `[2 * stages, hidden]`, f32, without gradient: K rows, then V rows, row 0 for the
    ///   noisiest stage
    pub fn tokens(&self) -> Result<Vec<Tensor>> {
        let tokens = tch::no_grad(|| self.modules.forward())?;
        Ok(tokens.iter().map(Tensor::f_detach).collect::<std::result::Result<_, _>>()?)
    }

    /// What was learned so far, as an identity.
    pub fn identity(&self) -> Result<Identity> {
        let stages = self.config.stages as i64;
        let tokens = self.tokens()?;
        let encoders = tokens.iter().zip(&self.text_encoder_sha256).map(|(tokens, sha256)| {
            let tokens = tokens.f_to_device(Device::Cpu)?;
            let half = |first: i64| tokens.f_narrow(0, first, stages)?.f_contiguous();
            Ok(EncoderRows { k: half(0)?, v: half(stages)?, sha256: sha256.clone() })
        });
        let folder = self.model.folder.canonicalize().unwrap_or_else(|_| self.model.folder.clone());
        let base_model = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Identity {
            name: self.config.name.clone(),
            class: self.config.class.clone(),
            method: self.config.method.to_string(),
            encoders: encoders.collect::<Result<_>>()?,
            train_timesteps: self.model.noise_schedule.train_timesteps,
            base_model,
            prediction_type: self.model.noise_schedule.prediction_type,
            lambda: self.config.lambda(),
            attention_reduction: match self.config.objective.attention.as_ref().map(|options| options.loss.target) {
                Some(Target::Reference { reduction, .. }) => Some(reduction),
                Some(Target::Mask) | None => None,
            },
            steps: self.step,
            seed: self.config.seed,
            created_by: concat!("idembed ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// Gradients with respect to the tokens: of the whole objective, and of its attention term alone if wanted.
    ///
    /// The first does not depend on whether the second is wanted, so that measuring changes nothing.
    fn token_gradients(
        &self,
        losses: &Losses,
        tokens: &[Tensor],
        separate: bool,
    ) -> Result<(Vec<Tensor>, Option<Vec<Tensor>>)> {
        let scale = self.loss_scale;
        let gradient = |loss: &Tensor, keep_graph: bool| -> Result<Vec<Tensor>> {
            let scaled = loss.f_mul_scalar(scale)?;
            let gradients = Tensor::f_run_backward(&[&scaled], tokens, keep_graph, false)?;
            Ok(gradients.iter().map(|gradient| gradient.f_div_scalar(scale)).collect::<std::result::Result<_, _>>()?)
        };
        let Some(attention) = &losses.attention else { return Ok((gradient(&losses.noise, false)?, None)) };
        let weighted = attention.f_mul_scalar(self.config.lambda())?;
        let alone = if separate { Some(gradient(&weighted, true)?) } else { None };
        Ok((gradient(&losses.noise.f_add(&weighted)?, false)?, alone))
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

/// The class word's input embedding for each text encoder, `[hidden]`, f32: the mean over its tokens.
fn start_embeddings(model: &StableDiffusion, class: &str) -> Result<Vec<Tensor>> {
    let start = |encoder: &TextEncoder| {
        let ids = encoder.tokenizer.token_ids(class)?;
        if ids.is_empty() {
            let expected = "a word that the tokenizer knows".to_owned();
            return Err(TokensError::Setting { what: "class", got: format!("`{class}`"), expected });
        }
        Ok(encoder.embed(&ids)?.f_squeeze_dim(0)?.f_mean_dim(0i64, false, Kind::Float)?)
    };
    model.text_encoders.iter().map(start).collect()
}

fn attention_term(
    model: &StableDiffusion,
    options: &AttentionOptions,
    prompt: &TrainingPrompt,
    starts: &[Tensor],
) -> Result<AttentionTerm> {
    let loss = &options.loss;
    let target = match loss.target {
        Target::Reference { norm, reduction } => {
            let states = prompt.fixed_states(&model.text_encoders, starts)?;
            let keys = ReferenceKeys::new(tch::no_grad(|| model.unet.project_keys(&states))?)?;
            TermTarget::Reference { keys, norm, reduction }
        }
        Target::Mask => TermTarget::Mask { position: prompt.position() },
    };
    let layers = loss.layers.resolve(&model.unet.downscales())?;
    Ok(AttentionTerm { target, layers, detach_query: loss.detach_query })
}

/// The share of the first word's attention outside the masks, averaged over samples; `None` where there is no attention.
fn leakage(maps: &AttentionMaps, masks: &Tensor) -> Result<Option<f64>> {
    let mut shares = Vec::new();
    for row in 0..maps.rows() {
        let mask = Mask::new(&masks.f_narrow(0, row as i64, 1)?)?;
        shares.extend(maps.leakage(0, &Selection { row: Some(row), ..Selection::default() }, &mask)?);
    }
    Ok((!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64))
}

/// What a step computes before anything changes.
struct Computed {
    noise_loss: f64,
    attention_loss: Option<f64>,
    /// Of the parameters, clipped.
    gradients: Vec<Tensor>,
    /// Their norm before they were clipped.
    norm: f64,
    measured: Option<Measured>,
}
