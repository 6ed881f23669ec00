//! Looking for faces harder than once: what a detector misses in a picture as it is, it often finds in one that is
//! enlarged, has a margin, or is turned upright.

mod turn;
mod view;

use std::fmt;

use image::RgbImage;

use crate::detect::Mtcnn;
use crate::geometry::{Face, Point};
use crate::{FaceError, FaceResult};
pub use turn::Turn;
pub use view::View;

/// Pictures whose shorter side is below this are looked at enlarged, too, if nothing is found in them as they are.
const SMALL: u32 = 512;
/// How much they are enlarged.
const ENLARGEMENT: f64 = 2.0;
/// The longest side of what is looked at turned: a face that lies on its side as the whole photo does is large.
const TURNED_SIDE: u32 = 1024;
/// The longest side of what is looked at with a margin, without it: the face fills the picture.
const PADDED_SIDE: u32 = 512;
/// A face of this score that lies in the picture ends the search.
///
/// Faces in upright photos score above it; one that lies on its side scored up to 0.987, with landmarks that made no sense.
const SURE: f64 = 0.99;
/// The least score of a face in a picture that was turned. In 56 pictures without a face, 168 turns scored up to 0.77.
const STRICT: f64 = 0.95;

/// One look at a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// How it was looked at.
    pub view: View,
    /// Width of what was looked at, in pixels.
    pub width: u32,
    /// Height of what was looked at, in pixels.
    pub height: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { view, width, height } = self;
        write!(out, "{view} ({width} x {height} pixels)")
    }
}

/// What a search found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The picture, turned upright if that helped.
    pub picture: RgbImage,
    /// The faces in the coordinates of this picture, in the detector's order; may be empty. Boxes may reach over its edge.
    pub faces: Vec<Face>,
    /// How the faces were seen; [`View::PLAIN`] if there are none.
    pub view: View,
    /// Everything that was looked at, in order.
    pub attempts: Vec<Attempt>,
}

/// Looks for faces in a picture as it is, and only if that finds none for sure, in other views of it.
///
/// - If nothing is found in a small picture, it is enlarged.
/// - If there is still nothing, or only what has landmarks outside of the picture, it gets a margin: the detector knows faces
///   with something around them, and takes a face that fills the picture for a part of a larger one.
/// - If what was found is not sure, or nothing was, the picture is turned, and the surest turn wins.
///
/// When a turn helps, the picture that is given back is turned for good, as an orientation tag would have done.
///
/// # Errors
/// [`FaceError`] of the detector.
pub fn search(detector: &Mtcnn, picture: RgbImage) -> FaceResult<Search> {
    search_with(picture, |picture| detector.detect(picture))
}

fn search_with(picture: RgbImage, detect: impl Fn(&RgbImage) -> Result<Vec<Face>, FaceError>) -> FaceResult<Search> {
    let mut looks = Looks { picture: &picture, detect, attempts: Vec::new() };
    let found = looks.search()?;
    let attempts = looks.attempts;
    let picture = if found.view.turned == Turn::None { picture } else { found.view.turned.of(&picture) };
    Ok(Search { picture, faces: found.faces, view: found.view, attempts })
}

/// The looks at one picture so far.
struct Looks<'a, F> {
    picture: &'a RgbImage,
    detect: F,
    attempts: Vec<Attempt>,
}

/// The faces of one look.
struct Found {
    view: View,
    faces: Vec<Face>,
}

impl Found {
    /// The score of the surest face; 0 if there is none.
    fn score(&self) -> f64 {
        self.faces.iter().map(|face| face.score).fold(0.0, f64::max)
    }
}

impl<F: Fn(&RgbImage) -> FaceResult<Vec<Face>>> Looks<'_, F> {
    fn search(&mut self) -> FaceResult<Found> {
        let mut plain = self.look(View::PLAIN)?;
        if plain.faces.is_empty() && self.is_small() {
            let enlarged = self.look(View { scale: ENLARGEMENT, ..View::PLAIN })?;
            if !enlarged.faces.is_empty() {
                plain = enlarged;
            }
        }
        let inside = self.within(&plain, 0.0);
        if inside.score() >= SURE {
            return Ok(plain);
        }
        if inside.faces.is_empty() {
            let padded = self.look(View { padded: true, scale: self.second_scale(PADDED_SIDE), ..View::PLAIN })?;
            let padded = self.within(&padded, SURE);
            if !padded.faces.is_empty() {
                return Ok(padded);
            }
        }
        // A face that was found but is not sure may be one that lies on its side, with landmarks that make no sense.
        let turned = self.surest_turn()?;
        if turned.score() >= SURE || plain.faces.is_empty() && !turned.faces.is_empty() {
            return self.in_full(turned);
        }
        Ok(plain)
    }

    fn look(&mut self, view: View) -> FaceResult<Found> {
        let seen = view.of(self.picture);
        let (width, height) = seen.dimensions();
        self.attempts.push(Attempt { view, width, height });
        let faces = (self.detect)(&seen)?;
        let size = self.size(view.turned);
        Ok(Found { view, faces: faces.iter().map(|face| view.back(face, size)).collect() })
    }

    /// The faces of at least this score whose landmarks all lie in the picture.
    fn within(&self, found: &Found, score: f64) -> Found {
        let (width, height) = self.size(found.view.turned);
        let lies_within = |point: Point| {
            (-0.5..f64::from(width) - 0.5).contains(&point.x) && (-0.5..f64::from(height) - 0.5).contains(&point.y)
        };
        let kept = |face: &&Face| face.score >= score && face.landmarks.points().into_iter().all(lies_within);
        Found { view: found.view, faces: found.faces.iter().filter(kept).copied().collect() }
    }

    /// Width and height of the turned picture.
    fn size(&self, turned: Turn) -> (u32, u32) {
        let (width, height) = self.picture.dimensions();
        if turned.degrees().is_multiple_of(180) { (width, height) } else { (height, width) }
    }

    /// The look with the surest face among the three turns.
    fn surest_turn(&mut self) -> FaceResult<Found> {
        let view = View { scale: self.second_scale(TURNED_SIDE), ..View::PLAIN };
        let mut surest = Found { view, faces: Vec::new() };
        for turned in Turn::OTHERS {
            let found = self.look(View { turned, ..view })?;
            let found = self.within(&found, STRICT);
            if found.score() > surest.score() {
                surest = found;
            }
        }
        Ok(surest)
    }

    /// The faces that the detector sees once the picture is turned, as it would in a photo that was upright from the start; if
    /// there are none in it as it is, those that were seen before.
    fn in_full(&mut self, turned: Found) -> FaceResult<Found> {
        if turned.view.scale == 1.0 {
            return Ok(turned);
        }
        let full = self.look(View { scale: 1.0, ..turned.view })?;
        let full = self.within(&full, STRICT);
        Ok(if full.faces.is_empty() { turned } else { full })
    }

    fn is_small(&self) -> bool {
        let (width, height) = self.picture.dimensions();
        width.min(height) < SMALL && width.max(height) <= SMALL * SMALL
    }

    /// The scale of a look after the first ones, at which the longer side is at most `longest`.
    fn second_scale(&self, longest: u32) -> f64 {
        let (width, height) = self.picture.dimensions();
        let scale = if self.is_small() { ENLARGEMENT } else { 1.0 };
        scale.min(f64::from(longest) / f64::from(width.max(height)))
    }
}

#[cfg(test)]
mod tests;
