//! What all recognisers share: batches in, vectors out, and how two vectors compare.

use image::RgbImage;
use ndarray::{Array2, ArrayView1};
use tch::{Kind, Tensor};

use crate::{FaceError, FaceResult};

/// Pictures that a network looks at together: enough to keep all cores busy, few enough for any memory.
const BATCH: usize = 16;

/// Applies `forward` to some pictures at a time, and brings what comes out to length 1.
///
/// # Shapes
/// - `forward`: pictures to `[pictures, dimension]`
/// - returns: `[crops, dimension]`
pub(super) fn embed_all(
    crops: &[RgbImage],
    dimension: usize,
    forward: impl Fn(&[RgbImage]) -> FaceResult<Tensor>,
) -> FaceResult<Array2<f32>> {
    in_batches(crops, dimension, |some| {
        let vectors = forward(some)?.f_to_kind(Kind::Float)?;
        let lengths = vectors.f_norm_scalaropt_dim(2, [1], true)?;
        Ok(vectors.f_div(&lengths.f_clamp_min(1e-12)?)?)
    })
}

/// As [`embed_all`], and leaves the lengths as they are.
pub(super) fn in_batches(
    crops: &[RgbImage],
    dimension: usize,
    forward: impl Fn(&[RgbImage]) -> FaceResult<Tensor>,
) -> FaceResult<Array2<f32>> {
    let mut values = vec![0.0_f32; crops.len() * dimension];
    for (some, rows) in crops.chunks(BATCH).zip(values.chunks_mut(BATCH * dimension)) {
        let vectors = forward(some)?.f_to_kind(Kind::Float)?;
        vectors.f_contiguous()?.f_copy_data(rows, some.len() * dimension)?;
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(FaceError::NotFinite);
    }
    Ok(Array2::from_shape_fn((crops.len(), dimension), |(row, column)| values[row * dimension + column]))
}

/// The cosine of the angle between two embeddings: 1 for the same direction, 0 for unrelated ones.
///
/// NaN where there is no such angle: for vectors of different lengths, or one of zeros alone.
pub fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    if a.len() != b.len() {
        return f32::NAN;
    }
    let dot = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

/// The Euclidean distance of two embeddings: 0 for the same, no upper limit. NaN for vectors of different lengths.
pub fn distance(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    if a.len() != b.len() {
        return f32::NAN;
    }
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt() as f32
}

#[cfg(test)]
mod tests {
    use ndarray::{array, aview1};
    use tch::Device;

    use super::*;

    #[test]
    fn the_cosine_knows_directions_alone() {
        let a = array![1.0_f32, 2.0, -2.0];
        assert_eq!(cosine(a.view(), (&a * 7.5).view()), 1.0);
        assert_eq!(cosine(a.view(), (&a * -0.1).view()), -1.0);
        assert_eq!(cosine(a.view(), aview1(&[2.0, -1.0, 0.0])), 0.0);
        // 3 / (3 * sqrt(2)).
        assert_eq!(cosine(a.view(), aview1(&[1.0, 1.0, 0.0])), std::f32::consts::FRAC_1_SQRT_2);
    }

    #[test]
    fn without_an_angle_there_is_no_cosine() {
        assert!(cosine(aview1(&[1.0, 2.0]), aview1(&[1.0, 2.0, 3.0])).is_nan());
        assert!(cosine(aview1(&[0.0, 0.0]), aview1(&[1.0, 2.0])).is_nan());
        assert!(cosine(aview1(&[]), aview1(&[])).is_nan());
    }

    #[test]
    fn the_distance_is_that_of_points() {
        assert_eq!(distance(aview1(&[1.0, 2.0, 3.0]), aview1(&[1.0, 5.0, -1.0])), 5.0);
        assert_eq!(distance(aview1(&[]), aview1(&[])), 0.0);
        assert!(distance(aview1(&[1.0]), aview1(&[1.0, 2.0])).is_nan());
    }

    fn flat(value: f32) -> impl Fn(&[RgbImage]) -> FaceResult<Tensor> {
        move |some| Ok(Tensor::full([some.len() as i64, 4], f64::from(value), (Kind::Float, Device::Cpu)))
    }

    #[test]
    fn every_vector_has_length_one() {
        for crops in [0, 1, BATCH, BATCH + 1, 2 * BATCH + 3] {
            let pictures = vec![RgbImage::new(2, 2); crops];
            let embeddings = embed_all(&pictures, 4, flat(3.0)).map_err(|error| error.to_string());
            assert_eq!(embeddings, Ok(Array2::from_elem((crops, 4), 0.5)), "{crops} crops");
            let as_they_are = in_batches(&pictures, 4, flat(3.0)).map_err(|error| error.to_string());
            assert_eq!(as_they_are, Ok(Array2::from_elem((crops, 4), 3.0)), "{crops} crops");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for value in [f32::NAN, f32::INFINITY] {
            assert!(matches!(embed_all(&[RgbImage::new(2, 2)], 4, flat(value)), Err(FaceError::NotFinite)));
        }
    }
}
