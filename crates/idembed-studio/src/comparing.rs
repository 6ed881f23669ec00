//! How much the faces in pictures are like the face in a photo.

use idembed_diffusion::Compute;
use idembed_face::recognise::{self, DistanceScale, Recogniser, cosine};
use idembed_face::select::choose;
use idembed_face::{Face, Photo, Search, View};
use image::RgbImage;
use ndarray::Array1;
use tch::Kind;

use crate::error::Result;
use crate::faces::{Finder, Found};
use crate::recognition::Network;

/// A face detector and a recognition network, with the face that others are compared with.
#[derive(Debug)]
pub struct Likeness {
    finder: Finder,
    recogniser: Box<dyn Recogniser>,
    wanted: Array1<f32>,
    found: Found,
}

/// A picture that was compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// How many faces are in it.
    pub faces: usize,
    /// The one that was compared, the largest near the middle, and how the picture was looked at to find it.
    pub face: Option<(Face, View)>,
    /// Cosine similarity to the photo; 0 where there is no face.
    pub id: f32,
    /// Distance to the photo, where there is a face and the network [knows distances](Likeness::distance_scale).
    pub distance: Option<f32>,
}

impl Likeness {
    /// Finds the face in a photo: number `wanted`, counted from 1, or the largest near the middle. All computes in f32.
    ///
    /// # Errors
    /// There is no face, or weights are missing or damaged.
    pub fn to(photo: Photo, wanted: Option<usize>, network: &Network, compute: Compute) -> Result<Likeness> {
        let compute = Compute { kind: Kind::Float, ..compute };
        let finder = Finder::open(compute)?;
        let recogniser = recognise::load(&network.file, compute)?;
        let found = finder.find(photo.pixels, wanted)?;
        let wanted = embedding(recogniser.as_ref(), &found.photo, found.face())?;
        Ok(Likeness { finder, recogniser, wanted, found })
    }

    /// The faces of the photo, one of them chosen.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// How distances are to be read; `None` if the network was trained on the cosine.
    pub fn distance_scale(&self) -> Option<DistanceScale> {
        self.recogniser.distance_scale()
    }

    /// Compares one picture.
    pub fn of(&self, picture: RgbImage) -> Result<Compared> {
        let Search { picture, faces, view, .. } = self.finder.search(picture)?;
        if faces.is_empty() {
            return Ok(Compared { faces: 0, face: None, id: 0.0, distance: None });
        }
        let choice = choose(&faces, picture.width(), picture.height(), None)?;
        let face = faces[choice.index];
        let found = embedding(self.recogniser.as_ref(), &picture, &face)?;
        let id = cosine(found.view(), self.wanted.view());
        let distance = self.distance_scale().map(|_| recognise::distance(found.view(), self.wanted.view()));
        Ok(Compared { faces: faces.len(), face: Some((face, view)), id, distance })
    }
}

fn embedding(recogniser: &dyn Recogniser, picture: &RgbImage, face: &Face) -> Result<Array1<f32>> {
    Ok(recogniser.embed(&[recogniser.crop(picture, face)])?.row(0).to_owned())
}
