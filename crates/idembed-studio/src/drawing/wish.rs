//! What is wished of a drawing, and the settings that follow from it.

use std::path::Path;

use idembed_diffusion::schedulers::{self, SchedulerConfigJson, SchedulerKind};
use idembed_diffusion::vae::Tiles;
use idembed_diffusion::{FromPicture, StableDiffusion};
use idembed_tokens::{Identity, PromptSyntax, Strength};

use super::apart::RegionWish;
use crate::error::Result;
use crate::face_detail::FaceDetail;
use crate::hashes::sha256_of;
use crate::model::Model;
use crate::second_pass::Enlargement;
use crate::size::Size;
use crate::source::Source;
use crate::steering::ControlWish;

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
    /// Draws it once more, larger.
    pub enlargement: Option<Enlargement>,
    /// Draws the faces of its people once more.
    pub face_detail: Option<FaceDetail>,
    /// What they are drawn with, `{}` standing for the identity; what identities are usually learned with if `None`.
    pub face_prompt: Option<String>,
    /// Decodes large pictures part by part, which takes less memory and changes them slightly; [`crate::Studio::load_sparing`]
    /// goes with it.
    pub low_memory: bool,
    /// Takes identities that were learned for another model, where the shapes allow.
    pub force: bool,
    /// The part of the picture that each identity is kept to; maps of watched words are those of the rest of the picture then.
    pub regions: RegionWish,
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
            enlargement: None,
            face_detail: None,
            face_prompt: None,
            low_memory: false,
            force: false,
            regions: RegionWish::default(),
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
    /// As [`Draw::enlargement`].
    pub enlargement: Option<Enlargement>,
    /// As [`Draw::face_detail`].
    pub face_detail: Option<FaceDetail>,
    /// As [`Draw::low_memory`].
    pub low_memory: bool,
}

impl DrawSettings {
    pub(super) fn new(
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
            batch: match wish.regions {
                // Each picture has regions of its own.
                RegionWish::Found => 1,
                RegionWish::Given(_) => wish.batch.unwrap_or(own.batch).min(wish.seeds.len().max(1)),
            },
            clip_skip: wish.clip_skip.max(1),
            enlargement: wish.enlargement,
            face_detail: wish.face_detail,
            low_memory: wish.low_memory,
        })
    }

    /// The parts in which pictures are decoded, if not at once.
    pub(super) fn tiles(&self) -> Option<Tiles> {
        self.low_memory.then_some(Tiles::USUAL)
    }

    /// The size that is drawn.
    pub(super) fn size_for(&self, model: &StableDiffusion) -> Size {
        self.size.unwrap_or_else(|| Size::square(model.native_size()))
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
