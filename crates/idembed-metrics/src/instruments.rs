//! The networks that look at pictures, and what they say together.

use std::collections::{BTreeMap, BTreeSet};

use idembed_clip::ClipScorer;
use idembed_face::Face;
use idembed_face::detect::Mtcnn;
use idembed_face::recognise::Recogniser;
use image::{GrayImage, RgbImage};
use ndarray::{Array1, Array2};

use crate::background::without_face;
use crate::clip_view::{ClipView, alike, image_embeds};
use crate::diversity::diversity;
use crate::found::{self, Found};
use crate::framed::framed;
use crate::heads::Heads;
use crate::judge::Judge;
use crate::likeness::likeness;
use crate::pair::pair;
use crate::person::{Person, Seen};
use crate::request::Request;
use crate::scored::{Scored, Scores, put};
use crate::{MetricsError, Result};

/// The networks that score pictures, opened once.
#[derive(Debug)]
pub struct Instruments {
    detector: Mtcnn,
    recognisers: Vec<(String, Box<dyn Recogniser>)>,
    clips: Vec<(String, ClipScorer)>,
    judge: Option<Judge>,
    tau: f64,
}

impl Instruments {
    /// The first recogniser and the first CLIP are the main ones; further ones give scores with their name. `tau` is the
    /// least `prompt` of a picture that follows its prompt, where there is no judge to tell.
    ///
    /// # Errors
    /// There is no recogniser or no CLIP, two have the same name, or `tau` is no cosine.
    pub fn new(
        detector: Mtcnn,
        recognisers: Vec<(String, Box<dyn Recogniser>)>,
        clips: Vec<(String, ClipScorer)>,
        judge: Option<Judge>,
        tau: f64,
    ) -> Result<Self> {
        check_names("recogniser", recognisers.iter().map(|(name, _)| name.as_str()))?;
        check_names("CLIP", clips.iter().map(|(name, _)| name.as_str()))?;
        if !(-1.0..=1.0).contains(&tau) {
            return Err(MetricsError::Instruments { what: format!("tau is {tau}, expected -1 to 1") });
        }
        Ok(Instruments { detector, recognisers, clips, judge, tau })
    }

    /// Somebody to compare pictures with: the photo learned from, and other pictures.
    ///
    /// The mask shows where the face is in the photo, white inside; without one, an ellipse around the found face does.
    ///
    /// # Errors
    /// No face is found in the photo or one of the others, the mask has another size than the photo, or a picture has no
    /// pixels.
    pub fn person(
        &self,
        name: &str,
        photo: &RgbImage,
        mask: Option<&GrayImage>,
        others: &[RgbImage],
    ) -> Result<Person> {
        if let Some(mask) = mask.filter(|mask| mask.dimensions() != photo.dimensions()) {
            let (got, expected) = (mask.dimensions(), photo.dimensions());
            return Err(MetricsError::MaskSize { name: name.to_owned(), got, expected });
        }
        let found = self.find(std::iter::once(photo).chain(others), |heads| heads.one().into_iter().collect())?;
        if let Some(place) = found.iter().position(|found| found.faces.is_empty()) {
            let which = if place == 0 { "the photo".to_owned() } else { format!("other picture {place}") };
            return Err(MetricsError::NoFace { name: name.to_owned(), which });
        }
        let mask = mask.cloned().or_else(|| found[0].mask(0)).unwrap_or_default();
        let clip = image_embeds(self.main_clip(), &[photo.clone(), without_face(photo, &mask)])?;
        let mut seen = found.into_iter().flat_map(|found| found.seen);
        Ok(Person {
            name: name.to_owned(),
            photo: seen.next().unwrap_or_default(),
            others: seen.collect(),
            whole: clip.row(0).to_owned(),
            background: clip.row(1).to_owned(),
        })
    }

    /// Refuses a request, before anything is drawn for it, that could not be scored.
    ///
    /// # Errors
    /// The judge does not know a wish, or there are wishes of two people.
    pub fn check(&self, request: &Request, people: usize) -> Result<()> {
        match &self.judge {
            Some(_) if people > 1 && !request.wishes.is_empty() => Err(MetricsError::WishesOfTwo),
            Some(judge) => judge.factors().check(&request.wishes),
            None => Ok(()),
        }
    }

    /// The scores of the pictures of one prompt: all of its seeds, for they are compared with each other, too.
    ///
    /// # Errors
    /// As [`check`](Self::check); a picture has no pixels, or another size than the judge's; or the person was prepared with
    /// other instruments.
    pub fn score(&self, person: &Person, request: &Request, pictures: &[RgbImage]) -> Result<Vec<Scored>> {
        self.check(request, 1)?;
        let verdicts = self.judge.as_ref().map(|judge| judge.judge(pictures)).transpose()?;
        let views = self.view(request, pictures)?;
        let found = self.find(pictures, |heads| heads.one().into_iter().collect())?;

        let masked = |(picture, found): (&RgbImage, &Found)| {
            found.mask(0).map_or_else(|| picture.clone(), |mask| without_face(picture, &mask))
        };
        let masked: Vec<RgbImage> = pictures.iter().zip(&found).map(masked).collect();
        let backgrounds = image_embeds(self.main_clip(), &masked)?;
        let diversity = self.diversity(&found)?;

        let score = |(place, (picture, found)): (usize, (&RgbImage, &Found))| {
            let face = (!found.faces.is_empty()).then_some(0);
            let mut scored = self.score_faces(&[(person, face)], picture, found);
            self.score_prompt(&mut scored.scores, &views, place);
            let of_photo = |embeds: &Array2<f32>, photo: &Array1<f32>| Some(alike(embeds.row(place), photo.view()));
            put(&mut scored.scores, "whole", of_photo(&views[0].pictures, &person.whole));
            put(&mut scored.scores, "background", of_photo(&backgrounds, &person.background));
            put(&mut scored.scores, "diversity", diversity[place]);
            if let Some(verdict) = verdicts.as_ref().map(|verdicts| &verdicts[place]) {
                put(&mut scored.scores, "wishes", verdict.granted(&request.wishes));
                scored.seen = verdict.seen();
            }
            scored.finish(self.judge.is_some(), self.tau)
        };
        pictures.iter().zip(&found).enumerate().map(score).collect()
    }

    /// The scores of pictures of two people, the one whom the prompt names first in front.
    ///
    /// There is nothing of the judge, of backgrounds and of diversity in them, but `mix_up`, `both` and `duplicates`. `id` and
    /// what follows from it are means over both people.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_pair(&self, people: [&Person; 2], request: &Request, pictures: &[RgbImage]) -> Result<Vec<Scored>> {
        self.check(request, 2)?;
        let views = self.view(request, pictures)?;
        let found = self.find(pictures, Heads::two)?;
        let score = |(place, (picture, found)): (usize, (&RgbImage, &Found))| {
            let likeness: Vec<[f64; 2]> =
                found.seen.iter().map(|face| people.map(|person| person.likeness(face, 0))).collect();
            let pair = pair(&likeness, found.on_the_right());
            let [first, second] = pair.faces;
            let mut scored = self.score_faces(&[(people[0], first), (people[1], second)], picture, found);
            self.score_prompt(&mut scored.scores, &views, place);
            put(&mut scored.scores, "mix_up", pair.mix_up);
            put(&mut scored.scores, "both", Some(flag(pair.both)));
            put(&mut scored.scores, "duplicates", Some(flag(pair.duplicates)));
            scored.finish(self.judge.is_some(), self.tau)
        };
        pictures.iter().zip(&found).enumerate().map(score).collect()
    }

    /// The faces of pictures and those of each that count.
    fn find<'a>(
        &self,
        pictures: impl IntoIterator<Item = &'a RgbImage>,
        count: impl Fn(&Heads) -> Vec<Face>,
    ) -> Result<Vec<Found>> {
        let found = |picture| {
            let heads = Heads::find(&self.detector, picture)?;
            Ok(Found { faces: count(&heads), heads, seen: Vec::new() })
        };
        let mut found: Vec<Found> = pictures.into_iter().map(found).collect::<Result<_>>()?;
        found::see_all(&mut found, self.recognisers.iter().map(|(_, recogniser)| recogniser.as_ref()))?;
        Ok(found)
    }

    /// What each CLIP sees.
    fn view(&self, request: &Request, pictures: &[RgbImage]) -> Result<Vec<ClipView>> {
        self.clips.iter().map(|(_, clip)| ClipView::of(clip, request, pictures)).collect()
    }

    fn main_clip(&self) -> &ClipScorer {
        &self.clips[0].1
    }

    /// `diversity` of the pictures of one prompt.
    fn diversity(&self, found: &[Found]) -> Result<Vec<Option<f64>>> {
        let crops: Vec<Option<RgbImage>> = found.iter().map(Found::aligned).collect();
        let embeds = image_embeds(self.main_clip(), &crops.iter().flatten().cloned().collect::<Vec<_>>())?;
        let mut rows = embeds.outer_iter();
        Ok(diversity(&crops.iter().map(|crop| crop.as_ref().and_then(|_| rows.next())).collect::<Vec<_>>()))
    }

    /// What the faces say, and the border; `people` come with the number of the face that is taken for them.
    fn score_faces(&self, people: &[(&Person, Option<usize>)], picture: &RgbImage, found: &Found) -> Scored {
        let names: Vec<&str> = self.recognisers.iter().map(|(name, _)| name.as_str()).collect();
        let faces: Vec<(&Person, Option<&Seen>)> =
            people.iter().map(|(person, face)| (*person, face.map(|face| &found.seen[face]))).collect();
        let mut scores = likeness(&faces, &names);
        let count = found.heads.faces.len();
        put(&mut scores, "detect", Some(flag(count > 0)));
        put(&mut scores, "faces", Some(count as f64));
        put(&mut scores, "framed", Some(framed(picture)));
        let heads = people.iter().map(|(_, face)| face.and_then(|face| found.mask(face))).collect();
        Scored { scores, seen: BTreeMap::new(), heads }
    }

    /// `prompt` and `prompt_deleted` of one picture, by every CLIP.
    fn score_prompt(&self, scores: &mut Scores, views: &[ClipView], place: usize) {
        for (number, ((name, _), view)) in self.clips.iter().zip(views).enumerate() {
            for (text, score) in ["prompt", "prompt_deleted"].into_iter().enumerate() {
                let score = if number == 0 { score.to_owned() } else { format!("{score}@{name}") };
                put(scores, score, Some(alike(view.pictures.row(place), view.texts.row(text))));
            }
        }
    }
}

/// Refuses an empty list, and one in which a name stands twice.
fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let (mut names, mut seen) = (names.peekable(), BTreeSet::new());
    if names.peek().is_none() {
        return Err(MetricsError::Instruments { what: format!("there is no {what}") });
    }
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(MetricsError::Instruments { what: format!("there are two of the {what} `{name}`") }),
        None => Ok(()),
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
