//! The passes of a drawing: the first one, and a second one at a larger size where that is wished.

use idembed_attention::{AttentionMaps, LayerChoice, Word};
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::controlnet::{Control, ControlNet};
use idembed_diffusion::unet::UNet;
use idembed_diffusion::{FromPicture, StableDiffusion, TextToImage, memory};
use idembed_tokens::{Conditions, Regions, condition_as, condition_in_regions};
use image::RgbImage;
use tch::Tensor;

use super::apart::cut_apart;
use super::detailing;
use super::look::Look;
use super::plan::{Drawing, by_name};
use super::view::View;
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
use crate::tiles::tiles;

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
    let watched = watched || settings.face_detail.is_some() || drawing.steps_to_look().is_some();
    // Under guidance, the negative prompt has as many.
    let chunks = drawing.prompt.chunks();
    let bytes = |extent| memory::drawing(model, extent, guidance > 1.0, watched, chunks, settings.tiles()) + networks;
    let work = |size, batch| Work { what: "drawing", size, batch, bytes: &bytes }.forecast(model);
    let mut forecast = work(settings.size_for(model), settings.batch)?;
    for size in drawing.sizes_again(model) {
        let again = work(size, 1)?;
        if again.needed > forecast.needed {
            forecast = again;
        }
    }
    Ok(forecast)
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
        _ => Prepared::new(model, drawing)?.draw(&drawing.seeds, None, hash, &progress, each),
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
    let words = words.collect::<Result<_>>()?;
    let seed = *drawing.seeds.first().ok_or(StudioError::NothingToDraw)?;
    Prepared::new(model, drawing)?.watch(seed, words, watch.stages, hash, &progress)
}

/// What all passes of a drawing share.
pub(super) struct Prepared<'a> {
    model: &'a StableDiffusion,
    drawing: &'a Drawing,
    prompt: Conditioning,
    /// What it is in regions that are found for each picture.
    in_regions: Option<Conditioning>,
    negative: Conditioning,
    /// The noise predictor, where an identity changes its weights.
    unet: Option<UNet>,
    /// The ControlNets of the drawing.
    nets: Vec<ControlNet>,
    /// What was given beside the model's own files.
    parts: Vec<PartRecord>,
}

impl<'a> Prepared<'a> {
    /// Encodes the prompts and loads the ControlNets.
    pub(super) fn new(model: &'a StableDiffusion, drawing: &'a Drawing) -> Result<Self> {
        let identities = by_name(&drawing.identities)?;
        let how = Conditions { force: drawing.force, skipped_layers: drawing.settings.clip_skip.saturating_sub(1) };
        let regions = drawing.regions()?;
        let in_regions = condition_in_regions(model, &drawing.prompt, &identities, &regions, how)?;
        let (prompt, in_regions) = match drawing.steps_to_look() {
            Some(_) => (condition_as(model, &drawing.prompt, &identities, how)?, Some(in_regions)),
            None => (in_regions, None),
        };
        let changes = identities.changed_unet([&drawing.prompt, &drawing.negative])?;
        let unet = changes.map(|changes| changes.apply(model)).transpose()?;
        let negative = condition_as(model, &drawing.negative, &identities, how)?;
        let negative = model.as_negative(&drawing.negative.text, negative)?;
        let nets = drawing.controls.iter().map(|control| control.load(model.compute)).collect::<Result<_>>()?;
        let parts = hashes::of_given_parts(&model.files)?;
        Ok(Prepared { model, drawing, prompt, in_regions, negative, unet, nets, parts })
    }

    /// Draws a picture and watches words whose positions are known.
    pub(super) fn watch(
        &self,
        seed: u64,
        words: Vec<Word>,
        stages: usize,
        hash: &ModelHash,
        progress: &Progress<'_>,
    ) -> Result<Watched> {
        let mut watching = self.watching(words, stages)?;
        let mut picture = None;
        self.draw(&[seed], Some(&mut watching), hash, progress, |drawn| picture = Some(drawn))?;
        match (picture, watching.recorder) {
            (Some(drawn), Some(recorder)) => Ok(Watched { drawn, maps: recorder.finish()? }),
            _ => Err(StudioError::NothingToDraw),
        }
    }

    fn watching(&self, words: Vec<Word>, stages: usize) -> Result<Watching> {
        let layers = LayerChoice::All.resolve(&self.model.unet.downscales())?;
        let train_timesteps = self.model.noise_schedule.train_timesteps;
        Ok(Watching { words, layers, stages, train_timesteps, recorder: None })
    }

    /// Draws one picture per seed, and hands out each.
    fn draw(
        &self,
        seeds: &[u64],
        mut watching: Option<&mut Watching>,
        hash: &ModelHash,
        progress: &Progress<'_>,
        mut each: impl FnMut(Drawn),
    ) -> Result<()> {
        let Prepared { model, drawing, parts, .. } = self;
        let size = drawing.settings.size_for(model);
        let seen = self.seen(size)?;
        let controls = self.controls(&seen);
        // Regions that are found are one picture's own.
        let together = if drawing.steps_to_look().is_some() { 1 } else { seeds.len().max(1) };
        for seeds in seeds.chunks(together) {
            let Placed { prompt, regions } = self.placed(seeds, &controls, progress)?;
            let mut follower = Follower { progress, watching: watching.as_deref_mut(), steps: None };
            let from = drawing.from.as_ref();
            let batch = drawing.settings.batch;
            let request = TextToImage { seeds, batch, controls: &controls, ..self.request(&prompt, size, from) };
            let ended = request.run(model, &mut follower, |index, picture| -> Result<()> {
                let seed = seeds[index];
                let picture = match drawing.settings.enlargement {
                    Some(enlargement) => self.enlarge(enlargement.start(&picture), &prompt, seed, progress)?,
                    None => picture,
                };
                let size = Size { width: picture.width(), height: picture.height() };
                let record = drawing.record(seed, size, model, hash.get(), parts, &regions);
                each(Drawn { picture, record });
                Ok(())
            });
            stopped(ended)?;
        }
        Ok(())
    }

    /// What the pictures of these seeds are told, and the regions of their people; those that are to be found are one picture's.
    fn placed(&self, seeds: &[u64], controls: &[Control<'_>], progress: &Progress<'_>) -> Result<Placed> {
        let mut regions = self.drawing.regions()?;
        let (Some(prompt), Some(&seed)) = (&self.in_regions, seeds.first()) else {
            return Ok(Placed { prompt: self.prompt.clone(), regions });
        };
        let people = self.drawing.people();
        let areas = cut_apart(&Look::of_all(&self.look(seed, controls, progress)?)?)?;
        regions.extend(people.into_iter().map(|named| named.name.clone()).zip(areas));
        // Regions lie in the order of their names on both sides.
        let areas = regions.values().copied();
        let texts = prompt.regions().iter().map(|(_, text)| text.clone());
        Ok(Placed { prompt: prompt.clone().with_regions(areas.zip(texts).collect()), regions })
    }

    /// Draws the first steps of a picture, without regions, to see where the words of its people look.
    fn look(&self, seed: u64, controls: &[Control<'_>], progress: &Progress<'_>) -> Result<AttentionMaps> {
        let size = self.drawing.settings.size_for(self.model);
        let from = self.drawing.from.as_ref();
        let request = TextToImage { seeds: &[seed], controls, ..self.request(&self.prompt, size, from) };
        let mut watching = self.watching(self.drawing.words_of_people(), 1)?;
        let mut follower = Follower { progress, watching: Some(&mut watching), steps: self.drawing.steps_to_look() };
        match stopped(request.run(self.model, &mut follower, |_, _| -> Result<()> { Ok(()) })) {
            Err(StudioError::Stopped) if progress.is_stopped() => return Err(StudioError::Stopped),
            Err(StudioError::Stopped) => {}
            ended => ended?,
        }
        Ok(watching.recorder.ok_or(StudioError::NothingToDraw)?.finish()?)
    }

    /// Draws an enlarged picture once more, at once or part by part.
    fn enlarge(
        &self,
        start: FromPicture,
        prompt: &Conditioning,
        seed: u64,
        progress: &Progress<'_>,
    ) -> Result<RgbImage> {
        let Some(side) = self.drawing.tile_side else {
            return self.again_at_once(&start, prompt, seed, progress);
        };
        let FromPicture { mut picture, strength, .. } = start;
        let whole = View::whole(&picture).whole;
        let seen = self.seen(whole)?;
        for (number, tile) in (0..).zip(tiles(whole, side)) {
            let from = FromPicture { picture: tile.of(&picture), strength, mask: None };
            // The same noise in each would show as a pattern.
            let seed = seed.wrapping_add(number);
            let drawn = self.again_in(&View { whole, part: tile.part }, &seen, prompt, &from, seed, progress)?;
            tile.put_back(&drawn, &mut picture);
        }
        Ok(picture)
    }

    /// Draws a picture once more, steered as the drawing is.
    pub(super) fn again(&self, from: &FromPicture, seed: u64, progress: &Progress<'_>) -> Result<RgbImage> {
        self.again_at_once(from, &self.prompt, seed, progress)
    }

    fn again_at_once(
        &self,
        from: &FromPicture,
        prompt: &Conditioning,
        seed: u64,
        progress: &Progress<'_>,
    ) -> Result<RgbImage> {
        let view = View::whole(&from.picture);
        self.again_in(&view, &self.seen(view.whole)?, prompt, from, seed, progress)
    }

    /// Draws a part of a picture once more; `seen` is what each ControlNet sees of the whole.
    fn again_in(
        &self,
        view: &View,
        seen: &[Tensor],
        prompt: &Conditioning,
        from: &FromPicture,
        seed: u64,
        progress: &Progress<'_>,
    ) -> Result<RgbImage> {
        let seen = seen.iter().map(|seen| view.of(seen)).collect::<Result<Vec<_>>>()?;
        let controls = self.controls(&seen);
        let prompt = view.regions_of(prompt)?;
        let size = Size { width: from.picture.width(), height: from.picture.height() };
        let request = TextToImage { seeds: &[seed], controls: &controls, ..self.request(&prompt, size, Some(from)) };
        let mut drawn = None;
        let mut follower = Follower { progress, watching: None, steps: None };
        stopped(request.run(self.model, &mut follower, |_, picture| -> Result<()> {
            drawn = Some(picture);
            Ok(())
        }))?;
        drawn.ok_or(StudioError::NothingToDraw)
    }

    /// What each ControlNet sees for pictures of a size.
    fn seen(&self, size: Size) -> Result<Vec<Tensor>> {
        self.drawing.controls.iter().map(|control| control.seen(size)).collect()
    }

    fn controls<'b>(&'b self, seen: &'b [Tensor]) -> Vec<Control<'b>> {
        let nets = self.drawing.controls.iter().zip(self.nets.iter().zip(seen));
        nets.map(|(control, (net, picture))| control.control(net, picture)).collect()
    }

    /// One pass, without seeds yet.
    fn request<'b>(&'b self, prompt: &'b Conditioning, size: Size, from: Option<&'b FromPicture>) -> TextToImage<'b> {
        let settings = &self.drawing.settings;
        TextToImage {
            prompt,
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

/// What a picture is told, and where its people are.
struct Placed {
    prompt: Conditioning,
    regions: Regions,
}

/// A wish to stop is an error of its own.
fn stopped(ended: Result<()>) -> Result<()> {
    match ended {
        Err(StudioError::Diffusion(idembed_diffusion::Error::Stopped)) => Err(StudioError::Stopped),
        ended => ended,
    }
}
