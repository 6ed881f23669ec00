//! Finding the face that is meant in a photo.

use idembed_diffusion::Compute;
use idembed_face::detect::Mtcnn;
use idembed_face::select::{Choice, Concern, choose, concerns};
use idembed_face::{Attempt, Face, FaceBox, Search, View, search};
use image::RgbImage;
use serde::Serialize;
use tch::Kind;

use crate::error::{Result, StudioError};
use crate::models::{self, Part};

/// A face detector, loaded.
#[derive(Debug)]
pub struct Finder {
    detector: Mtcnn,
}

/// The faces of a photo, one of them chosen.
#[derive(Debug, Clone)]
pub struct Found {
    /// The photo, turned upright if the faces were only found so; all coordinates are in its pixels.
    pub photo: RgbImage,
    /// All of them, in the detector's order.
    pub faces: Vec<Face>,
    /// Which one is meant.
    pub choice: Choice,
    /// How the photo was looked at to find them.
    pub view: View,
}

impl Finder {
    /// Loads the detector; it computes in f32 whatever the other networks do.
    ///
    /// # Errors
    /// Its weights are missing or damaged.
    pub fn open(compute: Compute) -> Result<Finder> {
        let missing = StudioError::Missing { part: Part::Detector };
        let folder = models::weights(models::DETECTOR, "pnet.safetensors").ok_or(missing)?;
        let detector = Mtcnn::load(&folder, Compute { kind: Kind::Float, ..compute })?;
        Ok(Finder { detector })
    }

    /// All faces of a picture; none is no error.
    pub fn search(&self, picture: RgbImage) -> Result<Search> {
        Ok(search(&self.detector, picture)?)
    }

    /// The faces of a photo and the one that is meant: the largest near the middle, or number `wanted` from 1.
    ///
    /// # Errors
    /// There is no face, or none of that number.
    pub fn find(&self, photo: RgbImage, wanted: Option<usize>) -> Result<Found> {
        let Search { picture: photo, faces, view, attempts } = self.search(photo)?;
        if faces.is_empty() {
            return Err(StudioError::NoFace { tried: attempts.iter().map(Attempt::to_string).collect() });
        }
        let choice = choose(&faces, photo.width(), photo.height(), wanted)?;
        Ok(Found { photo, faces, choice, view })
    }
}

impl Found {
    /// The face that is meant.
    pub fn face(&self) -> &Face {
        &self.faces[self.choice.index]
    }

    /// What may be wrong with it.
    pub fn concerns(&self) -> Vec<Concern> {
        concerns(self.face(), self.photo.width(), self.photo.height())
    }
}

/// A box in whole pixels, for people.
pub fn shown_box(bounds: &FaceBox) -> String {
    let FaceBox { left, top, right, bottom } = bounds;
    format!("{left:.0},{top:.0} to {right:.0},{bottom:.0}")
}

/// What reports say about a face.
#[derive(Debug, Clone, Serialize)]
pub struct FaceReport {
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    pub bounds: [f64; 4],
    /// How sure the detector is.
    pub score: f64,
    landmarks: [[f64; 2]; 5],
}

impl FaceReport {
    /// About this face.
    pub fn new(face: &Face) -> FaceReport {
        let FaceBox { left, top, right, bottom } = face.bounds;
        let landmarks = face.landmarks.points().map(|point| [point.x, point.y]);
        FaceReport { bounds: [left, top, right, bottom], score: face.score, landmarks }
    }
}

/// What reports say about the one face of a photo that is meant.
#[derive(Debug, Clone, Serialize)]
pub struct ChosenFace {
    #[serde(flatten)]
    face: FaceReport,
    /// By how much the photo was turned for it, in degrees.
    turned: u32,
}

impl ChosenFace {
    /// The one that was chosen.
    pub fn of(found: &Found) -> ChosenFace {
        ChosenFace::new(found.face(), found.view)
    }

    /// About this face, found in this view of its photo.
    pub fn new(face: &Face, view: View) -> ChosenFace {
        ChosenFace { face: FaceReport::new(face), turned: view.turned.degrees() }
    }
}
