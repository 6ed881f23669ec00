//! A loaded model, and all that can be done with it.

use std::sync::Arc;
use std::time::Instant;

use idembed_diffusion::schedulers::PredictionType;
use idembed_diffusion::{Compute, DeviceChoice, DtypeChoice, StableDiffusion, memory};
use idembed_face::Photo;
use idembed_tokens::{Identity, LearnConfig, LearnWishes, Method};

use crate::drawing::{self, Draw, Drawing, Drawn, NamedIdentity, Watch, Watched};
use crate::error::{Result, StudioError};
use crate::event::Event;
use crate::hashes::ModelHash;
use crate::job::{Job, Worker};
use crate::learning::{self, Learned, Lesson};
use crate::memory::{Forecast, Work};
use crate::model::Model;
use crate::size::Size;
use crate::subject::{SubjectChoice, SubjectFinder};

/// A loaded model on a thread of its own, which does one job after the other.
///
/// A handle can be cloned and sent to other threads; when the last one is dropped, its jobs are waited for.
#[derive(Debug, Clone)]
pub struct Studio {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    model: Model,
    compute: Compute,
    facts: Facts,
    hash: Arc<ModelHash>,
    worker: Worker<StableDiffusion>,
}

/// What is known of a loaded model.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// The side of the pictures that it draws best, in pixels.
    pub native_size: Size,
    /// What its U-Net is taken to predict.
    pub prediction: PredictionType,
    /// Whether its files say what it predicts.
    pub prediction_is_said: bool,
    /// Whether there are models like this one that predict something else.
    pub prediction_is_doubtful: bool,
    /// Seconds that loading took.
    pub load_seconds: f64,
}

/// How to learn; what is not said is as the model likes it.
#[derive(Debug, Clone, Default)]
pub struct Learn {
    /// Which part of each photo is learned, and what of it is the face.
    pub subject: SubjectChoice,
    /// The method; what suits the model if `None`.
    pub method: Option<Method>,
    /// What is to be otherwise than the model likes it.
    pub wishes: LearnWishes,
    /// The size to learn at; the model's own if `None`.
    pub size: Option<Size>,
}

impl Studio {
    /// Loads a model by its name or the path of its folder or file, on the first GPU or else the CPU.
    ///
    /// # Errors
    /// There is no such model, or it cannot be loaded.
    pub fn open(model: &str) -> Result<Studio> {
        let compute = Compute::resolve(DeviceChoice::default(), DtypeChoice::default())
            .map_err(idembed_diffusion::Error::from)?;
        Studio::load(Model::find(model)?, compute)
    }

    /// Loads a model.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn load(model: Model, compute: Compute) -> Result<Studio> {
        Studio::load_with_texts_on(model, compute, compute)
    }

    /// As [`Studio::load`], for drawing with little memory on a GPU: the text encoders, which a drawing asks once, compute in main
    /// memory, in f32.
    ///
    /// # Errors
    /// As there.
    pub fn load_sparing(model: Model, compute: Compute) -> Result<Studio> {
        let texts = if compute.device.is_cuda() { Compute::CPU_F32 } else { compute };
        Studio::load_with_texts_on(model, compute, texts)
    }

    fn load_with_texts_on(model: Model, compute: Compute, texts: Compute) -> Result<Studio> {
        let hash = Arc::new(ModelHash::start(&model.files));
        let (files, name) = (model.files.clone(), model.name.clone());
        let (worker, facts) = Worker::start("idembed studio", move || {
            let started = Instant::now();
            let loaded = StableDiffusion::load_with_texts_on(files, compute, texts);
            let loaded = loaded.map_err(|source| StudioError::Load { name, source: Box::new(source) })?;
            let facts = Facts {
                native_size: Size::square(loaded.native_size()),
                prediction: loaded.noise_schedule.prediction_type,
                prediction_is_said: loaded.prediction_is_said,
                prediction_is_doubtful: loaded.prediction_is_doubtful(),
                load_seconds: started.elapsed().as_secs_f64(),
            };
            Ok((loaded, facts))
        })?;
        Ok(Studio { inner: Arc::new(Inner { model, compute, facts, hash, worker }) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Where it computes.
    pub fn compute(&self) -> Compute {
        self.inner.compute
    }

    /// What is known of the loaded model.
    pub fn facts(&self) -> Facts {
        self.inner.facts
    }

    /// Learns the person in a photo as `name`: finds and cuts the face, and trains.
    ///
    /// # Errors
    /// No face, settings out of range, too little memory, or what a step reports.
    pub fn learn(&self, name: &str, photo: &Photo, how: Learn) -> Result<Learned> {
        self.learn_photos(name, [photo], how)
    }

    /// As [`Studio::learn`], from several photos of the same person, which need not be of one size.
    ///
    /// # Errors
    /// As [`Studio::learn`]; and no photo.
    pub fn learn_photos<'a>(
        &self,
        name: &str,
        photos: impl IntoIterator<Item = &'a Photo>,
        how: Learn,
    ) -> Result<Learned> {
        let finder = SubjectFinder::open(&how.subject, self.inner.compute)?;
        let size = how.size.unwrap_or(self.inner.facts.native_size);
        let subjects =
            photos.into_iter().map(|photo| finder.find(photo.clone())?.at(size)).collect::<Result<Vec<_>>>()?;
        let masked = subjects.iter().all(|subject| subject.mask.is_some());
        let model = &self.inner.model;
        let method = how.method.unwrap_or_else(|| model.usual_method(how.wishes.class.as_deref()));
        let config = model.learn_config(name, method).where_masked(masked).with(&how.wishes);
        self.forecast_learning(&config, size)?;
        self.start_learning(Lesson::new(subjects, config)).wait()
    }

    /// Begins to learn.
    pub fn start_learning(&self, lesson: Lesson) -> Job<Learned> {
        // Not the studio itself: the last handle must not be dropped by its own thread.
        let (own, hash) = (self.inner.model.clone(), Arc::clone(&self.inner.hash));
        self.inner.worker.submit(move |model, context| learning::learn(model, &own, &lesson, &hash, context))
    }

    /// How much memory a lesson takes.
    ///
    /// # Errors
    /// More than the machine has.
    pub fn forecast_learning(&self, config: &LearnConfig, size: Size) -> Result<Forecast> {
        let (batch, watched) = (config.batch, config.objective.attention.is_some());
        let job = self.inner.worker.submit(move |model, _| {
            model.check_is_text_to_image()?;
            let bytes = |extent| memory::learning(model, extent, watched);
            Ok(Work { what: "learning", size, batch, bytes: &bytes }.forecast(model)?)
        });
        job.wait()
    }

    /// Draws one picture for each seed; `<NAME>` in the prompt stands for the identity of that name.
    ///
    /// # Errors
    /// A prompt that does not fit the identities, an identity of another model, too little memory, or what drawing reports.
    pub fn draw<'a, I: AsRef<Identity> + 'a>(
        &self,
        prompt: &str,
        identities: impl IntoIterator<Item = (&'a str, &'a I)>,
        how: Draw,
    ) -> Result<Vec<Drawn>> {
        let drawing = self.plan(prompt, identities, how)?;
        self.forecast_drawing(&drawing, false)?;
        self.draw_all(drawing)
    }

    /// Draws what was planned, to the end.
    ///
    /// # Errors
    /// What drawing reports.
    pub fn draw_all(&self, drawing: Drawing) -> Result<Vec<Drawn>> {
        let job = self.start_drawing(drawing);
        let pictures = job.events().filter_map(|event| match event {
            Event::Picture(drawn) => Some(*drawn),
            _ => None,
        });
        let pictures = pictures.collect();
        job.wait()?;
        Ok(pictures)
    }

    /// Draws a picture with the first seed, and tells where in it some words acted.
    ///
    /// # Errors
    /// As [`Studio::draw`]; and a word that is not in the prompt.
    pub fn watch<'a, I: AsRef<Identity> + 'a>(
        &self,
        prompt: &str,
        identities: impl IntoIterator<Item = (&'a str, &'a I)>,
        how: Draw,
        watch: Watch,
    ) -> Result<Watched> {
        let drawing = self.plan(prompt, identities, how)?;
        self.forecast_drawing(&drawing, true)?;
        self.start_watching(drawing, watch).wait()
    }

    /// Begins to draw; each picture is an [`Event::Picture`].
    pub fn start_drawing(&self, drawing: Drawing) -> Job<()> {
        let hash = Arc::clone(&self.inner.hash);
        self.inner.worker.submit(move |model, context| drawing::draw(model, &drawing, &hash, context))
    }

    /// Begins to draw a picture with the first seed, watching words.
    pub fn start_watching(&self, drawing: Drawing, watch: Watch) -> Job<Watched> {
        let hash = Arc::clone(&self.inner.hash);
        self.inner.worker.submit(move |model, context| drawing::watch(model, &drawing, &watch, &hash, context))
    }

    /// How much memory a drawing takes; `watched` says whether words are watched.
    ///
    /// # Errors
    /// More than the machine has, or an identity of another model.
    pub fn forecast_drawing(&self, drawing: &Drawing, watched: bool) -> Result<Forecast> {
        let drawing = drawing.clone();
        self.inner.worker.submit(move |model, _| drawing::forecast(model, &drawing, watched)).wait()
    }

    fn plan<'a, I: AsRef<Identity> + 'a>(
        &self,
        prompt: &str,
        identities: impl IntoIterator<Item = (&'a str, &'a I)>,
        how: Draw,
    ) -> Result<Drawing> {
        let named = identities.into_iter().map(|(name, identity)| NamedIdentity::new(name, identity.as_ref()));
        Drawing::plan(&self.inner.model, prompt, named.collect::<Result<_>>()?, &how)
    }
}
