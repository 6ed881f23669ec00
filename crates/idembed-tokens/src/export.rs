//! Identities as other tools read them.

mod comfy;
mod prompt_editing;
mod staged;

use std::path::Path;

use idembed_weights::TensorFile;
use tch::{Kind, Tensor};

pub use prompt_editing::{Schedule, Switches};
pub use staged::{Half, StagedEmbeddings};

use crate::identity::EncoderRows;
use crate::{Identity, Result, TokensError};

/// The tensor's name in an embedding file for one text encoder, which the usual tools look for.
const EMBEDDING_KEY: &str = "emb_params";

/// The tensors' names for the two text encoders of SDXL: CLIP ViT-L and OpenCLIP ViT-bigG.
const EMBEDDING_KEYS_OF_TWO: [&str; 2] = ["clip_l", "clip_g"];

/// One vector for each word in place of an identity's many, and what that costs.
#[derive(Debug)]
pub struct Embedding {
    /// For each text encoder the means, word by word, of the K and V rows of all stages and layers: the vectors closest to all
    /// of them. `[words, hidden]`, f32.
    pub vectors: Vec<Tensor>,
    /// How many rows each stands for.
    pub rows: usize,
    /// Root mean square distance of those rows from their vector, relative to the vectors' length, those of all text encoders
    /// side by side; 0 if nothing is lost.
    pub spread: f64,
    /// Whether the identity changes weights of the U-Net, which an embedding cannot hold.
    pub leaves_weights: bool,
}

impl Embedding {
    /// The vectors that are closest to an identity.
    pub fn of(identity: &Identity) -> Result<Self> {
        Self::of_rows(identity, &[side_by_side(identity, false)?, side_by_side(identity, true)?])
    }

    /// The vectors that are closest to those of one stage.
    fn of_stage(identity: &Identity, stage: usize, half: Half) -> Result<Self> {
        let (first, last) = (identity.places(stage, 0).start, identity.places(stage, identity.layers - 1).end);
        let rows = |value| -> Result<Tensor> {
            Ok(side_by_side(identity, value)?.f_narrow(0, first as i64, (last - first) as i64)?)
        };
        match half {
            Half::Mean => Self::of_rows(identity, &[rows(false)?, rows(true)?]),
            Half::Keys => Self::of_rows(identity, &[rows(false)?]),
            Half::Values => Self::of_rows(identity, &[rows(true)?]),
        }
    }

    /// The means, word by word, of some rows of an identity, those of all text encoders side by side.
    fn of_rows(identity: &Identity, rows: &[Tensor]) -> Result<Self> {
        let rows = Tensor::f_cat(rows, 0)?;
        // Words follow each other in both tables.
        let rows = rows.f_view([-1, identity.words as i64, identity.hidden()])?;
        let count = rows.size().first().map_or(0, |&rows| rows as usize);
        let vectors = rows.f_mean_dim(0, false, Kind::Float)?;
        let squared = rows.f_sub(&vectors)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / count as f64;
        let length = vectors.f_norm()?.f_double_value(&[])?;
        let spread = if squared == 0.0 { 0.0 } else { squared.sqrt() / length };
        let widths: Vec<i64> = identity.encoders.iter().map(EncoderRows::hidden).collect();
        let vectors = vectors.f_split_with_sizes(widths, 1)?;
        Ok(Embedding { vectors, rows: count, spread, leaves_weights: identity.unet.is_some() })
    }

    /// What other tools cannot know of this identity, in one sentence.
    pub fn loss(&self) -> String {
        let vectors = match self.spread {
            0.0 => "nothing is lost: all vectors of this identity are the same".to_owned(),
            spread => format!(
                "{} vectors (keys and values of every stage) become their mean; they lie {:.0} % of its length away from it",
                self.rows,
                100.0 * spread
            ),
        };
        match self.leaves_weights {
            false => vectors,
            true => {
                format!("the weights of the U-Net that this identity changes are left out; of the vectors, {vectors}")
            }
        }
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

/// An identity's rows for the keys or the values, those of all text encoders side by side.
fn side_by_side(identity: &Identity, value: bool) -> Result<Tensor> {
    let half = |rows: &EncoderRows| if value { rows.v.shallow_clone() } else { rows.k.shallow_clone() };
    Ok(Tensor::f_cat(&identity.encoders.iter().map(half).collect::<Vec<_>>(), 1)?)
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
    fn words_stay_apart_and_weights_are_missed() {
        let mut identity = identity(&[1.0, 2.0, 3.0, 4.0], &[3.0, 2.0, 3.0, 8.0]);
        identity.words = 2;
        let embedding = Embedding::of(&identity).unwrap();
        assert_eq!(embedding.rows, 2);
        assert!(embedding.vectors[0].equal(&Tensor::from_slice(&[2.0f32, 2.0, 3.0, 6.0]).view([2, 2])));
        assert!(!embedding.loss().contains("U-Net"));
        identity.unet = Some(crate::UNetChanges { sha256: String::new(), deltas: Default::default() });
        assert!(Embedding::of(&identity).unwrap().loss().contains("the U-Net that this identity changes are left out"));
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
