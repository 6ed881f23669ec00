//! Identities as other tools read them.

use std::path::Path;

use idembed_weights::TensorFile;
use tch::{Kind, Tensor};

use crate::{Identity, Result};

/// The tensor's name in an embedding file, which the usual tools look for.
const EMBEDDING_KEY: &str = "emb_params";

/// One vector in place of an identity's many, and what that costs.
#[derive(Debug)]
pub struct Embedding {
    /// The mean of the K and V rows of all stages: the single vector closest to all of them. `[1, hidden]`, f32.
    pub vector: Tensor,
    /// How many rows it stands for.
    pub rows: usize,
    /// Root mean square distance of those rows from the vector, relative to the vector's length; 0 if nothing is lost.
    pub spread: f64,
}

impl Embedding {
    /// The single vector that is closest to an identity.
    pub fn of(identity: &Identity) -> Result<Self> {
        let rows = Tensor::f_cat(&[&identity.k, &identity.v], 0)?;
        let count = rows.size().first().map_or(0, |&rows| rows as usize);
        let vector = rows.f_mean_dim(0, true, Kind::Float)?;
        let squared = rows.f_sub(&vector)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / count as f64;
        let length = vector.f_norm()?.f_double_value(&[])?;
        let spread = if squared == 0.0 { 0.0 } else { squared.sqrt() / length };
        Ok(Embedding { vector, rows: count, spread })
    }

    /// What other tools cannot know of this identity, in one sentence.
    pub fn loss(&self) -> String {
        if self.spread == 0.0 {
            return "nothing is lost: all vectors of this identity are the same".to_owned();
        }
        format!(
            "{} vectors (keys and values of every stage) become their mean; they lie {:.0} % of its length away from it",
            self.rows,
            100.0 * self.spread
        )
    }

    /// Writes the embedding file: the vector as `emb_params`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut file = TensorFile::default();
        file.tensors.insert(EMBEDDING_KEY.to_owned(), self.vector.shallow_clone());
        file.metadata.insert("format".to_owned(), "pt".to_owned());
        Ok(file.write(path)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::identity::example;

    fn identity(k: &[f32], v: &[f32]) -> Identity {
        let rows = |values: &[f32]| Tensor::from_slice(values).view([-1, 2]);
        Identity { k: rows(k), v: rows(v), ..example() }
    }

    #[test]
    fn one_vector_is_exported_as_it_is() {
        let embedding = Embedding::of(&identity(&[0.1, -0.7], &[0.1, -0.7])).unwrap();
        assert!(embedding.vector.equal(&Tensor::from_slice(&[0.1f32, -0.7]).view([1, 2])));
        assert_eq!(embedding.spread, 0.0);
    }

    #[test]
    fn many_become_their_mean() {
        let embedding = Embedding::of(&identity(&[3.0, 0.0, 3.0, 0.0], &[3.0, 4.0, 3.0, 4.0])).unwrap();
        assert_eq!((embedding.rows, embedding.vector.double_value(&[0, 1])), (4, 2.0));
        assert!((embedding.spread - 2.0 / 13.0f64.sqrt()).abs() < 1e-6);
    }
}
