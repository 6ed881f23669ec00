//! The faces of a picture, and which of them count.

use idembed_face::align::Similarity;
use idembed_face::detect::Mtcnn;
use idembed_face::mask::head_mask;
use idembed_face::select::choose;
use idembed_face::{Face, Search, Turn, search};
use image::{GrayImage, RgbImage, imageops};

use crate::Result;

/// A picture and all faces in it.
#[derive(Debug)]
pub(crate) struct Heads {
    /// Turned upright if the faces were only found so.
    pub(crate) picture: RgbImage,
    /// By how much it was turned.
    pub(crate) turned: Turn,
    /// In the coordinates of `picture`.
    pub(crate) faces: Vec<Face>,
}

impl Heads {
    /// Looks for faces as for a photo to learn from: in other views, too, if there are none in the picture as it is.
    pub(crate) fn find(detector: &Mtcnn, picture: &RgbImage) -> Result<Self> {
        let Search { picture, faces, view, .. } = search(detector, picture.clone())?;
        Ok(Heads { picture, turned: view.turned, faces })
    }

    /// The face of a picture of one person: the largest near the middle.
    pub(crate) fn one(&self) -> Option<Face> {
        largest(&self.faces, &self.picture).map(|index| self.faces[index])
    }

    /// The faces of a picture of two people: the two largest near the middle, from left to right.
    pub(crate) fn two(&self) -> Vec<Face> {
        let mut left = self.faces.clone();
        let next = |left: &mut Vec<Face>| largest(left, &self.picture).map(|index| left.remove(index));
        let mut two: Vec<Face> = [next(&mut left), next(&mut left)].into_iter().flatten().collect();
        two.sort_by(|a, b| a.bounds.centre().x.total_cmp(&b.bounds.centre().x));
        two
    }

    /// The head of a face in the picture as it was before it was turned: white inside.
    pub(crate) fn mask(&self, face: &Face) -> GrayImage {
        let (width, height) = self.picture.dimensions();
        let mask = head_mask(face, width, height, &Similarity::IDENTITY);
        match self.turned {
            Turn::None => mask,
            Turn::Quarter => imageops::rotate270(&mask),
            Turn::Half => imageops::rotate180(&mask),
            Turn::ThreeQuarters => imageops::rotate90(&mask),
        }
    }
}

fn largest(faces: &[Face], picture: &RgbImage) -> Option<usize> {
    choose(faces, picture.width(), picture.height(), None).ok().map(|choice| choice.index)
}

#[cfg(test)]
mod tests {
    use idembed_face::{FaceBox, Landmarks, Point};
    use image::Luma;

    use super::*;

    /// A face of 20 pixels around a point, without usable landmarks.
    fn face(x: f64, y: f64, side: f64) -> Face {
        let bounds =
            FaceBox { left: x - side / 2.0, top: y - side / 2.0, right: x + side / 2.0, bottom: y + side / 2.0 };
        Face { bounds, landmarks: Landmarks::from_points([Point::new(x, y); 5]), score: 1.0 }
    }

    fn heads(faces: &[Face], turned: Turn) -> Heads {
        Heads { picture: RgbImage::new(200, 100), turned, faces: faces.to_vec() }
    }

    #[test]
    fn the_largest_near_the_middle_count_from_left_to_right() {
        let [small, left, right] = [face(100.0, 50.0, 10.0), face(60.0, 50.0, 40.0), face(150.0, 50.0, 36.0)];
        let heads = heads(&[right, small, left], Turn::None);
        assert_eq!(heads.one(), Some(left));
        assert_eq!(heads.two(), [left, right]);
        assert_eq!(Heads { faces: vec![small], ..heads }.two(), [small]);
    }

    #[test]
    fn without_faces_there_are_none() {
        let heads = heads(&[], Turn::None);
        assert_eq!((heads.one(), heads.two()), (None, vec![]));
    }

    #[test]
    fn the_mask_lies_on_the_picture_as_it_was() {
        // In the upper left corner of the turned picture.
        let face = face(30.0, 20.0, 20.0);
        for (turned, size, at) in [
            (Turn::None, (200, 100), (30, 20)),
            (Turn::Quarter, (100, 200), (20, 169)),
            (Turn::Half, (200, 100), (169, 79)),
            (Turn::ThreeQuarters, (100, 200), (79, 30)),
        ] {
            let mask = heads(&[face], turned).mask(&face);
            assert_eq!(mask.dimensions(), size, "{turned}");
            assert_eq!(mask.get_pixel(at.0, at.1), &Luma([255]), "{turned}");
            let covered = mask.pixels().filter(|pixel| pixel[0] > 127).count();
            assert!((300..600).contains(&covered), "{turned}: {covered}");
            // What was turned for the mask is the picture.
            let mut picture = RgbImage::new(size.0, size.1);
            picture.put_pixel(at.0, at.1, image::Rgb([255; 3]));
            assert_eq!(turned.of(&picture).get_pixel(30, 20)[0], 255, "{turned}");
        }
    }
}
