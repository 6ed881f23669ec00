//! Identities as other tools read them.

use std::path::Path;

use idembed_weights::TensorFile;
use tch::{Kind, Tensor};

use crate::identity::EncoderRows;
use crate::{Identity, Result, TokensError};

/// The tensor's name in an embedding file for one text encoder, which the usual tools look for.
const EMBEDDING_KEY: &str = "emb_params";

/// The tensors' names for the two text encoders of SDXL: CLIP ViT-L and OpenCLIP ViT-bigG.
const EMBEDDING_KEYS_OF_TWO: [&str; 2] = ["clip_l", "clip_g"];

/// One vector in place of an identity's many, and what that costs.
#[derive(Debug)]
pub struct Embedding {
    /// For each text encoder the mean of the K and V rows of all stages: the single vector closest to all of them.
    /// `[1, hidden]`, f32.
    pub vectors: Vec<Tensor>,
    /// How many rows each stands for.
    pub rows: usize,
    /// Root mean square distance of those rows from the vector, relative to the vector's length, those of all text encoders
    /// side by side; 0 if nothing is lost.
    pub spread: f64,
}

impl Embedding {
    /// The single vector that is closest to an identity.
    pub fn of(identity: &Identity) -> Result<Self> {
        let side_by_side = |half: fn(&EncoderRows) -> &Tensor| {
            Tensor::f_cat(&identity.encoders.iter().map(half).collect::<Vec<_>>(), 1)
        };
        let rows = Tensor::f_cat(&[side_by_side(|rows| &rows.k)?, side_by_side(|rows| &rows.v)?], 0)?;
        let count = rows.size().first().map_or(0, |&rows| rows as usize);
        let vector = rows.f_mean_dim(0, true, Kind::Float)?;
        let squared = rows.f_sub(&vector)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / count as f64;
        let length = vector.f_norm()?.f_double_value(&[])?;
        let spread = if squared == 0.0 { 0.0 } else { squared.sqrt() / length };
        let widths: Vec<i64> = identity.encoders.iter().map(EncoderRows::hidden).collect();
        let vectors = vector.f_split_with_sizes(widths, 1)?;
        Ok(Embedding { vectors, rows: count, spread })
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

    /// Writes the embedding file: the vector as `emb_params`; for two text encoders, as `clip_l` and `clip_g`.
    ///
    /// # Errors
    /// The file cannot be written, or other tools know no file for so many text encoders.
    pub fn write(&self, path: &Path) -> Result<()> {
        let keys: &[&str] = match self.vectors.len() {
            1 => &[EMBEDDING_KEY],
            2 => &EMBEDDING_KEYS_OF_TWO,
            other => {
                let (got, expected) = (other.to_string(), "1 or 2 in an embedding".to_owned());
                return Err(TokensError::Setting { what: "number of text encoders", got, expected });
            }
        };
        let mut file = TensorFile::default();
        for (key, vector) in keys.iter().zip(&self.vectors) {
            file.tensors.insert((*key).to_owned(), vector.f_contiguous()?);
        }
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
        Identity { encoders: vec![EncoderRows { k: rows(k), v: rows(v), sha256: String::new() }], ..example() }
    }

    #[test]
    fn one_vector_is_exported_as_it_is() {
        let embedding = Embedding::of(&identity(&[0.1, -0.7], &[0.1, -0.7])).unwrap();
        assert!(embedding.vectors[0].equal(&Tensor::from_slice(&[0.1f32, -0.7]).view([1, 2])));
        assert_eq!(embedding.spread, 0.0);
    }

    #[test]
    fn many_become_their_mean() {
        let embedding = Embedding::of(&identity(&[3.0, 0.0, 3.0, 0.0], &[3.0, 4.0, 3.0, 4.0])).unwrap();
        assert_eq!((embedding.rows, embedding.vectors[0].double_value(&[0, 1])), (4, 2.0));
        assert!((embedding.spread - 2.0 / 13.0f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn two_text_encoders_have_a_vector_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        let mut two = identity(&[3.0, 0.0], &[3.0, 4.0]);
        two.encoders.push(EncoderRows {
            k: Tensor::from_slice(&[1.0f32]).view([1, 1]),
            v: Tensor::from_slice(&[5.0f32]).view([1, 1]),
            sha256: String::new(),
        });
        let embedding = Embedding::of(&two).unwrap();
        assert!((embedding.spread - (8.0f64 / 22.0).sqrt()).abs() < 1e-6);
        embedding.write(&path).unwrap();
        let file = TensorFile::read(&path, "embedding", 1 << 20).unwrap();
        assert!(file.tensors["clip_l"].equal(&Tensor::from_slice(&[3.0f32, 2.0]).view([1, 2])));
        assert!(file.tensors["clip_g"].equal(&Tensor::from_slice(&[3.0f32]).view([1, 1])));
        assert_eq!(file.tensors.len(), 2);

        two.encoders.push(two.encoders[0].clone());
        assert!(matches!(Embedding::of(&two).unwrap().write(&path), Err(TokensError::Setting { .. })));
    }
}
