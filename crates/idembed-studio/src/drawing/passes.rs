//! The passes of a drawing: the first one, and a second one at a larger size where that is wished.

use idembed_attention::{LayerChoice, Word};
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::controlnet::Control;
use idembed_diffusion::unet::UNet;
use idembed_diffusion::{FromPicture, StableDiffusion, TextToImage, memory};
use idembed_tokens::{Conditions, condition_as, condition_in_regions};
use image::RgbImage;

use super::detailing;
use super::plan::{Drawing, by_name};
use super::watching::{Follower, Progress, Watching};
use super::wish::{DrawSettings, NamedIdentity};
use super::{Drawn, Watch, Watched};
use crate::error::{Result, StudioError};
use crate::event::Event;
use crate::hashes::{self, ModelHash};
use crate::job::Context;
use crate::memory::{Forecast, Work};
use crate::picture_file::PartRecord;
use crate::size::Size;
use crate::steering::LoadedControl;

/// Checks that the identities and what is skipped belong to the model, and forecasts the memory; `watched` says whether attention
/// maps are looked at.
pub(crate) fn forecast(model: &StableDiffusion, drawing: &Drawing, watched: bool) -> Result<Forecast> {
    for NamedIdentity { identity, .. } in &drawing.identities {
        identity.check_base(model, drawing.force)?;
    }
    let settings = &drawing.settings;
    let DrawSettings { guidance, clip_skip, .. } = *settings;
    model.text_encoders.check_skipped(clip_skip.saturating_sub(1))?;
    let networks: u64 = drawing.controls.iter().map(|control| control.weight_bytes).sum();
    let watched = watched || settings.face_detail.is_some();
    let bytes = |extent| memory::drawing(model, extent, guidance > 1.0, watched, settings.tiles()) + networks;
    let (size, batch) = match settings.enlargement {
        // The second pass draws one picture at a time.
        Some(enlargement) => (enlargement.size(settings.size_for(model)), 1),
        None => (settings.size_for(model), settings.batch),
    };
    Ok(Work { what: "drawing", size, batch, bytes: &bytes }.forecast(model)?)
}

/// Draws one picture per seed.
pub(crate) fn draw(model: &StableDiffusion, drawing: &Drawing, hash: &ModelHash, context: &Context) -> Result<()> {
    draw_each(model, drawing, hash, context, |drawn| context.tell(Event::Picture(Box::new(drawn))))
}

/// Draws one picture per seed, and hands out each.
pub(crate) fn draw_each(
    model: &StableDiffusion,
    drawing: &Drawing,
    hash: &ModelHash,
    context: &Context,
    each: impl FnMut(Drawn),
) -> Result<()> {
    let progress = Progress::new(context, drawing.total_steps(drawing.seeds.len()));
    match drawing.settings.face_detail {
        Some(detail) if !drawing.people().is_empty() => {
            detailing::draw_each(model, drawing, detail, hash, &progress, each)
        }
        _ => Prepared::new(model, drawing)?.draw(None, hash, &progress, each),
    }
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
    let progress = Progress::new(context, drawing.total_steps(1));
    watch_words(model, drawing, words.collect::<Result<_>>()?, watch.stages, hash, &progress)
}

/// The same, of words whose positions are known.
pub(super) fn watch_words(
    model: &StableDiffusion,
    drawing: &Drawing,
    words: Vec<Word>,
    stages: usize,
    hash: &ModelHash,
    progress: &Progress<'_>,
) -> Result<Watched> {
    let mut watching = Watching {
        words,
        layers: LayerChoice::All.resolve(&model.unet.downscales())?,
        stages,
        train_timesteps: model.noise_schedule.train_timesteps,
        recorder: None,
    };
    let one = drawing.with_seeds(drawing.seeds.iter().copied().take(1).collect());
    let mut picture = None;
    Prepared::new(model, &one)?.draw(Some(&mut watching), hash, progress, |drawn| picture = Some(drawn))?;
    match (picture, watching.recorder) {
        (Some(drawn), Some(recorder)) => Ok(Watched { drawn, maps: recorder.finish()? }),
        _ => Err(StudioError::NothingToDraw),
    }
}

/// What all passes of a drawing share.
pub(super) struct Prepared<'a> {
    model: &'a StableDiffusion,
    drawing: &'a Drawing,
    prompt: Conditioning,
    negative: Conditioning,
    /// The noise predictor, where an identity changes its weights.
    unet: Option<UNet>,
    /// What was given beside the model's own files.
    parts: Vec<PartRecord>,
}

impl<'a> Prepared<'a> {
    /// Encodes the prompts.
    pub(super) fn new(model: &'a StableDiffusion, drawing: &'a Drawing) -> Result<Self> {
        let identities = by_name(&drawing.identities)?;
        let how = Conditions { force: drawing.force, skipped_layers: drawing.settings.clip_skip.saturating_sub(1) };
        let prompt = condition_in_regions(model, &drawing.prompt, &identities, &drawing.regions, how)?;
        let changes = identities.changed_unet([&drawing.prompt, &drawing.negative])?;
        let unet = changes.map(|changes| changes.apply(model)).transpose()?;
        let negative = condition_as(model, &drawing.negative, &identities, how)?;
        let negative = model.as_negative(&drawing.negative.text, negative)?;
        Ok(Prepared { model, drawing, prompt, negative, unet, parts: hashes::of_given_parts(&model.files)? })
    }

    /// Draws one picture per seed, and hands out each.
    fn draw(
        &self,
        watching: Option<&mut Watching>,
        hash: &ModelHash,
        progress: &Progress<'_>,
        mut each: impl FnMut(Drawn),
    ) -> Result<()> {
        let Prepared { model, drawing, parts, .. } = self;
        let size = drawing.settings.size_for(model);
        let mut follower = Follower { progress, watching };
        let controls = self.controls(size)?;
        let controls: Vec<Control<'_>> = controls.iter().map(LoadedControl::control).collect();
        let request = TextToImage {
            seeds: &drawing.seeds,
            batch: drawing.settings.batch,
            controls: &controls,
            ..self.request(size, drawing.from.as_ref())
        };
        let ended = request.run(model, &mut follower, |index, picture| -> Result<()> {
            let seed = drawing.seeds[index];
            let picture = match drawing.settings.enlargement {
                Some(enlargement) => self.again(&enlargement.start(&picture), seed, progress)?,
                None => picture,
            };
            let size = Size { width: picture.width(), height: picture.height() };
            let record = drawing.record(seed, size, model, hash.get(), parts);
            each(Drawn { picture, record });
            Ok(())
        });
        stopped(ended)
    }

    /// Draws a picture once more, with ControlNets where its shape is that of the drawing.
    pub(super) fn again(&self, from: &FromPicture, seed: u64, progress: &Progress<'_>) -> Result<RgbImage> {
        let size = Size { width: from.picture.width(), height: from.picture.height() };
        let controls = self.controls(size)?;
        let controls: Vec<Control<'_>> = controls.iter().map(LoadedControl::control).collect();
        let request = TextToImage { seeds: &[seed], controls: &controls, ..self.request(size, Some(from)) };
        let mut drawn = None;
        let mut follower = Follower { progress, watching: None };
        stopped(request.run(self.model, &mut follower, |_, picture| -> Result<()> {
            drawn = Some(picture);
            Ok(())
        }))?;
        drawn.ok_or(StudioError::NothingToDraw)
    }

    fn controls(&self, size: Size) -> Result<Vec<LoadedControl<'_>>> {
        self.drawing.controls.iter().map(|control| control.load(self.model, size)).collect()
    }

    /// One pass, without seeds yet.
    fn request<'b>(&'b self, size: Size, from: Option<&'b FromPicture>) -> TextToImage<'b> {
        let settings = &self.drawing.settings;
        TextToImage {
            prompt: &self.prompt,
            negative: &self.negative,
            guidance_scale: settings.guidance,
            steps: settings.steps,
            scheduler: settings.scheduler,
            eta: settings.eta,
            width: i64::from(size.width),
            height: i64::from(size.height),
            from,
            seeds: &[],
            batch: 1,
            unet: self.unet.as_ref(),
            controls: &[],
            tiles: settings.tiles(),
        }
    }
}

/// A wish to stop is an error of its own.
fn stopped(ended: Result<()>) -> Result<()> {
    match ended {
        Err(StudioError::Diffusion(idembed_diffusion::Error::Stopped)) => Err(StudioError::Stopped),
        ended => ended,
    }
}
