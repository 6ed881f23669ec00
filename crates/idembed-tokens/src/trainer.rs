//! One training step after another: draw, encode, predict, compare, update.
//!
//! All draws of a step come from a seed made of the run's seed and the step's number, so that a run which goes on from a
//! checkpoint draws what it would have drawn anyway.

use idembed_attention::{LayerChoice, MapRecorder, Mask, ReferenceKeys, Selection, Word};
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::noise::with_seed;
use idembed_diffusion::schedulers::PredictionType;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::config::LearnConfig;
use crate::contexts::{TrainingPrompt, embed_prompt};
use crate::identity::Identity;
use crate::module::TokenModule;
use crate::objective::{AttentionTerm, Batch, Losses, losses, predict};
use crate::optimizer::{AdamW, clip_by_global_norm, global_norm};
use crate::prompt::Prompt;
use crate::{Result, TokensError};

/// f16 cannot hold the small gradients deep in the networks; they are computed this many times too large.
const HALF_LOSS_SCALE: f64 = 1024.0;

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// The noise loss.
    pub noise_loss: f64,
    /// The attention loss before lambda, if there is one.
    pub attention_loss: Option<f64>,
    /// The weight of the attention loss.
    pub lambda: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// What was measured, at every [`LearnConfig::log_every`]-th step.
    pub measured: Option<Measured>,
}

/// What costs extra to know about a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Norm of the noise loss's gradient with respect to the `[2 * stages, hidden]` tokens.
    pub grad_norm_noise: f64,
    /// Norm of the gradient of lambda times the attention loss; 0 without one.
    pub grad_norm_attention: f64,
    /// Share of the identity's attention outside the mask, averaged over layers and samples, if there is a mask.
    pub leakage: Option<f64>,
}

/// The losses of every step so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Noise losses.
    pub noise: Vec<f32>,
    /// Attention losses before lambda; empty if there is none.
    pub attention: Vec<f32>,
}

/// A learning run: the frozen model, the encoded picture, and everything that changes.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a StableDiffusion,
    pub(crate) config: LearnConfig,
    /// `[1 or 2, channels, height, width]`, f32: the picture and, if asked for, its mirror image.
    latents: Tensor,
    /// `[as latents, 1, H, W]`, f32.
    masks: Option<Tensor>,
    prompt: TrainingPrompt,
    attention: Option<AttentionTerm>,
    text_encoder_sha256: String,
    image_sha256: String,
    pub(crate) module: TokenModule,
    pub(crate) optimizer: AdamW,
    pub(crate) step: usize,
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
        check_picture(image, mask)?;
        let spec = config.method.spec();

        let image = image.f_to_kind(Kind::Float)?;
        let masks = mask.map(|mask| -> Result<Tensor> {
            let mask = mask.f_to_kind(Kind::Float)?.f_to_device(model.compute.device)?;
            // Checks the values; one mask may not be empty.
            Mask::new(&mask)?;
            with_mirrored(&mask, config.mirror)
        });
        let masks = masks.transpose()?;
        let latents = tch::no_grad(|| -> Result<Tensor> {
            let images = with_mirrored(&image, config.mirror)?;
            // One at a time: the autoencoder needs far more memory than what it gives.
            let encoded = (0..images.size()[0]).map(|row| Ok(model.vae.encode(&images.f_narrow(0, row, 1)?)?.mean));
            let encoded: Vec<Tensor> = encoded.collect::<Result<_>>()?;
            Ok(Tensor::f_cat(&encoded, 0)?.f_to_kind(Kind::Float)?)
        })?;
        if latents.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(idembed_diffusion::Error::NotFinite { what: "the picture's latents".to_owned() }.into());
        }

        let start = start_embedding(model, &config.class)?;
        let (before, after) = config.template_parts()?;
        let name = config.name.as_str();
        let prompt = Prompt::parse(&format!("{before}<{name}>{after}"), &[name], &model.tokenizer)?;
        let position = prompt.positions[0][0];
        let embeds = embed_prompt(&model.text_encoder, &prompt.ids)?;
        let prompt = TrainingPrompt::new(embeds, position, config.stages, schedule.train_timesteps, spec.split_kv);
        let attention =
            if config.uses_attention_loss() { Some(attention_term(model, &config, &prompt, &start)?) } else { None };

        let body = spec.module.then_some(config.module);
        let module = TokenModule::new(&start, 2 * config.stages as i64, body, config.seed)?;
        let parameters: Vec<&Tensor> = module.parameters().iter().map(|(_, tensor)| tensor).collect();
        let optimizer = AdamW::new(config.optimizer(), &parameters)?;
        Ok(Trainer {
            text_encoder_sha256: model.text_encoder.fingerprint()?,
            image_sha256: fingerprint(&[Some(&image), mask])?,
            model,
            config,
            latents,
            masks,
            prompt,
            attention,
            module,
            optimizer,
            step: 0,
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
    pub fn run_fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.config.fields();
        fields.push(("text encoder", self.text_encoder_sha256.clone()));
        fields.push(("prediction type", prediction_type_name(self.model).to_owned()));
        fields.push(("picture", self.image_sha256.clone()));
        fields.push(("device and dtype", self.model.compute.to_string()));
        fields
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`TokensError::NotFinite`] if a loss or gradient is NaN or infinite; the step is then not done, and the state is
    /// that before it.
    pub fn step(&mut self) -> Result<StepReport> {
        let batch = self.draw(self.step)?;
        let made = self.module.forward()?;
        let tokens = made.f_detach()?.f_set_requires_grad(true)?;
        let states = self.prompt.states(&self.model.text_encoder, &tokens, &batch.timesteps)?;
        let masked_noise = self.config.objective.masked_noise;
        let losses = losses(self.model, &states, &batch, self.attention.as_ref(), masked_noise)?;
        let noise_loss = self.finite("the noise loss", losses.noise.f_double_value(&[])?)?;
        let attention_loss = match &losses.attention {
            Some(loss) => Some(self.finite("the attention loss", loss.f_double_value(&[])?)?),
            None => None,
        };

        let measures = self.config.log_every > 0 && self.step.is_multiple_of(self.config.log_every);
        let (gradient, attention_gradient) = self.token_gradients(&losses, &tokens, measures)?;
        let parameters: Vec<&Tensor> = self.module.parameters().iter().map(|(_, tensor)| tensor).collect();
        // The module's graph ends in `made`: this product's gradient with respect to `made` is `gradient`.
        let surrogate = made.f_mul(&gradient)?.f_sum(Kind::Float)?;
        let mut gradients = Tensor::f_run_backward(&[&surrogate], &parameters, false, false)?;
        let norm = clip_by_global_norm(&mut gradients, self.config.clip_norm)?;
        self.finite("the gradient", norm)?;

        let measured = if measures {
            let noise = match &attention_gradient {
                Some(attention) => gradient.f_sub(attention)?,
                None => gradient,
            };
            Some(Measured {
                grad_norm_noise: global_norm(&[noise])?,
                grad_norm_attention: attention_gradient.map_or(Ok(0.0), |attention| global_norm(&[attention]))?,
                leakage: self.leakage(&batch, &tokens)?,
            })
        } else {
            None
        };
        let learning_rate = self.config.learning_rate().at(self.step);
        self.optimizer.update(&parameters, &gradients, learning_rate)?;
        self.step += 1;
        self.history.noise.push(noise_loss as f32);
        self.history.attention.extend(attention_loss.map(|loss| loss as f32));
        let lambda = self.config.effective_lambda();
        Ok(StepReport { step: self.step, noise_loss, attention_loss, lambda, learning_rate, measured })
    }

    /// The tokens as they are now.
    ///
    /// # Shapes
    /// - returns: `[2 * stages, hidden]`, f32, without gradient: K rows, then V rows, row 0 for the noisiest stage
    pub fn tokens(&self) -> Result<Tensor> {
        Ok(tch::no_grad(|| self.module.forward())?.f_detach()?)
    }

    /// What was learned so far, as an identity.
    pub fn identity(&self) -> Result<Identity> {
        let tokens = self.tokens()?.f_to_device(Device::Cpu)?;
        let stages = self.config.stages as i64;
        let half = |first: i64| tokens.f_narrow(0, first, stages)?.f_contiguous();
        let folder = self.model.folder.canonicalize().unwrap_or_else(|_| self.model.folder.clone());
        let base_model = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Identity {
            name: self.config.name.clone(),
            class: self.config.class.clone(),
            method: self.config.method.to_string(),
            k: half(0)?,
            v: half(stages)?,
            train_timesteps: self.model.noise_schedule.train_timesteps,
            base_model,
            text_encoder_sha256: self.text_encoder_sha256.clone(),
            prediction_type: prediction_type_name(self.model).to_owned(),
            lambda: self.config.effective_lambda(),
            steps: self.step,
            seed: self.config.seed,
            created_by: concat!("idembed ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// Everything random of one step.
    fn draw(&self, step: usize) -> Result<Batch> {
        let count = self.config.batch as i64;
        let mut shape = self.latents.size();
        shape[0] = count;
        let train_timesteps = self.model.noise_schedule.train_timesteps as i64;
        let cpu = |kind| (kind, Device::Cpu);
        let (timesteps, noise, mirrored) = with_seed(step_seed(self.config.seed, step as u64), || {
            let timesteps = Tensor::f_randint(train_timesteps, [count], cpu(Kind::Int64))?;
            let noise = Tensor::f_randn(&shape, cpu(Kind::Float))?;
            Ok((timesteps, noise, Tensor::f_randint(2, [count], cpu(Kind::Int64))?))
        })?;
        let device = self.latents.device();
        let mirrored = mirrored.f_to_device(device)?;
        let pick = |both: &Tensor| -> Result<Tensor> {
            let which = if both.size()[0] == 2 { mirrored.shallow_clone() } else { mirrored.f_zeros_like()? };
            Ok(both.f_index_select(0, &which)?)
        };
        Ok(Batch {
            latents: pick(&self.latents)?,
            noise: noise.f_to_device(device)?,
            timesteps: Vec::<i64>::try_from(&timesteps)?,
            mask: self.masks.as_ref().map(pick).transpose()?,
        })
    }

    /// Gradients with respect to the tokens: of the whole objective, and of its attention term alone if wanted.
    ///
    /// The first does not depend on whether the second is wanted, so that measuring changes nothing.
    fn token_gradients(&self, losses: &Losses, tokens: &Tensor, separate: bool) -> Result<(Tensor, Option<Tensor>)> {
        let scale = if self.model.compute.kind == Kind::Half { HALF_LOSS_SCALE } else { 1.0 };
        let gradient = |loss: &Tensor, keep_graph: bool| -> Result<Tensor> {
            let scaled = loss.f_mul_scalar(scale)?;
            let gradients = Tensor::f_run_backward(&[&scaled], &[tokens], keep_graph, false)?;
            Ok(gradients[0].f_div_scalar(scale)?)
        };
        let Some(attention) = &losses.attention else { return Ok((gradient(&losses.noise, false)?, None)) };
        let weighted = attention.f_mul_scalar(self.config.objective.lambda)?;
        let alone = if separate { Some(gradient(&weighted, true)?) } else { None };
        Ok((gradient(&losses.noise.f_add(&weighted)?, false)?, alone))
    }

    /// The share of the identity's attention outside the mask, in a pass of its own that leaves training alone.
    fn leakage(&self, batch: &Batch, tokens: &Tensor) -> Result<Option<f64>> {
        let Some(masks) = &batch.mask else { return Ok(None) };
        let downscales: Vec<i64> = self.model.unet.sites().iter().map(|site| site.downscale).collect();
        let word = Word::new(self.config.name.as_str(), vec![self.prompt.position()]);
        let mut recorder = MapRecorder::new(vec![word], LayerChoice::All.resolve(&downscales)?)?;
        tch::no_grad(|| -> Result<()> {
            let states = self.prompt.states(&self.model.text_encoder, tokens, &batch.timesteps)?;
            let _ = predict(self.model, &states, batch, Some(&mut recorder))?;
            Ok(())
        })?;
        let maps = recorder.finish()?;
        let mut shares = Vec::new();
        for row in 0..maps.rows() {
            let mask = Mask::new(&masks.f_narrow(0, row as i64, 1)?)?;
            shares.extend(maps.leakage(0, &Selection { row: Some(row), ..Selection::default() }, &mask)?);
        }
        Ok((!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64))
    }

    fn finite(&self, what: &'static str, value: f64) -> Result<f64> {
        if value.is_finite() {
            return Ok(value);
        }
        Err(TokensError::NotFinite { what, step: self.step + 1, checkpoint: None })
    }
}

/// The model's prediction type as the identity file names it.
fn prediction_type_name(model: &StableDiffusion) -> &'static str {
    match model.noise_schedule.prediction_type {
        PredictionType::Epsilon => "epsilon",
        PredictionType::VPrediction => "v_prediction",
    }
}

/// The class word's input embedding, `[hidden]`, f32: the mean over its tokens.
fn start_embedding(model: &StableDiffusion, class: &str) -> Result<Tensor> {
    let ids = model.tokenizer.token_ids(class)?;
    if ids.is_empty() {
        let expected = "a word that the tokenizer knows".to_owned();
        return Err(TokensError::Setting { what: "class", got: format!("`{class}`"), expected });
    }
    Ok(embed_prompt(&model.text_encoder, &ids)?.f_squeeze_dim(0)?.f_mean_dim(0i64, false, Kind::Float)?)
}

fn attention_term(
    model: &StableDiffusion,
    config: &LearnConfig,
    prompt: &TrainingPrompt,
    start: &Tensor,
) -> Result<AttentionTerm> {
    let downscales: Vec<i64> = model.unet.sites().iter().map(|site| site.downscale).collect();
    let states = prompt.fixed_states(&model.text_encoder, start)?;
    let reference = ReferenceKeys::new(tch::no_grad(|| model.unet.project_keys(&states))?)?;
    let options = config.objective.attention.clone();
    let layers = options.layers.resolve(&downscales)?;
    Ok(AttentionTerm { options, layers, reference: Some(reference), position: prompt.position() })
}

fn check_picture(image: &Tensor, mask: Option<&Tensor>) -> Result<()> {
    let (height, width) = match image.size()[..] {
        [1, 3, height, width] => (height, width),
        _ => {
            let expected = "[1, 3, height, width]".to_owned();
            return Err(TokensError::Shape { what: "picture", got: image.size(), expected });
        }
    };
    match mask.map(Tensor::size) {
        Some(got) if got != [1, 1, height, width] => {
            let expected = format!("[1, 1, {height}, {width}], as the picture");
            Err(TokensError::Shape { what: "mask", got, expected })
        }
        _ => Ok(()),
    }
}

/// A picture and, if asked for, its mirror image below it in the batch.
fn with_mirrored(image: &Tensor, mirror: bool) -> Result<Tensor> {
    if !mirror {
        return Ok(image.shallow_clone());
    }
    Ok(Tensor::f_cat(&[image, &image.f_flip([3])?], 0)?)
}

fn fingerprint(tensors: &[Option<&Tensor>]) -> Result<String> {
    let mut hasher = Sha256::new();
    for tensor in tensors {
        let Some(tensor) = tensor else {
            hasher.update("none");
            continue;
        };
        let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut bytes = vec![0; tensor.numel() * size_of::<f32>()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        hasher.update(format!("{:?}", tensor.size()));
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A seed for one step: SplitMix64 (Steele, Lea and Flood 2014), so that neighbouring steps and seeds share nothing.
fn step_seed(seed: u64, step: u64) -> u64 {
    split_mix(split_mix(seed).wrapping_add(step))
}

fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
