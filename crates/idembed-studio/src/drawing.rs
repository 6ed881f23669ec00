//! Drawing pictures: the checked wish, and what comes of it.

use std::fmt;
use std::path::Path;

use idembed_attention::{AttentionMaps, LayerChoice, Layers, MapRecorder, Word};
use idembed_clip::Tokenizer;
use idembed_diffusion::conditioning::{Conditioning, stage_of};
use idembed_diffusion::controlnet::Control;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::schedulers::{self, NoiseSchedule, PredictionType, SchedulerConfigJson, SchedulerKind};
use idembed_diffusion::{Callback, FromPicture, StableDiffusion, StepInfo, TextToImage, memory};
use idembed_tokens::{Conditions, Identities, Identity, Prompt, PromptSyntax, PromptWarning, Strength, condition_as};
use image::RgbImage;

use crate::error::{Result, StudioError};
use crate::event::Event;
use crate::hashes::{self, ModelHash, sha256_of};
use crate::job::Context;
use crate::memory::{Forecast, Work};
use crate::model::Model;
use crate::picture_file::{self, IdentityRecord, PartRecord, PictureRecord, SourceRecord};
use crate::size::Size;
use crate::source::Source;
use crate::steering::{ControlWish, LoadedControl, PlannedControl};

/// How to draw; what is not said is as the model likes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// What should not be in the picture.
    pub negative: String,
    /// Denoising steps.
    pub steps: Option<usize>,
    /// Guidance scale; 1 and below draws without guidance.
    pub guidance: Option<f64>,
    /// The sampler.
    pub scheduler: Option<SchedulerKind>,
    /// How much noise DDIM adds at each step, 0 to 1; other samplers take 0 only.
    pub eta: f64,
    /// Width and height; of a picture to draw from its own if `None`, otherwise the model's.
    pub size: Option<Size>,
    /// A picture to draw from.
    pub from: Option<Source>,
    /// Pictures drawn at the same time.
    pub batch: Option<usize>,
    /// One picture for each.
    pub seeds: Vec<u64>,
    /// ControlNets that steer it.
    pub controls: Vec<ControlWish>,
    /// Takes identities that were learned for another model, where the shapes allow.
    pub force: bool,
    /// How prompts are read.
    pub syntax: PromptSyntax,
    /// How many layers of the text encoders are left out, and one: 1 for none, as web interfaces count.
    pub clip_skip: usize,
}

impl Default for Draw {
    /// One picture, with seed 0.
    fn default() -> Self {
        Draw {
            negative: String::new(),
            steps: None,
            guidance: None,
            scheduler: None,
            eta: 0.0,
            size: None,
            from: None,
            batch: None,
            seeds: vec![0],
            controls: Vec::new(),
            force: false,
            syntax: PromptSyntax::default(),
            clip_skip: 1,
        }
    }
}

/// How pictures are drawn, apart from the prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawSettings {
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f64,
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// How much noise DDIM adds at each step.
    pub eta: f64,
    /// How often the U-Net is asked for a picture: the number of steps, or more where the sampler looks several times.
    pub evaluations: usize,
    /// Width and height; the model's own if `None`.
    pub size: Option<Size>,
    /// Pictures drawn at the same time.
    pub batch: usize,
    /// As [`Draw::clip_skip`].
    pub clip_skip: usize,
}

impl DrawSettings {
    fn new(
        model: &Model,
        config: &SchedulerConfigJson,
        wish: &Draw,
        size: Option<Size>,
        from: Option<&FromPicture>,
    ) -> Result<DrawSettings> {
        let own = &model.settings;
        let (steps, scheduler) = (wish.steps.unwrap_or(own.steps), wish.scheduler.unwrap_or(own.scheduler));
        let sampler = schedulers::build_with_eta(scheduler, config, steps, wish.eta)?;
        let first = from.map_or(Ok(0), |from| from.first_entry(sampler.as_ref(), steps))?;
        Ok(DrawSettings {
            steps,
            guidance: wish.guidance.unwrap_or(own.guidance),
            scheduler,
            eta: wish.eta,
            evaluations: sampler.timesteps().len() - first,
            size,
            batch: wish.batch.unwrap_or(own.batch).min(wish.seeds.len().max(1)),
            clip_skip: wish.clip_skip.max(1),
        })
    }

    /// The size that is drawn.
    fn size_for(&self, model: &StableDiffusion) -> Size {
        self.size.unwrap_or_else(|| Size::square(model.native_size()))
    }

    /// How often the U-Net is asked for so many pictures, those drawn at the same time counted once.
    pub fn total_steps(&self, pictures: usize) -> u64 {
        (self.evaluations * pictures.div_ceil(self.batch)) as u64
    }
}

/// An identity under the name it has in the prompt.
#[derive(Debug, Clone)]
pub struct NamedIdentity {
    /// The name.
    pub name: String,
    /// The identity.
    pub identity: Identity,
    /// SHA-256 of its file, as hexadecimal digits.
    pub sha256: String,
    /// How strongly it acts where the prompt does not say another strength.
    pub strength: Strength,
}

impl NamedIdentity {
    /// An identity that is at hand.
    pub fn new(name: &str, identity: &Identity) -> Result<NamedIdentity> {
        let sha256 = identity.sha256()?;
        Ok(NamedIdentity { name: name.to_owned(), identity: identity.clone(), sha256, strength: Strength::default() })
    }

    /// Reads an identity file.
    ///
    /// # Errors
    /// It cannot be read, or is no identity.
    pub fn read(name: &str, path: &Path) -> Result<NamedIdentity> {
        let identity = Identity::read(path)?;
        let sha256 = sha256_of(path)?;
        Ok(NamedIdentity { name: name.to_owned(), identity, sha256, strength: Strength::default() })
    }

    /// The same with another strength than that which it was learned with.
    #[must_use]
    pub fn with_strength(self, strength: Strength) -> NamedIdentity {
        NamedIdentity { strength, ..self }
    }

    /// Reads an embedding of another tool, which goes the way of an identity of one stage.
    ///
    /// # Errors
    /// It cannot be read, or is no embedding.
    pub fn read_embedding(name: &str, path: &Path) -> Result<NamedIdentity> {
        let identity = Identity::read_embedding(name, path)?;
        let sha256 = sha256_of(path)?;
        Ok(NamedIdentity { name: name.to_owned(), identity, sha256, strength: Strength::default() })
    }
}

/// What is to be drawn, checked as far as that needs no weights.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// The prompt, as tokens of the model.
    pub prompt: Prompt,
    /// The negative prompt, likewise; under guidance, both have equally many chunks.
    pub negative: Prompt,
    /// The identities, each under a name of its own.
    pub identities: Vec<NamedIdentity>,
    /// How to draw.
    pub settings: DrawSettings,
    /// One picture for each.
    pub seeds: Vec<u64>,
    /// What the model predicts.
    pub prediction: PredictionType,
    is_xl: bool,
    controls: Vec<PlannedControl>,
    /// That of the first text encoder.
    tokenizer: Tokenizer,
    model: String,
    /// The picture to begin at, of the size that is drawn.
    from: Option<FromPicture>,
    /// What files say about it.
    source: Option<SourceRecord>,
    force: bool,
}

/// What is odd about a wish, and does not keep it from being drawn.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DrawWarning {
    /// Something about the prompt.
    Prompt(PromptWarning),
    /// An identity was given but the prompt does not name it.
    UnusedIdentity(String),
    /// There is a negative prompt, and no guidance that would heed it.
    NegativeWithoutGuidance {
        /// The guidance scale.
        guidance: f64,
    },
    /// The model was trained on pictures of about another number of pixels.
    UnusualSize {
        /// The size to draw.
        size: Size,
        /// The one of the model's own that is most like it.
        nearest: Size,
    },
    /// Something about the negative prompt.
    Negative(PromptWarning),
}

impl fmt::Display for DrawWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrawWarning::Prompt(warning) => warning.fmt(f),
            DrawWarning::UnusedIdentity(name) => {
                write!(f, "the identity `{name}` was given, but the prompt does not say <{name}>")
            }
            DrawWarning::NegativeWithoutGuidance { guidance } => {
                write!(f, "the negative prompt has no effect: it needs a guidance above 1, this is {guidance}")
            }
            DrawWarning::UnusualSize { size, nearest } => write!(
                f,
                "SDXL was not trained on pictures as small or large as {size}, and draws them worse; the nearest of its own \
                 sizes is {nearest}"
            ),
            DrawWarning::Negative(warning) => write!(f, "in the negative prompt, {warning}"),
        }
    }
}

impl Drawing {
    /// Checks a wish against a model whose weights need not be loaded.
    ///
    /// # Errors
    /// A prompt that names an identity which is not given, or is too long for it; a name given twice; a strength that an
    /// identity cannot have; a sampler that does not fit the model.
    pub fn plan(model: &Model, prompt: &str, identities: Vec<NamedIdentity>, wish: &Draw) -> Result<Drawing> {
        let mut tokenizers = model.files.tokenizers()?;
        let named = by_name(&identities)?;
        let read = |text: &str| Prompt::read(text, &tokenizers, wish.syntax, |name| named.words(name));
        let (mut prompt, mut negative) = (read(prompt)?, read(&wish.negative)?);
        [&prompt, &negative].into_iter().try_for_each(|prompt| named.check(prompt))?;
        named.check_changed_unet([&prompt, &negative])?;
        let config = model.files.scheduler_config()?;
        let size = wish.size.or(wish.from.as_ref().map(Source::own_size));
        let from = size.zip(wish.from.as_ref()).map(|(size, source)| source.at(size)).transpose()?;
        if from.as_ref().is_none_or(|from| from.mask.is_none()) {
            model.files.check_is_text_to_image()?;
        }
        let settings = DrawSettings::new(model, &config, wish, size, from.as_ref())?;
        if settings.guidance > 1.0 {
            let chunks = prompt.chunks().max(negative.chunks());
            [&mut prompt, &mut negative].into_iter().for_each(|prompt| prompt.fill(chunks, &tokenizers));
        }
        let prediction = NoiseSchedule::from_config(&config)?.prediction_type;
        Ok(Drawing {
            prompt,
            negative,
            identities,
            settings,
            seeds: wish.seeds.clone(),
            prediction,
            is_xl: model.files.is_xl()?,
            controls: wish.controls.iter().map(|wish| PlannedControl::new(wish, model)).collect::<Result<_>>()?,
            tokenizer: tokenizers.swap_remove(0),
            model: model.name.clone(),
            from,
            source: wish.from.as_ref().map(|source| source.record().clone()),
            force: wish.force,
        })
    }

    /// Fails if one of the words is not in the prompt.
    pub fn check_words(&self, words: &[String]) -> Result<()> {
        words.iter().try_for_each(|word| Ok(self.prompt.word_positions(word, &self.tokenizer).map(|_| ())?))
    }

    /// What is odd about it.
    pub fn warnings(&self) -> Vec<DrawWarning> {
        let unused = self.identities.iter().filter(|named| !self.names(&named.name));
        let mut warnings: Vec<DrawWarning> =
            unused.map(|named| DrawWarning::UnusedIdentity(named.name.clone())).collect();
        warnings.extend(self.prompt.warnings.iter().cloned().map(DrawWarning::Prompt));
        let nearest = self.settings.size.filter(|_| self.is_xl).and_then(|size| Some((size, size.nearest_of_xl()?)));
        warnings.extend(nearest.map(|(size, nearest)| DrawWarning::UnusualSize { size, nearest }));
        let guidance = self.settings.guidance;
        if self.negative.text.is_empty() {
            return warnings;
        }
        if guidance <= 1.0 {
            warnings.push(DrawWarning::NegativeWithoutGuidance { guidance });
            return warnings;
        }
        warnings.extend(self.negative.warnings.iter().cloned().map(DrawWarning::Negative));
        warnings
    }

    /// Whether the prompt or the negative prompt says `<name>`.
    fn names(&self, name: &str) -> bool {
        [&self.prompt, &self.negative].into_iter().any(|prompt| prompt.names(name))
    }

    /// What a picture's file says about it.
    fn record(
        &self,
        seed: u64,
        size: Size,
        model: &StableDiffusion,
        model_sha256: Option<&str>,
        parts: &[PartRecord],
    ) -> PictureRecord {
        let used = self.identities.iter().filter(|named| self.names(&named.name));
        let identities = used.map(|named| IdentityRecord {
            name: named.name.clone(),
            sha256: named.sha256.clone(),
            method: named.identity.method.clone(),
            class: named.identity.class.clone(),
            strength: named.strength.clone(),
        });
        PictureRecord {
            prompt: self.prompt.text.clone(),
            negative: self.negative.text.clone(),
            weighted: self.prompt.uses_syntax() || self.negative.uses_syntax(),
            clip_skip: self.settings.clip_skip,
            steps: self.settings.steps,
            guidance: self.settings.guidance,
            scheduler: self.settings.scheduler,
            eta: self.settings.eta,
            from: self.source.clone(),
            seed,
            size: [size.width, size.height],
            model: self.model.clone(),
            prediction: Some(self.prediction.to_string()),
            model_sha256: model_sha256.map(str::to_owned),
            parts: parts.to_vec(),
            controls: self.controls.iter().map(|control| control.record().clone()).collect(),
            dtype: model.compute.dtype_name().to_owned(),
            identities: identities.collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn by_name(identities: &[NamedIdentity]) -> idembed_tokens::Result<Identities<'_>> {
    Identities::with_strengths(
        identities.iter().map(|named| (named.name.as_str(), &named.identity, named.strength.clone())),
    )
}

/// A picture with the record of how it was made.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The picture.
    pub picture: RgbImage,
    /// Everything needed to make it again.
    pub record: PictureRecord,
}

impl Drawn {
    /// Writes a PNG file that holds the record, whole or not at all.
    ///
    /// # Errors
    /// What the system said.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        picture_file::write(path.as_ref(), &self.picture, Some(&self.record))
    }
}

/// Which words to watch while pictures are drawn.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Words, phrases or placeholders of the prompt.
    pub words: Vec<String>,
    /// Stages to divide the drawing into.
    pub stages: usize,
}

/// A picture, and where in it each watched word acted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Watched {
    /// The picture.
    pub drawn: Drawn,
    /// The maps of the words.
    pub maps: AttentionMaps,
}

/// Checks that the identities and what is skipped belong to the model, and forecasts the memory; `watched` says whether attention maps are
/// looked at.
pub(crate) fn forecast(model: &StableDiffusion, drawing: &Drawing, watched: bool) -> Result<Forecast> {
    for NamedIdentity { identity, .. } in &drawing.identities {
        identity.check_base(model, drawing.force)?;
    }
    let settings = &drawing.settings;
    let DrawSettings { guidance, batch, clip_skip, .. } = *settings;
    model.text_encoders.check_skipped(clip_skip.saturating_sub(1))?;
    let networks: u64 = drawing.controls.iter().map(|control| control.weight_bytes).sum();
    let bytes = |extent| memory::drawing(model, extent, guidance > 1.0, watched) + networks;
    Ok(Work { what: "drawing", size: settings.size_for(model), batch, bytes: &bytes }.forecast(model)?)
}

/// Draws one picture per seed.
pub(crate) fn draw(model: &StableDiffusion, drawing: &Drawing, hash: &ModelHash, context: &Context) -> Result<()> {
    draw_each(model, drawing, hash, context, |drawn| context.tell(Event::Picture(drawn)))
}

/// Draws one picture per seed, and hands out each.
pub(crate) fn draw_each(
    model: &StableDiffusion,
    drawing: &Drawing,
    hash: &ModelHash,
    context: &Context,
    each: impl FnMut(Drawn),
) -> Result<()> {
    run(model, drawing, None, hash, context, each)
}

/// Draws a picture with the first seed and watches words.
pub(crate) fn watch(
    model: &StableDiffusion,
    drawing: &Drawing,
    watch: &Watch,
    hash: &ModelHash,
    context: &Context,
) -> Result<Watched> {
    let words = watch
        .words
        .iter()
        .map(|word| Ok(Word::new(word.as_str(), drawing.prompt.word_positions(word, &drawing.tokenizer)?)));
    let words: Vec<Word> = words.collect::<Result<_>>()?;
    let mut watching = Watching {
        words,
        layers: LayerChoice::All.resolve(&model.unet.downscales())?,
        stages: watch.stages,
        train_timesteps: model.noise_schedule.train_timesteps,
        recorder: None,
    };
    let one = Drawing { seeds: drawing.seeds.iter().copied().take(1).collect(), ..drawing.clone() };
    let mut picture = None;
    run(model, &one, Some(&mut watching), hash, context, |drawn| picture = Some(drawn))?;
    match (picture, watching.recorder) {
        (Some(drawn), Some(recorder)) => Ok(Watched { drawn, maps: recorder.finish()? }),
        _ => Err(StudioError::NothingToDraw),
    }
}

fn run(
    model: &StableDiffusion,
    drawing: &Drawing,
    watching: Option<&mut Watching>,
    hash: &ModelHash,
    context: &Context,
    mut each: impl FnMut(Drawn),
) -> Result<()> {
    let settings = &drawing.settings;
    let identities = by_name(&drawing.identities)?;
    let how = Conditions { force: drawing.force, skipped_layers: settings.clip_skip.saturating_sub(1) };
    let prompt = condition_as(model, &drawing.prompt, &identities, how)?;
    let changes = identities.changed_unet([&drawing.prompt, &drawing.negative])?;
    let unet = changes.map(|changes| changes.apply(model)).transpose()?;
    let negative = condition_as(model, &drawing.negative, &identities, how)?;
    let negative = model.as_negative(&drawing.negative.text, negative)?;
    let parts = hashes::of_given_parts(&model.files)?;
    let of = settings.total_steps(drawing.seeds.len());
    let mut follower = Follower { context, begun: 0, of, watching };
    let size = settings.size_for(model);
    let controls = drawing.controls.iter().map(|control| control.load(model, size)).collect::<Result<Vec<_>>>()?;
    let controls: Vec<Control<'_>> = controls.iter().map(LoadedControl::control).collect();
    let request =
        TextToImage { unet: unet.as_ref(), controls: &controls, ..request(model, drawing, &prompt, &negative) };
    let ended = request.run(model, &mut follower, |index, picture| -> Result<()> {
        let size = Size { width: picture.width(), height: picture.height() };
        let record = drawing.record(drawing.seeds[index], size, model, hash.get(), &parts);
        each(Drawn { picture, record });
        Ok(())
    });
    match ended {
        Err(StudioError::Diffusion(idembed_diffusion::Error::Stopped)) => Err(StudioError::Stopped),
        ended => ended,
    }
}

fn request<'a>(
    model: &StableDiffusion,
    drawing: &'a Drawing,
    prompt: &'a Conditioning,
    negative: &'a Conditioning,
) -> TextToImage<'a> {
    let settings = &drawing.settings;
    let size = settings.size_for(model);
    TextToImage {
        prompt,
        negative,
        guidance_scale: settings.guidance,
        steps: settings.steps,
        scheduler: settings.scheduler,
        eta: settings.eta,
        width: i64::from(size.width),
        height: i64::from(size.height),
        from: drawing.from.as_ref(),
        seeds: &drawing.seeds,
        batch: settings.batch,
        unet: None,
        controls: &[],
    }
}

/// Words being watched in one picture.
struct Watching {
    words: Vec<Word>,
    layers: Layers,
    stages: usize,
    train_timesteps: usize,
    recorder: Option<MapRecorder>,
}

impl Watching {
    fn begin(&mut self, step: &StepInfo) -> idembed_attention::Result<&mut MapRecorder> {
        let mut recorder = match self.recorder.take() {
            Some(recorder) => recorder,
            None => {
                MapRecorder::new(self.words.clone(), self.layers.clone())?.watching(step.conditional_rows.clone())?
            }
        };
        recorder.begin_step(stage_of(step.timestep, self.stages, self.train_timesteps));
        Ok(self.recorder.insert(recorder))
    }
}

/// Tells of every step, hands out the recorder, stops a cancelled job.
struct Follower<'a> {
    context: &'a Context,
    begun: u64,
    of: u64,
    watching: Option<&'a mut Watching>,
}

impl Callback for Follower<'_> {
    fn on_step_begin(&mut self, step: &StepInfo) -> idembed_diffusion::Result<Option<&mut dyn AttentionHook>> {
        if self.context.is_stopped() {
            return Err(idembed_diffusion::Error::Stopped);
        }
        self.begun += 1;
        self.context.tell(Event::DrawStep { begun: self.begun, of: self.of });
        match &mut self.watching {
            Some(watching) => Ok(Some(watching.begin(step)?)),
            None => Ok(None),
        }
    }
}
