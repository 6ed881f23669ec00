//! What learning a person from one photo gives, between its bounds: strangers below, the same person drawn twice above, and
//! for people whom the model knows, their own names.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use idembed_face::detect::Mtcnn;
use idembed_face::recognise::Recogniser;
use idembed_face::{Search, search};
use idembed_studio::{Draw, Frame, Learn, Learned, Model, Photo, Studio, SubjectChoice};
use idembed_weights::Compute;
use idembed_world::identity::NAMED;
use idembed_world::{Drawn, SIDE, Who};
use image::RgbImage;
use ndarray::Array1;

use super::faces::{centre, plain_photo};
use super::metric::Metric;
use crate::recogniser::true_face;
use crate::{PretrainError, Result};

/// People of each sort that are learned.
const LEARNED: u32 = 4;
/// People whose photos are compared with each other.
const COMPARED: u64 = 50;
/// Photos that the likeness to a person is measured with; the first is the one to learn from.
const GALLERY: u64 = 6;
/// Pictures of each prompt.
const SEEDS: [u64; 2] = [0, 1];
/// What the learned person is called in prompts.
const NAME: &str = "me";

/// Learns and draws.
pub(super) struct Sitting<'a> {
    studio: Studio,
    detector: &'a Mtcnn,
    recogniser: &'a dyn Recogniser,
    stop: &'a AtomicBool,
}

impl<'a> Sitting<'a> {
    /// With the model of a folder.
    pub(super) fn new(
        folder: &Path,
        compute: Compute,
        detector: &'a Mtcnn,
        recogniser: &'a dyn Recogniser,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let studio = Studio::load(Model::at(folder)?, compute)?;
        Ok(Sitting { studio, detector, recogniser, stop })
    }

    /// All figures.
    pub(super) fn measure(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<Metric>> {
        let (pairs, strangers) = self.bounds()?;
        let mut by_name = Vec::new();
        let mut learned = [Vec::new(), Vec::new()];
        for number in 0..LEARNED {
            // Spread over all who have a name.
            let known = Who::Named(number * NAMED / LEARNED);
            let photos = self.photos(known)?;
            let name = known.name().unwrap_or_default();
            by_name.push(self.likeness(&name, None, &self.centre(&photos)?)?);
            for (who, likeness) in [known, Who::HeldOut(u64::from(number))].into_iter().zip(&mut learned) {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(PretrainError::Stopped);
                }
                let photos = self.photos(who)?;
                // The whole of it: a plain photo shows a head and shoulders.
                let subject = SubjectChoice { frame: Frame::Centre, ..SubjectChoice::default() };
                let how = Learn { subject, ..Learn::default() };
                let identity = self.studio.learn(NAME, &Photo::from(photos[0].picture.clone()), how)?;
                let others = self.centre(&photos[1..])?;
                likeness.push(self.likeness(&format!("<{NAME}>"), Some(&identity), &others)?);
            }
            say(&format!("learned {} of {} people", 2 * (number + 1), 2 * LEARNED));
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let [known, unknown] = learned.map(|values| mean(&values));
        let by_name = mean(&by_name);
        Ok([
            ("likeness of a photo to others of the person", pairs),
            ("likeness of a photo to those of a stranger", strangers),
            ("likeness of known people, by name", by_name),
            ("likeness of known people, learned from one photo", known),
            ("likeness of unknown people, learned from one photo", unknown),
        ]
        .map(|(name, value)| Metric::new(name, value, "", None))
        .into())
    }

    /// The mean likeness of a photo to others of the same person, and of the next one, none of whom was ever trained on.
    fn bounds(&self) -> Result<(f64, f64)> {
        let mut first = Vec::new();
        let mut centres = Vec::new();
        for who in 0..COMPARED {
            let photos = self.photos(Who::HeldOut(who))?;
            first.extend(self.crop(&photos[0]));
            centres.push(self.centre(&photos[1..])?);
        }
        let first = self.recogniser.embed(&first)?;
        let mean = |shift: usize| {
            let centres = centres.iter().cycle().skip(shift);
            let likeness = first.rows().into_iter().zip(centres).map(|(photo, centre)| f64::from(photo.dot(centre)));
            likeness.sum::<f64>() / first.nrows().max(1) as f64
        };
        Ok((mean(0), mean(1)))
    }

    /// Plain photos of a person.
    fn photos(&self, who: Who) -> Result<Vec<Drawn>> {
        let samples: Vec<_> = (0..GALLERY).map(|index| plain_photo(who, index)).collect();
        Ok(idembed_world::draw_all(&samples, SIDE)?)
    }

    fn crop(&self, drawn: &Drawn) -> Option<RgbImage> {
        Some(self.recogniser.crop(&drawn.picture, &true_face(drawn.truth.faces.first()?)))
    }

    /// The direction of the mean embedding.
    fn centre(&self, photos: &[Drawn]) -> Result<Array1<f32>> {
        let crops: Vec<RgbImage> = photos.iter().filter_map(|drawn| self.crop(drawn)).collect();
        Ok(centre(&self.recogniser.embed(&crops)?))
    }

    /// The mean likeness of pictures of somebody called `noun`; where no face is found, it is 0.
    fn likeness(&self, noun: &str, identity: Option<&Learned>, of: &Array1<f32>) -> Result<f64> {
        let prompts = &self.studio.model().settings.learn.prompts;
        let mut sum = 0.0;
        for prompt in prompts {
            if self.stop.load(Ordering::Relaxed) {
                return Err(PretrainError::Stopped);
            }
            let how = Draw { seeds: SEEDS.to_vec(), ..Draw::default() };
            let drawn = self.studio.draw(&prompt.replace("{}", noun), identity.map(|it| (NAME, it)), how)?;
            for drawn in drawn {
                let Search { picture, faces, .. } = search(self.detector, drawn.picture)?;
                if let Some(face) = faces.into_iter().next() {
                    let embedding = self.recogniser.embed(&[self.recogniser.crop(&picture, &face)])?;
                    sum += f64::from(embedding.row(0).dot(of));
                }
            }
        }
        Ok(sum / (prompts.len() * SEEDS.len()).max(1) as f64)
    }
}
