//! How different the pictures of one prompt are.

use idembed_face::recognise::cosine;
use ndarray::ArrayView1;

use crate::person::mean;

/// For each picture of a prompt, 1 less the mean cosine of its face's embedding to those of the others.
///
/// `None` for a picture without a face, and where no other has one.
pub fn diversity(faces: &[Option<ArrayView1<'_, f32>>]) -> Vec<Option<f64>> {
    let to_others = |(place, face): (usize, &Option<ArrayView1<'_, f32>>)| {
        let others = faces.iter().enumerate().filter(|(other, _)| *other != place);
        let face = (*face)?;
        mean(others.filter_map(|(_, other)| Some(f64::from(cosine(face, (*other)?))))).map(|alike| 1.0 - alike)
    };
    faces.iter().enumerate().map(to_others).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::aview1;

    use super::*;

    #[test]
    fn each_is_compared_with_all_others_that_show_a_face() {
        let (right, up, left) = (aview1(&[1.0, 0.0]), aview1(&[0.0, 1.0]), aview1(&[-1.0, 0.0]));
        let found = diversity(&[Some(right), None, Some(up), Some(left), Some(right)]);
        assert_eq!(found, [Some(1.0), None, Some(1.0), Some(1.0 + 2.0 / 3.0), Some(1.0)]);
        assert_eq!(diversity(&[Some(up), Some(up)]), [Some(0.0), Some(0.0)]);
        assert_eq!(diversity(&[None, Some(up)]), [None, None]);
        assert_eq!(diversity(&[]), []);
    }
}
