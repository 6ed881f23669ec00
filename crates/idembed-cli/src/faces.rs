//! Finding the face that is meant in a photo.

use std::path::{Path, PathBuf};

use idembed_diffusion::device::Compute;
use idembed_face::detect::Mtcnn;
use idembed_face::search::{Attempt, Search, Turn, View, search};
use idembed_face::select::{Choice, SelectError, choose, concerns};
use idembed_face::{Face, FaceBox};
use image::RgbImage;
use serde::Serialize;
use tch::Kind;

use crate::failure::Hinted;
use crate::models;

/// The detector's folder below `models`.
pub(crate) const DETECTOR: &str = "mtcnn";

/// A face detector, loaded.
pub(crate) struct Finder {
    detector: Mtcnn,
}

/// The faces of a photo, one of them chosen.
pub(crate) struct Found {
    /// The photo, turned upright if the faces were only found so; all coordinates are in its pixels.
    pub(crate) photo: RgbImage,
    /// All of them, in the detector's order.
    pub(crate) faces: Vec<Face>,
    /// Which one is meant.
    pub(crate) choice: Choice,
    /// How the photo was looked at to find them.
    pub(crate) view: View,
}

impl Finder {
    /// Loads the detector; it computes in f32 whatever the other networks do.
    ///
    /// # Errors
    /// Its weights are missing or damaged.
    pub(crate) fn open(compute: Compute) -> anyhow::Result<Finder> {
        let folder = models::weights(DETECTOR, "pnet.safetensors").ok_or_else(|| {
            let hint = "`cargo xtask setup` brings them (2 MB); --crop X,Y,W,H and --no-face of `learn` do without";
            Hinted::new("the weights of the face detector are missing (models/mtcnn)", hint)
        })?;
        let detector = Mtcnn::load(&folder, Compute { kind: Kind::Float, ..compute })?;
        Ok(Finder { detector })
    }

    /// All faces of a picture; none is no error.
    pub(crate) fn search(&self, picture: RgbImage) -> anyhow::Result<Search> {
        Ok(search(&self.detector, picture)?)
    }

    /// The faces of a photo and the one that is meant: the largest near the middle, or number `wanted` from 1.
    ///
    /// # Errors
    /// There is no face, or none of that number.
    pub(crate) fn find(&self, photo: RgbImage, path: &Path, wanted: Option<usize>) -> anyhow::Result<Found> {
        let Search { picture: photo, faces, view, attempts } = self.search(photo)?;
        if faces.is_empty() {
            let tried: Vec<String> = attempts.iter().map(Attempt::to_string).collect();
            let message = format!("no face was found in `{}`; it was looked at {}", path.display(), tried.join("; "));
            return Err(Hinted::new(message, SelectError::NoFace.hint()).into());
        }
        let choice = choose(&faces, photo.width(), photo.height(), wanted)?;
        let found = Found { photo, faces, choice, view };
        found.tell(path);
        Ok(found)
    }
}

impl Found {
    /// The face that is meant.
    pub(crate) fn face(&self) -> &Face {
        &self.faces[self.choice.index]
    }

    /// What may be wrong with it.
    pub(crate) fn concerns(&self) -> Vec<String> {
        concerns(self.face(), self.photo.width(), self.photo.height()).iter().map(ToString::to_string).collect()
    }

    /// What reports say about the face that is meant.
    pub(crate) fn chosen(&self) -> ChosenFace {
        ChosenFace::new(self.face(), self.view)
    }

    /// Says how the photo was looked at, which face was taken, and what may be wrong with it.
    fn tell(&self, path: &Path) {
        if self.view != View::PLAIN {
            let from_now_on = if self.view.turned == Turn::None { "" } else { "; it stays turned" };
            tracing::info!("`{}`: the face was found in the photo {}{from_now_on}", path.display(), self.view);
        }
        let bounds = shown_box(&self.face().bounds);
        let others = if self.faces.len() > 1 { " (--face N takes another)" } else { "" };
        tracing::info!("`{}`: {} at {bounds}{others}", path.display(), self.choice.reason);
        for concern in self.concerns() {
            tracing::warn!("`{}`: {concern}", path.display());
        }
    }
}

/// A box in whole pixels, for people.
pub(crate) fn shown_box(bounds: &FaceBox) -> String {
    let FaceBox { left, top, right, bottom } = bounds;
    format!("{left:.0},{top:.0} to {right:.0},{bottom:.0}")
}

/// What reports say about a face.
#[derive(Clone, Serialize)]
pub(crate) struct FaceReport {
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    pub(crate) bounds: [f64; 4],
    /// How sure the detector is.
    pub(crate) score: f64,
    landmarks: [[f64; 2]; 5],
}

impl FaceReport {
    /// About this face.
    pub(crate) fn new(face: &Face) -> FaceReport {
        let FaceBox { left, top, right, bottom } = face.bounds;
        let landmarks = face.landmarks.points().map(|point| [point.x, point.y]);
        FaceReport { bounds: [left, top, right, bottom], score: face.score, landmarks }
    }
}

/// What reports say about the one face of a photo that is meant.
#[derive(Clone, Serialize)]
pub(crate) struct ChosenFace {
    #[serde(flatten)]
    face: FaceReport,
    /// By how much the photo was turned for it, in degrees.
    turned: u32,
}

impl ChosenFace {
    /// About this face, found in this view of its photo.
    pub(crate) fn new(face: &Face, view: View) -> ChosenFace {
        ChosenFace { face: FaceReport::new(face), turned: view.turned.degrees() }
    }
}

/// The weight file that `wanted` names: a file, or the name of a folder below `models` with `model.safetensors` in it.
pub(crate) fn network_file(wanted: &str) -> Option<PathBuf> {
    let path = Path::new(wanted);
    if path.is_file() {
        return Some(path.to_owned());
    }
    models::weights(wanted, "model.safetensors").map(|folder| folder.join("model.safetensors"))
}
