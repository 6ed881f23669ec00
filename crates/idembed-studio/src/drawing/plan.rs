//! A drawing that was checked, as far as that needs no weights.

use idembed_attention::Word;
use idembed_clip::Tokenizer;
use idembed_diffusion::schedulers::{NoiseSchedule, PredictionType};
use idembed_diffusion::{Area, FromPicture, StableDiffusion};
use idembed_tokens::{DEFAULT_TEMPLATE, Identities, Prompt, PromptSyntax, Regions, template_parts};

use super::apart::{FIRST_STEPS, RegionWish};
use super::look::word_of;
use super::warning::DrawWarning;
use super::wish::{Draw, DrawSettings, NamedIdentity};
use crate::error::{Result, StudioError};
use crate::model::Model;
use crate::picture_file::{IdentityRecord, PartRecord, PictureRecord, SourceRecord};
use crate::second_pass::Enlargement;
use crate::size::Size;
use crate::source::Source;
use crate::steering::PlannedControl;
use crate::tiles::tiles;

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
    pub(super) controls: Vec<PlannedControl>,
    /// That of the first text encoder.
    pub(super) tokenizer: Tokenizer,
    model: String,
    /// The picture to begin at, of the size that is drawn.
    pub(super) from: Option<FromPicture>,
    /// What files say about it.
    source: Option<SourceRecord>,
    pub(super) force: bool,
    /// What faces are drawn once more with, `{}` standing for the identity.
    face_prompt: String,
    pub(super) regions: RegionWish,
    /// The side of the parts in which it is drawn once more, if it is.
    pub(super) tile_side: Option<u32>,
    /// How its prompts are read.
    syntax: PromptSyntax,
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
        let draws_more = wish.enlargement.is_some() || wish.face_detail.is_some();
        if draws_more || from.as_ref().is_none_or(|from| from.mask.is_none()) {
            model.files.check_is_text_to_image()?;
        }
        let settings = DrawSettings::new(model, &config, wish, size, from.as_ref())?;
        if settings.guidance > 1.0 {
            let chunks = prompt.chunks().max(negative.chunks());
            [&mut prompt, &mut negative].into_iter().for_each(|prompt| prompt.fill(chunks, &tokenizers));
        }
        let prediction = NoiseSchedule::from_config(&config)?.prediction_type;
        let drawing = Drawing {
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
            face_prompt: face_prompt(wish)?,
            regions: wish.regions.clone(),
            tile_side: match wish.enlargement {
                Some(Enlargement { tiled: true, .. }) => u32::try_from(model.files.native_size()?).ok(),
                _ => None,
            },
            syntax: wish.syntax,
        };
        by_name(&drawing.identities)?.check_regions(&drawing.prompt, &drawing.regions()?)?;
        Ok(drawing)
    }

    /// The regions that were asked for; where they are to be found first, the whole picture for each of its people.
    ///
    /// # Errors
    /// They are to be found, and the prompt names fewer than two people.
    pub(super) fn regions(&self) -> Result<Regions> {
        let people = match &self.regions {
            RegionWish::Given(regions) => return Ok(regions.clone()),
            RegionWish::Found => self.people(),
        };
        if people.len() < 2 {
            return Err(StudioError::NobodyToKeepApart { people: people.len() });
        }
        let whole = Area::new(0.0, 0.0, 1.0, 1.0)?;
        Ok(people.into_iter().map(|named| (named.name.clone(), whole)).collect())
    }

    /// How many steps are drawn only to see where people are put, if regions are to be found.
    pub(super) fn steps_to_look(&self) -> Option<usize> {
        let steps = (self.settings.evaluations as f64 * FIRST_STEPS).ceil() as usize;
        matches!(self.regions, RegionWish::Found).then_some(steps)
    }

    /// How often the U-Net is asked for so many pictures, those drawn at the same time counted once.
    pub fn total_steps(&self, pictures: usize) -> u64 {
        let DrawSettings { evaluations, steps, batch, enlargement, face_detail, .. } = self.settings;
        let taken = |strength: f64| ((steps as f64 * strength) as usize).max(1);
        let tiles = |enlargement: Enlargement| match self.tile_side {
            Some(side) => {
                let drawn = self.settings.size.unwrap_or(Size::square(i64::from(side)));
                tiles(enlargement.size(drawn), side).len()
            }
            None => 1,
        };
        let enlarged = enlargement.map_or(0, |enlargement| tiles(enlargement) * taken(enlargement.strength));
        let (batch, faces) = match face_detail {
            Some(detail) => (1, self.people().len() * taken(detail.strength)),
            None => (batch, 0),
        };
        let looked = self.steps_to_look().unwrap_or(0);
        (evaluations * pictures.div_ceil(batch) + (looked + enlarged + faces) * pictures) as u64
    }

    /// The sizes at which each picture is drawn once more, by itself: that of the second pass or of its parts, and that of faces.
    pub(super) fn sizes_again(&self, model: &StableDiffusion) -> Vec<Size> {
        let DrawSettings { enlargement, face_detail, .. } = self.settings;
        let second = enlargement.map(|enlargement| {
            let Size { width, height } = enlargement.size(self.settings.size_for(model));
            let longest = self.tile_side.unwrap_or(u32::MAX);
            Size { width: width.min(longest), height: height.min(longest) }
        });
        let face = face_detail.map(|_| Size::square(model.native_size()));
        second.into_iter().chain(face).collect()
    }

    /// The identities in the prompt that are somebody's, and not another tool's embedding: each once, in their order.
    pub(super) fn people(&self) -> Vec<&NamedIdentity> {
        let is_person = |named: &&NamedIdentity| !named.identity.class.is_empty() && self.prompt.names(&named.name);
        self.identities.iter().filter(is_person).collect()
    }

    /// Where the prompt names them.
    pub(super) fn words_of_people(&self) -> Vec<Word> {
        self.people().into_iter().map(|named| word_of(&self.prompt, named)).collect()
    }

    /// The same with one of its people and another prompt, that of a face: of the size that the model likes, and without what
    /// steers or is drawn from.
    pub(super) fn alone(&self, person: &NamedIdentity, model: &StableDiffusion) -> Result<Drawing> {
        let text = self.face_prompt.replace("{}", &format!("<{}>", person.name));
        let named = by_name(&self.identities)?;
        let tokenizers = || model.text_encoders.tokenizers();
        let mut prompt = Prompt::read(&text, tokenizers(), self.syntax, |name| named.words(name))?;
        let mut negative = self.negative.clone();
        let chunks = prompt.chunks().max(negative.chunks());
        [&mut prompt, &mut negative].into_iter().for_each(|prompt| prompt.fill(chunks, tokenizers()));
        let settings = DrawSettings { size: None, enlargement: None, face_detail: None, ..self.settings };
        let tile_side = None;
        let (controls, regions) = (Vec::new(), RegionWish::default());
        Ok(Drawing { prompt, negative, settings, controls, regions, tile_side, from: None, ..self.clone() })
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
        if self.settings.face_detail.is_some() && self.people().is_empty() {
            warnings.push(DrawWarning::NobodysFace);
        }
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
    pub(super) fn record(
        &self,
        seed: u64,
        size: Size,
        model: &StableDiffusion,
        model_sha256: Option<&str>,
        parts: &[PartRecord],
        regions: &Regions,
    ) -> PictureRecord {
        let used = self.identities.iter().filter(|named| self.names(&named.name));
        let identities = used.map(|named| IdentityRecord {
            name: named.name.clone(),
            sha256: named.sha256.clone(),
            method: named.identity.method.clone(),
            class: named.identity.class.clone(),
            strength: named.strength.clone(),
            region: regions.get(&named.name).copied(),
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
            enlarged: self.settings.enlargement,
            face_detail: self.settings.face_detail,
            face_prompt: self.settings.face_detail.map(|_| self.face_prompt.clone()),
            tiled: self.settings.low_memory,
            dtype: model.compute.dtype_name().to_owned(),
            identities: identities.collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What faces are drawn once more with: what identities are usually learned with, if nothing else is wished.
fn face_prompt(wish: &Draw) -> Result<String> {
    let prompt = wish.face_prompt.as_deref().unwrap_or(DEFAULT_TEMPLATE);
    template_parts(prompt)?;
    Ok(prompt.to_owned())
}

pub(super) fn by_name(identities: &[NamedIdentity]) -> idembed_tokens::Result<Identities<'_>> {
    Identities::with_strengths(
        identities.iter().map(|named| (named.name.as_str(), &named.identity, named.strength.clone())),
    )
}
