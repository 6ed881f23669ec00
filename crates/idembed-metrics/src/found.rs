//! Pictures with the faces that count in them, as the recognisers see them.

use idembed_face::Face;
use idembed_face::align::{ALIGNED_SIDE, aligned_face};
use idembed_face::recognise::Recogniser;
use image::{GrayImage, RgbImage};

use crate::Result;
use crate::heads::Heads;
use crate::person::Seen;

/// A picture with what was found in it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) heads: Heads,
    /// Those that count.
    pub(crate) faces: Vec<Face>,
    /// The same as the recognisers see them.
    pub(crate) seen: Vec<Seen>,
}

impl Found {
    /// The head of one of the faces that count, in the picture as it was given.
    pub(crate) fn mask(&self, face: usize) -> Option<GrayImage> {
        self.faces.get(face).map(|face| self.heads.mask(face))
    }

    /// The first of the faces that count, upright; `None` if there is none, or its landmarks make no sense.
    pub(crate) fn aligned(&self) -> Option<RgbImage> {
        Some(aligned_face(&self.heads.picture, &self.faces.first()?.landmarks, ALIGNED_SIDE)?.picture)
    }

    /// Whether the first of them is in the right half.
    pub(crate) fn on_the_right(&self) -> bool {
        let middle = f64::from(self.heads.picture.width()) / 2.0;
        self.faces.first().is_some_and(|face| face.bounds.centre().x > middle)
    }
}

/// Lets each recogniser look at all faces that count at once.
pub(crate) fn see_all<'a>(
    found: &mut [Found],
    recognisers: impl IntoIterator<Item = &'a (dyn Recogniser + 'a)>,
) -> Result<()> {
    for found in found.iter_mut() {
        found.seen = vec![Seen::new(); found.faces.len()];
    }
    for recogniser in recognisers {
        let crops: Vec<RgbImage> = found
            .iter()
            .flat_map(|found| found.faces.iter().map(|face| recogniser.crop(&found.heads.picture, face)))
            .collect();
        let embeds = recogniser.embed(&crops)?;
        let faces = found.iter_mut().flat_map(|found| &mut found.seen);
        faces.zip(embeds.outer_iter()).for_each(|(seen, row)| seen.push(row.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_face::{FaceBox, FaceResult, Landmarks, Point, Turn};
    use image::Rgb;
    use ndarray::{Array2, array};

    use super::*;

    /// Sees the colour in the middle of a face's box, times a number.
    #[derive(Debug)]
    struct Colour(f32);

    impl Recogniser for Colour {
        fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage {
            let Point { x, y } = face.bounds.centre();
            RgbImage::from_pixel(1, 1, *picture.get_pixel(x as u32, y as u32))
        }

        fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>> {
            Ok(Array2::from_shape_fn((crops.len(), 3), |(row, column)| self.0 * f32::from(crops[row].as_raw()[column])))
        }

        fn dimension(&self) -> usize {
            3
        }
    }

    /// Faces of 10 pixels around points of a picture whose colour is the place.
    fn found(points: &[(f64, f64)]) -> Found {
        let face = |&(x, y): &(f64, f64)| Face {
            bounds: FaceBox { left: x - 5.0, top: y - 5.0, right: x + 5.0, bottom: y + 5.0 },
            landmarks: Landmarks::from_points([Point::new(x, y); 5]),
            score: 1.0,
        };
        let faces: Vec<Face> = points.iter().map(face).collect();
        let picture = RgbImage::from_fn(60, 40, |x, y| Rgb([x as u8, y as u8, 1]));
        Found { heads: Heads { picture, turned: Turn::None, faces: faces.clone() }, faces, seen: Vec::new() }
    }

    #[test]
    fn every_face_gets_its_own_embeddings() {
        let mut pictures = [found(&[]), found(&[(10.0, 20.0), (40.0, 30.0)]), found(&[]), found(&[(50.0, 8.0)])];
        see_all(&mut pictures, [&Colour(1.0) as &dyn Recogniser, &Colour(2.0)]).unwrap();
        let seen: Vec<&[Seen]> = pictures.iter().map(|found| found.seen.as_slice()).collect();
        let both = |x: f32, y: f32| vec![array![x, y, 1.0], array![2.0 * x, 2.0 * y, 2.0]];
        assert_eq!(seen, [&[][..], &[both(10.0, 20.0), both(40.0, 30.0)], &[], &[both(50.0, 8.0)]]);
    }

    #[test]
    fn only_faces_that_are_there_have_a_head_and_a_side() {
        let [none, left, right] = [found(&[]), found(&[(10.0, 20.0)]), found(&[(31.0, 20.0)])];
        assert_eq!([&none, &left, &right].map(Found::on_the_right), [false, false, true]);
        assert_eq!((none.mask(0), left.mask(1)), (None, None));
        assert_eq!(left.mask(0).map(|mask| (mask[(10, 20)][0], mask[(30, 20)][0])), Some((255, 0)));
        // Five landmarks in one place are no face.
        assert!(left.aligned().is_none());
    }
}
