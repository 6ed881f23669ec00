//! Vectors in the space that the names which a model knows span.
//!
//! Source: arXiv 2306.00926 (Celeb Basis): principal components of the embeddings of celebrities' first names, and of their
//! last names. The paper trains a small network from a face recogniser's embedding to the coefficients; with one photo it only
//! ever sees one input, and here the coefficients themselves are trained.

use tch::{Kind, Tensor};

use crate::Result;

/// The most components that are kept for each word, as published.
const MOST_COMPONENTS: i64 = 512;

/// Vectors that are trained as coefficients of principal components, in standard deviations of the names along each.
#[derive(Debug)]
pub(crate) struct Basis {
    start: Tensor,
    /// `[words, components, hidden]`, each component as long as the names' standard deviation along it.
    components: Tensor,
    coefficients: Tensor,
}

impl Basis {
    /// # Shapes
    /// - `start`: `[rows, hidden]`, word after word
    /// - `names`: `[names, words, hidden]`
    ///
    /// # Errors
    /// libtorch finds no components.
    pub(crate) fn new(start: &Tensor, names: &Tensor) -> Result<Self> {
        let (_, words, _) = names.size3()?;
        let start = start.f_detach()?.f_to_kind(Kind::Float)?;
        let components = (0..words).map(|word| principal_components(&names.f_select(1, word)?));
        let components = Tensor::f_stack(&components.collect::<Result<Vec<_>>>()?, 0)?;
        let shape = [start.size()[0], components.size()[1]];
        let coefficients = Tensor::f_zeros(shape, (Kind::Float, start.device()))?.f_set_requires_grad(true)?;
        Ok(Basis { start, components, coefficients })
    }

    /// What is trained, `[rows, components]`.
    pub(crate) fn coefficients(&self) -> &Tensor {
        &self.coefficients
    }

    /// # Shapes
    /// - returns: `[rows, hidden]`, f32
    pub(crate) fn forward(&self) -> Result<Tensor> {
        let (words, components, hidden) = self.components.size3()?;
        // [rows / words, words, 1, components] @ [words, components, hidden]
        let coefficients = self.coefficients.f_view([-1, words, 1, components])?;
        let moved = coefficients.f_matmul(&self.components)?.f_view([-1, hidden])?;
        Ok(self.start.f_add(&moved)?)
    }
}

/// The principal components of vectors, the largest first, each times the standard deviation along it.
///
/// # Shapes
/// - `vectors`: `[count, hidden]`
/// - returns: `[components, hidden]`: as many as the vectors can have, 512 at most
fn principal_components(vectors: &Tensor) -> Result<Tensor> {
    let (count, hidden) = vectors.size2()?;
    let vectors = vectors.f_to_kind(Kind::Float)?;
    let centred = vectors.f_sub(&vectors.f_mean_dim(0i64, true, Kind::Float)?)?;
    let (_, singular, directions) = centred.f_svd(true, true)?;
    let kept = MOST_COMPONENTS.min(count - 1).min(hidden);
    let deviations = singular.f_narrow(0, 0, kept)?.f_div_scalar(((count - 1) as f64).sqrt())?;
    Ok(directions.f_transpose(0, 1)?.f_narrow(0, 0, kept)?.f_mul(&deviations.f_unsqueeze(1)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    /// Points on a line through (1, 2) along (3, 4), with a little beside it.
    fn names() -> Tensor {
        let rows: [[f32; 2]; 4] = [[1.0 - 6.0, 2.0 - 8.0], [1.0 + 6.0, 2.0 + 8.0], [1.0 - 0.4, 2.0 + 0.3], [1.4, 1.7]];
        Tensor::from_slice(rows.as_flattened()).view([4, 1, 2])
    }

    #[test]
    fn components_are_the_names_own_directions_and_deviations() {
        let components = principal_components(&names().select(1, 0)).unwrap();
        assert_eq!(components.size(), [2, 2]);
        // numpy: cov = x.T @ x / 3 has the eigenvalues 200 / 3 along (0.6, 0.8) and 0.5 / 3 across it.
        let lengths: Vec<f32> = components.norm_scalaropt_dim(2.0, [1i64], false).try_into().unwrap();
        assert!((lengths[0] - (200f32 / 3.0).sqrt()).abs() < 1e-4 && (lengths[1] - (0.5f32 / 3.0).sqrt()).abs() < 1e-4);
        let first: Vec<f32> = (components.get(0) / f64::from(lengths[0])).abs().try_into().unwrap();
        assert!((first[0] - 0.6).abs() < 1e-5 && (first[1] - 0.8).abs() < 1e-5);
    }

    #[test]
    fn coefficients_move_each_word_along_its_own_components() {
        let names = Tensor::cat(&[names(), names() * 2.0], 1);
        let start = Tensor::from_slice(&[1.0f32, 2.0, 2.0, 4.0]).view([2, 2]);
        let basis = Basis::new(&start, &names).unwrap();
        assert!(basis.forward().unwrap().equal(&start));
        assert_eq!(basis.coefficients().size(), [2, 2]);
        let _ = tch::no_grad(|| basis.coefficients.shallow_clone().get(1).get(0).fill_(0.5));
        let moved = basis.forward().unwrap() - &start;
        assert_eq!(moved.get(0).abs().sum(Kind::Float).double_value(&[]), 0.0);
        let expected = basis.components.get(1).get(0) * 0.5;
        assert!((moved.get(1) - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
