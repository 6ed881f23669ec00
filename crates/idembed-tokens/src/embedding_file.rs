//! Embeddings of other tools: vectors that stand for a word, read as an identity of one stage whose keys and values are the same.
//!
//! Read are `emb_params` (AUTOMATIC1111's web UI), a pair `clip_l` and `clip_g` (the same, for SDXL), and one tensor under the
//! name of its word (diffusers' `learned_embeds`); one vector or several, in any format of numbers. Such files do not say which
//! text encoder they are for, so only widths are checked.

use std::path::Path;

use idembed_diffusion::schedulers::PredictionType;
use idembed_layouts::{Family, Kind};
use idembed_weights::{Files, Listing, Source};
use tch::Kind as Format;

use crate::identity::EncoderRows;
use crate::{Identity, Result, TokensError};

/// What stands as the method of an embedding.
const METHOD: &str = "embedding";

/// The names of SDXL's pair, in the order of the text encoders.
const PAIR: [&str; 2] = ["clip_l", "clip_g"];

impl Identity {
    /// Reads an embedding of another tool; it takes as many words as it has vectors.
    ///
    /// # Errors
    /// Not readable, a pickle, a file that is no embedding, or numbers that are none or all 0.
    pub fn read_embedding(name: &str, path: &Path) -> Result<Self> {
        let listing = idembed_diffusion::read_listing(path)?;
        let refused = |what: String| TokensError::Embedding { path: path.to_path_buf(), what };
        let words = match Kind::of(&listing) {
            Kind::Embedding { vectors, .. } => vectors,
            other => return Err(refused(format!("it is no embedding: {other}"))),
        };
        let words = usize::try_from(words).ok().filter(|&words| words > 0);
        let words = words.ok_or_else(|| refused("it holds no vector".to_owned()))?;
        let files = Files::open(path)?;
        let encoders = names(&listing).into_iter().map(|tensor| {
            let stored = files.stored(tensor).map_err(|error| refused(error.to_string()))?;
            let rows = stored.tensor().f_to_kind(Format::Float)?.f_reshape([words as i64, -1])?;
            if rows.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(refused(format!("tensor `{tensor}` holds NaN or infinity")));
            }
            if rows.f_any()?.f_int64_value(&[])? == 0 {
                return Err(refused(format!("all numbers of tensor `{tensor}` are 0")));
            }
            Ok(EncoderRows { k: rows.copy(), v: rows.copy(), sha256: String::new() })
        });
        Ok(Identity {
            name: name.to_owned(),
            class: String::new(),
            method: METHOD.to_owned(),
            encoders: encoders.collect::<Result<_>>()?,
            layers: 1,
            words,
            unet: None,
            train_timesteps: 1000,
            base_model: String::new(),
            prediction_type: PredictionType::Epsilon,
            lambda: 0.0,
            attention_reduction: None,
            steps: 0,
            seed: 0,
            started_from: None,
            blended_from: Vec::new(),
            created_by: String::new(),
        })
    }

    /// Whether it is an embedding of another tool, which says nothing of what it was learned with.
    pub fn is_embedding(&self) -> bool {
        self.method == METHOD
    }

    /// Fails if an embedding is for other text encoders than these, by their widths.
    pub(crate) fn check_widths(&self, expected: &[i64]) -> Result<()> {
        let got: Vec<i64> = self.encoders.iter().map(EncoderRows::hidden).collect();
        if got == expected {
            return Ok(());
        }
        let family = Family::of_text_width(got.iter().sum())
            .map_or_else(String::new, |family| format!(", as {family} takes them"));
        let shown = |widths: &[i64]| widths.iter().map(i64::to_string).collect::<Vec<_>>().join(" + ");
        let (name, got, expected) = (self.name.clone(), shown(&got), shown(expected));
        Err(TokensError::EmbeddingWidth { name, got, family, expected })
    }
}

/// The names of the tensors in the order of the text encoders.
fn names(listing: &Listing) -> Vec<&str> {
    match PAIR.iter().all(|name| listing.shape(name).is_some()) {
        true => PAIR.to_vec(),
        false => listing.tensors.keys().map(String::as_str).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use tch::{Device, Tensor};

    use super::*;

    fn written(tensors: &[(&str, Tensor)]) -> Result<Identity> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        Tensor::write_safetensors(tensors, &path).unwrap();
        Identity::read_embedding("x", &path)
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Format::Float, Device::Cpu))
    }

    #[test]
    fn every_form_is_read() {
        let rows = random(&[3, 8]);
        let several = written(&[("emb_params", rows.to_kind(Format::BFloat16))]).unwrap();
        assert_eq!((several.words, several.stages(), several.hidden()), (3, 1, 8));
        assert!(several.is_embedding() && several.encoders[0].k.equal(&several.encoders[0].v));
        assert!(several.encoders[0].k.equal(&rows.to_kind(Format::BFloat16).to_kind(Format::Float)));
        let one = written(&[("<cat-toy>", rows.get(0))]).unwrap();
        assert_eq!((one.words, one.encoders[0].k.size()), (1, vec![1, 8]));
        let pair = written(&[("clip_g", random(&[2, 12])), ("clip_l", random(&[2, 8]))]).unwrap();
        let widths: Vec<i64> = pair.encoders.iter().map(EncoderRows::hidden).collect();
        assert_eq!((pair.words, widths), (2, vec![8, 12]));
        pair.check_widths(&[8, 12]).unwrap();
    }

    #[test]
    fn what_is_no_embedding_is_refused() {
        let refused = |tensors: &[(&str, Tensor)]| match written(tensors).unwrap_err() {
            TokensError::Embedding { what, .. } => what,
            other => other.to_string(),
        };
        assert!(refused(&[("emb_params", random(&[2, 8]) / 0.0)]).contains("`emb_params` holds NaN or infinity"));
        assert_eq!(refused(&[("emb_params", random(&[2, 8]) * 0.0)]), "all numbers of tensor `emb_params` are 0");
        let half = [("clip_g", random(&[2, 12])), ("clip_l", random(&[2, 8]) * 0.0)];
        assert_eq!(refused(&half), "all numbers of tensor `clip_l` are 0");
        assert_eq!(refused(&[("emb_params", random(&[0, 8]))]), "it holds no vector");
        assert!(refused(&[("clip_g", random(&[2, 12])), ("clip_l", random(&[1, 8]))]).contains("it is no embedding"));
        assert!(
            refused(&[("x.lora_down.weight", random(&[2, 8])), ("x.lora_up.weight", random(&[8, 2]))]).contains("LoRA")
        );
        assert!(refused(&[("conv.weight", random(&[2, 8]))]).contains("it is no embedding: weights of another kind"));
    }

    #[test]
    fn another_width_names_the_family() {
        let sd2 = written(&[("emb_params", random(&[1, 1024]))]).unwrap();
        let expected =
            "the embedding <x> has vectors of 1024 numbers, as Stable Diffusion 2.x takes them; this model needs 768";
        assert_eq!(sd2.check_widths(&[768]).unwrap_err().to_string(), expected);
        let sdxl = written(&[("clip_g", random(&[2, 1280])), ("clip_l", random(&[2, 768]))]).unwrap();
        let error = sdxl.check_widths(&[768]).unwrap_err().to_string();
        assert!(error.contains("768 + 1280 numbers, as SDXL takes them"), "{error}");
        let odd = written(&[("emb_params", random(&[1, 7]))]).unwrap().check_widths(&[768]).unwrap_err().to_string();
        assert_eq!(odd, "the embedding <x> has vectors of 7 numbers; this model needs 768");
    }
}
