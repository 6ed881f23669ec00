//! Drawing pictures: the checked wish, the loaded model, and one call for some seeds.

use anyhow::Context;
use idembed_attention::{AttentionMaps, Layers, MapRecorder, Word};
use idembed_clip::Tokenizer;
use idembed_diffusion::conditioning::{Conditioning, stage_of};
use idembed_diffusion::device::Compute;
use idembed_diffusion::hook::AttentionHook;
use idembed_diffusion::schedulers::{self, NoiseSchedule, PredictionType, SchedulerConfigJson, SchedulerKind};
use idembed_diffusion::text_to_image::{Observer, StepInfo, TextToImage};
use idembed_diffusion::{Error, StableDiffusion, memory};
use idembed_tokens::contexts::condition;
use idembed_tokens::prompt::Prompt;
use idembed_tokens::prompt_syntax::other_syntax;
use idembed_tokens::{Identities, Identity};
use image::RgbImage;

use crate::args::{DrawArgs, NamedFile};
use crate::forecast::Work;
use crate::hashes::{ModelHash, sha256_of};
use crate::models::Model;
use crate::png::{IdentityRecord, PictureRecord};
use crate::progress::Progress;
use crate::size::Size;
use crate::{interrupt, pixels};

/// An identity under the name it has in the prompt.
#[derive(Debug)]
pub(crate) struct NamedIdentity {
    /// The name.
    pub(crate) name: String,
    /// The identity.
    pub(crate) identity: Identity,
    /// Hash of its file.
    pub(crate) sha256: String,
}

impl NamedIdentity {
    /// Reads an identity file.
    pub(crate) fn read(file: &NamedFile) -> anyhow::Result<NamedIdentity> {
        let identity = Identity::read(&file.path)?;
        Ok(NamedIdentity { name: file.name.clone(), identity, sha256: sha256_of(&file.path)? })
    }
}

/// How pictures are drawn, apart from the prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrawSettings {
    /// Denoising steps.
    pub(crate) steps: usize,
    /// Guidance scale.
    pub(crate) guidance: f64,
    /// The sampler.
    pub(crate) scheduler: SchedulerKind,
    /// Width and height; the model's own if `None`.
    pub(crate) size: Option<Size>,
    /// Pictures drawn at the same time.
    pub(crate) batch: usize,
}

impl DrawSettings {
    /// What suits a model.
    pub(crate) fn of(model: &Model) -> DrawSettings {
        let settings = &model.settings;
        let (steps, guidance, scheduler) = (settings.steps, settings.guidance, settings.scheduler);
        DrawSettings { steps, guidance, scheduler, size: None, batch: settings.batch }
    }

    /// The size that is drawn.
    pub(crate) fn size_for(&self, model: &StableDiffusion) -> Size {
        self.size.unwrap_or_else(|| Size::square(model.native_size()))
    }

    /// Denoising steps for so many pictures, those drawn at the same time counted once.
    pub(crate) fn total_steps(&self, pictures: usize) -> u64 {
        (self.steps * pictures.div_ceil(self.batch)) as u64
    }
}

/// Everything that could be checked before a model is loaded.
#[derive(Debug)]
pub(crate) struct DrawPlan {
    /// The model.
    pub(crate) model: Model,
    /// The prompt, as tokens of this model.
    pub(crate) prompt: Prompt,
    /// The negative prompt.
    pub(crate) negative: String,
    /// The identities, each under a name of its own.
    pub(crate) identities: Vec<NamedIdentity>,
    /// How to draw.
    pub(crate) settings: DrawSettings,
    prediction: PredictionType,
    model_hash: ModelHash,
    force: bool,
}

impl DrawPlan {
    /// Checks the flags; warnings about the prompt are said here.
    pub(crate) fn new(prompt: &str, args: &DrawArgs) -> anyhow::Result<DrawPlan> {
        let model = args.model.find()?;
        let own = DrawSettings::of(&model);
        let settings = DrawSettings {
            steps: args.steps.unwrap_or(own.steps),
            guidance: args.guidance.unwrap_or(own.guidance),
            scheduler: args.scheduler.unwrap_or(own.scheduler),
            size: args.size,
            batch: own.batch,
        };
        let identities: Vec<NamedIdentity> =
            args.identities.iter().map(NamedIdentity::read).collect::<anyhow::Result<_>>()?;
        let names: Vec<&str> = identities.iter().map(|identity| identity.name.as_str()).collect();
        let prompt = Prompt::parse(prompt, &tokenizer(&model)?)?;
        let by_name = by_name(&identities)?;
        by_name.check(&prompt)?;
        for name in by_name.unused(&prompt) {
            tracing::warn!("the identity `{name}` was given, but the prompt does not say <{name}>");
        }
        for warning in &prompt.warnings {
            tracing::warn!("{warning}");
        }
        let mut config = SchedulerConfigJson::read(&model.folder.join("scheduler").join("scheduler_config.json"))?;
        if let Some(prediction) = model.prediction {
            config.prediction_type = Some(prediction.to_string());
        }
        schedulers::build(settings.scheduler, &config, settings.steps)?;
        let prediction = NoiseSchedule::from_config(&config)?.prediction_type;
        let (negative, force) = (args.negative.clone(), args.force);
        warn_of_negative(&negative, &names, settings.guidance);
        let model_hash = ModelHash::start(&model.folder);
        Ok(DrawPlan { model, prompt, negative, identities, settings, prediction, model_hash, force })
    }

    /// The model's tokenizer.
    pub(crate) fn tokenizer(&self) -> anyhow::Result<Tokenizer> {
        tokenizer(&self.model)
    }

    /// Loads the model, says how much memory drawing takes, and conditions the model on the prompt.
    ///
    /// `watched` says whether attention maps will be looked at.
    pub(crate) fn open(&self, compute: Compute, watched: bool) -> anyhow::Result<Studio> {
        let model = load(&self.model, compute)?;
        let DrawSettings { guidance, batch, .. } = self.settings;
        let bytes = |extent| memory::drawing(&model, extent, guidance > 1.0, watched);
        let prompt = condition(&model, &self.prompt, &by_name(&self.identities)?, self.force)?;
        let negative = model.condition(&self.negative)?;
        let work = Work { what: "drawing", size: self.settings.size_for(&model), batch, bytes: &bytes };
        let expected_memory_mib = work.announce(&model, compute)?;
        Ok(Studio { model, expected_memory_mib, prompt, negative, settings: self.settings })
    }

    /// What a picture's file says about it.
    pub(crate) fn record(&self, seed: u64, picture: &RgbImage, compute: Compute) -> PictureRecord {
        let used = self.identities.iter().filter(|named| self.prompt.names(&named.name));
        let identities = used.map(|named| IdentityRecord {
            name: named.name.clone(),
            sha256: named.sha256.clone(),
            method: named.identity.method.clone(),
        });
        PictureRecord {
            prompt: self.prompt.text.clone(),
            negative: self.negative.clone(),
            steps: self.settings.steps,
            guidance: self.settings.guidance,
            scheduler: self.settings.scheduler.to_string(),
            seed,
            size: [picture.width(), picture.height()],
            model: self.model.name.clone(),
            prediction: Some(self.prediction.to_string()),
            model_sha256: self.model_hash.get().map(str::to_owned),
            dtype: compute.dtype_name().to_owned(),
            identities: identities.collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn by_name(identities: &[NamedIdentity]) -> idembed_tokens::Result<Identities<'_>> {
    Identities::named(identities.iter().map(|named| (named.name.as_str(), &named.identity)))
}

/// Says what of a negative prompt does not do what it seems to.
fn warn_of_negative(negative: &str, names: &[&str], guidance: f64) {
    if negative.is_empty() {
        return;
    }
    if guidance <= 1.0 {
        tracing::warn!("--negative has no effect: it needs a --guidance above 1, this is {guidance}");
        return;
    }
    for found in other_syntax(negative) {
        tracing::warn!("in the negative prompt, {found}");
    }
    for name in names.iter().filter(|name| negative.contains(&format!("<{name}>"))) {
        tracing::warn!(
            "in the negative prompt, `<{name}>` is drawn as plain text: identities stand in the prompt only"
        );
    }
}

fn tokenizer(model: &Model) -> anyhow::Result<Tokenizer> {
    Ok(Tokenizer::from_folder(&model.folder.join("tokenizer"))?)
}

/// Loads a model, and says where it runs and what its U-Net is taken to predict.
pub(crate) fn load(model: &Model, compute: Compute) -> anyhow::Result<StableDiffusion> {
    let started = std::time::Instant::now();
    let mut loaded = StableDiffusion::load(&model.folder, compute)
        .with_context(|| format!("cannot load the model `{}`", model.name))?;
    let origin = match (model.prediction, &loaded.scheduler_config.prediction_type) {
        (Some(_), _) => " as --prediction says",
        (None, Some(_)) => "",
        (None, None) => " (its scheduler's file does not say)",
    };
    if let Some(prediction) = model.prediction {
        loaded = loaded.predicting(prediction);
    }
    let (seconds, prediction) = (started.elapsed().as_secs_f64(), loaded.noise_schedule.prediction_type);
    tracing::info!("model `{}` on {compute}, loaded in {seconds:.1} s, predicts {prediction}{origin}", model.name);
    if loaded.prediction_is_doubtful() {
        tracing::warn!("models like this one usually predict v: if the pictures are noise, try --prediction v");
    }
    Ok(loaded)
}

/// A loaded model, ready to draw one prompt.
#[derive(Debug)]
pub(crate) struct Studio {
    /// The model.
    pub(crate) model: StableDiffusion,
    /// What drawing was forecast to take.
    pub(crate) expected_memory_mib: u64,
    prompt: Conditioning,
    negative: Conditioning,
    settings: DrawSettings,
}

impl Studio {
    /// Draws one picture per seed; `each` gets every picture as soon as it is there.
    pub(crate) fn draw(
        &self,
        seeds: &[u64],
        watch: Option<&mut Watch>,
        each: impl FnMut(usize, RgbImage) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut progress = Progress::new("drawing", 0, self.settings.total_steps(seeds.len()));
        let Studio { model, prompt, negative, settings, .. } = self;
        draw(model, prompt, negative, settings, seeds, Follower { progress: &mut progress, watch }, each)
    }
}

/// Draws one picture per seed with a loaded model.
pub(crate) fn draw(
    model: &StableDiffusion,
    prompt: &Conditioning,
    negative: &Conditioning,
    settings: &DrawSettings,
    seeds: &[u64],
    mut follower: Follower<'_>,
    mut each: impl FnMut(usize, RgbImage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let size = settings.size_for(model);
    let request = TextToImage {
        prompt,
        negative,
        guidance_scale: settings.guidance,
        steps: settings.steps,
        scheduler: settings.scheduler,
        width: i64::from(size.width),
        height: i64::from(size.height),
        seeds,
        batch: settings.batch,
    };
    request.run(model, &mut follower, |index, picture| each(index, pixels::to_image(picture)?))
}

/// Which words to watch while one picture is drawn, and what was seen.
#[derive(Debug)]
pub(crate) struct Watch {
    words: Vec<Word>,
    layers: Layers,
    stages: usize,
    train_timesteps: usize,
    recorder: Option<MapRecorder>,
}

impl Watch {
    /// Watches these words at all layers, in `stages` stages.
    pub(crate) fn new(model: &StableDiffusion, words: Vec<Word>, stages: usize) -> anyhow::Result<Watch> {
        let layers = idembed_attention::LayerChoice::All.resolve(&model.unet.downscales())?;
        let train_timesteps = model.noise_schedule.train_timesteps;
        Ok(Watch { words, layers, stages, train_timesteps, recorder: None })
    }

    /// What was seen.
    pub(crate) fn finish(self) -> anyhow::Result<AttentionMaps> {
        Ok(self.recorder.context("nothing was drawn")?.finish()?)
    }

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

/// Follows a drawing: shows its progress, hands out the watch, stops it on Ctrl-C.
pub(crate) struct Follower<'a> {
    /// Gets one step further with every denoising step that is done.
    pub(crate) progress: &'a mut Progress,
    /// Sees the cross-attention.
    pub(crate) watch: Option<&'a mut Watch>,
}

impl Observer for Follower<'_> {
    fn before_step(&mut self, step: &StepInfo) -> Result<Option<&mut dyn AttentionHook>, Error> {
        if interrupt::is_wanted() {
            return Err(Error::Stopped);
        }
        self.progress.begin_step();
        match &mut self.watch {
            Some(watch) => Ok(Some(watch.begin(step)?)),
            None => Ok(None),
        }
    }
}
