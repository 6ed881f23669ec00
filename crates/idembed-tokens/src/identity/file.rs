//! The identity file: what is learned, as one small safetensors file.
//!
//! Tensors `k.0` and `v.0`, f32 `[stages, hidden]`: the rows to put at the placeholder's position at the input of the first
//! text encoder, row 0 for the noisiest stage; `k.1` and `v.1` for a second one, and so on. Metadata say what they were
//! learned from. No photo and no path is in it. Version 1 knew one text encoder and called its tensors `k` and `v`.
//!
//! Version 3 also holds identities that take several words, have rows for each cross-attention layer, or change weights of the
//! U-Net: `k.0` is `[stages * layers * words, hidden]`, by stage, by layer, by word, with `layers` and `words` among the
//! metadata; `unet.NAME`, f16, is added to the U-Net's tensor `NAME`, of the U-Net with the fingerprint `unet_sha256`. An
//! identity without any of that is written as version 2.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_attention::Reduction;
use idembed_weights::TensorFile;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::{EncoderRows, Identity};
use crate::blend::Ingredient;
use crate::error::FileError;
use crate::prompt::is_identity_name;
use crate::unet_changes::UNetChanges;
use crate::{Result, TokensError};

/// The format of identities of one word, the same in all layers, without weights.
const FORMAT: &str = "idembed-identity/2";

/// The format of all others.
const FORMAT_3: &str = "idembed-identity/3";

/// An older format, for one text encoder, that is read as well.
const FORMAT_1: &str = "idembed-identity/1";

/// The largest file that is read: above an identity that changes all weights of the largest U-Net.
const SIZE_LIMIT: u64 = 8 << 30;

/// Before the names of changed weights.
const UNET_PREFIX: &str = "unet.";

const WHAT: &str = "identity file";

const ATTENTION_REDUCTION: &str = "attention_reduction";

const UNET_SHA256: &str = "unet_sha256";

const STARTED_FROM: &str = "started_from";

const BLENDED_FROM: &str = "blended_from";

const NONE: &str = "none";

impl Identity {
    /// Reads and checks an identity file.
    ///
    /// # Errors
    /// Not readable, not safetensors, another format or version, tensors or metadata missing, misshapen, of another
    /// dtype or not finite, or metadata that contradict the tensors.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path, WHAT, SIZE_LIMIT)?;
        Self::parse(file).map_err(|source| TokensError::File { path: path.to_path_buf(), what: WHAT, source })
    }

    /// Writes the identity file; an existing one is replaced as a whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(self.file().write(path)?)
    }

    /// SHA-256 of the identity file, as hexadecimal digits.
    pub fn sha256(&self) -> Result<String> {
        Ok(hex::encode(Sha256::digest(self.file().to_bytes()?)))
    }

    fn file(&self) -> TensorFile {
        let tensors = self.encoders.iter().enumerate().flat_map(|(index, rows)| {
            [(format!("k.{index}"), rows.k.shallow_clone()), (format!("v.{index}"), rows.v.shallow_clone())]
        });
        let changes = self.unet.iter().flat_map(|unet| &unet.deltas);
        let changes = changes.map(|(name, delta)| (format!("{UNET_PREFIX}{name}"), delta.shallow_clone()));
        let metadata = self.metadata().into_iter().map(|(key, value)| (key.to_owned(), value));
        TensorFile { tensors: tensors.chain(changes).collect(), metadata: metadata.collect() }
    }

    /// The metadata of the file. What differs from text encoder to text encoder is listed with commas.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        let listed = |value: fn(&EncoderRows) -> String| self.encoders.iter().map(value).collect::<Vec<_>>().join(",");
        let mut metadata = vec![
            ("format", if self.is_plain() { FORMAT } else { FORMAT_3 }.to_owned()),
            ("name", self.name.clone()),
            ("class", self.class.clone()),
            ("method", self.method.clone()),
            ("encoders", self.encoders.len().to_string()),
            ("stages", self.stages().to_string()),
            ("train_timesteps", self.train_timesteps.to_string()),
            ("hidden", listed(|rows| rows.hidden().to_string())),
            ("base_model", self.base_model.clone()),
            ("text_encoder_sha256", listed(|rows| rows.sha256.clone())),
            ("prediction_type", self.prediction_type.to_string()),
            ("lambda", self.lambda.to_string()),
            (ATTENTION_REDUCTION, self.attention_reduction.map_or(NONE.to_owned(), |reduction| reduction.to_string())),
            ("steps", self.steps.to_string()),
            ("seed", self.seed.to_string()),
            ("created_by", self.created_by.clone()),
        ];
        if !self.is_plain() {
            metadata.push(("layers", self.layers.to_string()));
            metadata.push(("words", self.words.to_string()));
        }
        metadata.extend(self.started_from.clone().map(|sha256| (STARTED_FROM, sha256)));
        if !self.blended_from.is_empty() {
            let all: Vec<String> = self.blended_from.iter().map(Ingredient::to_string).collect();
            metadata.push((BLENDED_FROM, all.join(", ")));
        }
        metadata.extend(self.unet.as_ref().map(|unet| (UNET_SHA256, unet.sha256.clone())));
        metadata
    }

    fn parse(file: TensorFile) -> std::result::Result<Self, FileError> {
        let fields = Fields(&file.metadata);
        let format = fields.text("format")?;
        let (encoders, numbered) = match format.as_str() {
            FORMAT | FORMAT_3 => {
                (fields.parse("encoders", "a whole number from 1", |&encoders: &usize| encoders >= 1)?, true)
            }
            FORMAT_1 => (1, false),
            _ => return Err(FileError::Format { got: format, expected: FORMAT_3 }),
        };
        let count = |key| match format.as_str() {
            FORMAT_3 => fields.parse(key, "a whole number from 1 to 1000", |count| (1..=1000).contains(count)),
            _ => Ok(1),
        };
        let (layers, words): (usize, usize) = (count("layers")?, count("words")?);
        let stages: i64 = fields.parse("stages", "a whole number from 1", |&stages| stages >= 1)?;
        let widths: Vec<i64> = fields.list("hidden", encoders, "a whole number from 1", |&hidden| hidden >= 1)?;
        let fingerprints: Vec<String> = fields.list("text_encoder_sha256", encoders, "a fingerprint", |_| true)?;
        let rows = |half: &str, index: usize, hidden: i64| -> std::result::Result<Tensor, FileError> {
            let name = if numbered { format!("{half}.{index}") } else { half.to_owned() };
            let rows = file.tensors.get(&name).ok_or_else(|| FileError::MissingTensor(name.clone()))?;
            if rows.kind() != Kind::Float {
                return Err(FileError::Dtype { name, got: format!("{:?}", rows.kind()), expected: "F32" });
            }
            let count = stages.saturating_mul((layers * words) as i64);
            if rows.size() != [count, hidden] {
                let expected = format!("[{count}, {hidden}] (stages and hidden of the metadata)");
                return Err(FileError::Shape { name, got: rows.size(), expected });
            }
            if rows.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(FileError::NotFinite(name));
            }
            Ok(rows.shallow_clone())
        };
        let encoders = widths.into_iter().zip(fingerprints).enumerate().map(|(index, (hidden, sha256))| {
            Ok(EncoderRows { k: rows("k", index, hidden)?, v: rows("v", index, hidden)?, sha256 })
        });
        let encoders = encoders.collect::<std::result::Result<_, FileError>>()?;
        let changed = file.tensors.iter();
        let changed = changed.filter_map(|(name, delta)| Some((name.strip_prefix(UNET_PREFIX)?, delta)));
        let deltas: BTreeMap<String, Tensor> =
            changed.map(|(name, delta)| (name.to_owned(), delta.shallow_clone())).collect();
        let unet = match deltas.is_empty() {
            true => None,
            false => Some(UNetChanges { sha256: fields.text(UNET_SHA256)?, deltas }),
        };
        unet.as_ref().map_or(Ok(()), UNetChanges::check)?;
        let name = fields.text("name")?;
        if !is_identity_name(&name) {
            let expected = "letters, digits, - and _".to_owned();
            return Err(FileError::Value { key: "name", got: name, expected });
        }
        let lambda = fields.parse("lambda", "a number", |lambda: &f64| lambda.is_finite())?;
        Ok(Identity {
            name,
            class: fields.text("class")?,
            method: fields.text("method")?,
            encoders,
            layers,
            words,
            unet,
            train_timesteps: fields.parse("train_timesteps", "a whole number from 1", |&steps| steps >= 1)?,
            base_model: fields.text("base_model")?,
            prediction_type: fields.parse("prediction_type", "epsilon or v_prediction", |_| true)?,
            lambda,
            attention_reduction: match file.metadata.get(ATTENTION_REDUCTION).map(String::as_str) {
                Some(NONE) => None,
                Some(_) => Some(fields.parse(ATTENTION_REDUCTION, "a reduction that this version knows", |_| true)?),
                // Older files were learned with sums, and do not say so.
                None if lambda > 0.0 => Some(Reduction::Sum),
                None => None,
            },
            steps: fields.parse("steps", "a whole number", |_| true)?,
            seed: fields.parse("seed", "a whole number", |_| true)?,
            started_from: file.metadata.get(STARTED_FROM).cloned(),
            blended_from: fields.ingredients()?,
            created_by: fields.text("created_by")?,
        })
    }
}

/// Metadata being read.
struct Fields<'a>(&'a BTreeMap<String, String>);

impl Fields<'_> {
    fn text(&self, key: &'static str) -> std::result::Result<String, FileError> {
        self.0.get(key).cloned().ok_or(FileError::MissingKey(key))
    }

    fn parse<T: std::str::FromStr>(
        &self,
        key: &'static str,
        expected: &str,
        allowed: impl Fn(&T) -> bool,
    ) -> std::result::Result<T, FileError> {
        let got = self.text(key)?;
        let value = got.parse().ok().filter(allowed);
        value.ok_or_else(|| FileError::Value { key, got, expected: expected.to_owned() })
    }

    /// What the identity was made of; nothing if it was learned.
    fn ingredients(&self) -> std::result::Result<Vec<Ingredient>, FileError> {
        let Some(got) = self.0.get(BLENDED_FROM) else { return Ok(Vec::new()) };
        let parts: Option<Vec<Ingredient>> = got.split(", ").map(|part| part.parse().ok()).collect();
        parts.ok_or_else(|| FileError::Value {
            key: BLENDED_FROM,
            got: got.clone(),
            expected: "a share, a name and a SHA-256 for each, with commas between them".to_owned(),
        })
    }

    /// `count` values with commas between them.
    fn list<T: std::str::FromStr>(
        &self,
        key: &'static str,
        count: usize,
        expected: &str,
        allowed: impl Fn(&T) -> bool,
    ) -> std::result::Result<Vec<T>, FileError> {
        let got = self.text(key)?;
        let values: Option<Vec<T>> =
            got.split(',').map(|value| value.parse().ok().filter(|value| allowed(value))).collect();
        values.filter(|values| values.len() == count).ok_or_else(|| {
            let expected = match count {
                1 => expected.to_owned(),
                _ => format!("{expected} for each of {count} text encoders, with commas between them"),
            };
            FileError::Value { key, got, expected }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_files::IoError;

    use super::*;
    use crate::identity::example;

    /// The error of reading the example after `change`.
    fn refused(change: impl FnOnce(&mut TensorFile)) -> FileError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        example().write(&path).unwrap();
        let mut file = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap();
        change(&mut file);
        file.write(&path).unwrap();
        match Identity::read(&path) {
            Err(TokensError::File { source, .. }) => source,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        example().write(&path).unwrap();
        let read = Identity::read(&path).unwrap();
        assert_eq!(read.metadata(), example().metadata());
        assert!(same_rows(&read, &example()));
        assert_eq!(read.sha256().unwrap(), hex::encode(Sha256::digest(std::fs::read(&path).unwrap())));
    }

    fn same_rows(a: &Identity, b: &Identity) -> bool {
        let same = |(a, b): (&EncoderRows, &EncoderRows)| a.k.equal(&b.k) && a.v.equal(&b.v) && a.sha256 == b.sha256;
        a.encoders.len() == b.encoders.len() && a.encoders.iter().zip(&b.encoders).all(same)
    }

    /// The example for two text encoders of different widths.
    fn example_of_two() -> Identity {
        let mut identity = example();
        identity.encoders.push(EncoderRows {
            k: Tensor::from_slice(&[0.5f32, -1.0, 1.5, -2.0]).view([2, 2]),
            v: Tensor::from_slice(&[2.0f32, -1.5, 1.0, -0.5]).view([2, 2]),
            sha256: "ff00".to_owned(),
        });
        identity
    }

    #[test]
    fn every_text_encoder_has_its_own_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        example_of_two().write(&path).unwrap();
        let file = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap();
        assert_eq!(file.tensors.keys().collect::<Vec<_>>(), ["k.0", "k.1", "v.0", "v.1"]);
        let said = ["format", "encoders", "hidden", "text_encoder_sha256"].map(|key| file.metadata[key].as_str());
        assert_eq!(said, [FORMAT, "2", "3,2", "00ff,ff00"]);
        let read = Identity::read(&path).unwrap();
        assert!(same_rows(&read, &example_of_two()));
        assert_eq!((read.stages(), read.hidden()), (2, 5));
        for (encoders, hidden) in [("3", "3,2"), ("2", "3"), ("2", "3,0"), ("1", "3,2")] {
            let mut file = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap();
            file.metadata.insert("encoders".to_owned(), encoders.to_owned());
            file.metadata.insert("hidden".to_owned(), hidden.to_owned());
            let other = folder.path().join("other.safetensors");
            file.write(&other).unwrap();
            let Err(TokensError::File { source, .. }) = Identity::read(&other) else { panic!("{encoders} {hidden}") };
            assert!(matches!(source, FileError::Value { key: "hidden", .. }), "{source}");
        }
    }

    #[test]
    fn a_blend_says_what_it_was_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        let part = |name: &str, share| Ingredient { name: name.to_owned(), sha256: "0f".repeat(32), share };
        let blended = Identity { blended_from: vec![part("ann", 0.75), part("bob", 0.25)], ..example() };
        blended.write(&path).unwrap();
        let read = Identity::read(&path).unwrap();
        assert_eq!((read.metadata(), &read.blended_from), (blended.metadata(), &blended.blended_from));
        let said = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap().metadata;
        assert_eq!((said[BLENDED_FROM].starts_with("0.75 ann 0f0f"), said["format"].as_str()), (true, FORMAT));
        let broken = refused(|file| drop(file.metadata.insert(BLENDED_FROM.to_owned(), "ann".to_owned())));
        assert!(matches!(broken, FileError::Value { key: BLENDED_FROM, .. }), "{broken}");
    }

    #[test]
    fn words_layers_and_weights_need_version_3() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        let rows = || Tensor::arange(24, (Kind::Float, tch::Device::Cpu)).view([8, 3]);
        let delta = Tensor::from_slice(&[0.5f32, -0.25]).to_kind(Kind::Half);
        let whole = Identity {
            encoders: vec![EncoderRows { k: rows(), v: rows().neg(), sha256: "00ff".to_owned() }],
            layers: 2,
            words: 2,
            unet: Some(UNetChanges { sha256: "abcd".to_owned(), deltas: [("conv.bias".to_owned(), delta)].into() }),
            ..example()
        };
        whole.write(&path).unwrap();
        let read = Identity::read(&path).unwrap();
        assert_eq!((read.stages(), read.metadata()), (2, whole.metadata()));
        assert!(same_rows(&read, &whole));
        assert_eq!(read.metadata()[0].1, FORMAT_3);
        let (unet, expected) = (read.unet.unwrap(), whole.unet.unwrap());
        assert!(unet.sha256 == "abcd" && unet.deltas["conv.bias"].equal(&expected.deltas["conv.bias"]));

        let refused = |change: &dyn Fn(&mut TensorFile)| {
            let mut file = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap();
            change(&mut file);
            let other = folder.path().join("other.safetensors");
            file.write(&other).unwrap();
            match Identity::read(&other) {
                Err(TokensError::File { source, .. }) => source,
                other => panic!("expected a refusal, got {other:?}"),
            }
        };
        let set = |key: &'static str, value: &'static str| {
            refused(&|file| drop(file.metadata.insert(key.to_owned(), value.to_owned())))
        };
        assert!(matches!(set("layers", "3"), FileError::Shape { .. }));
        assert!(matches!(set("words", "0"), FileError::Value { key: "words", .. }));
        assert!(matches!(refused(&|file| drop(file.metadata.remove("words"))), FileError::MissingKey("words")));
        assert!(matches!(refused(&|file| drop(file.metadata.remove(UNET_SHA256))), FileError::MissingKey(UNET_SHA256)));
        let put =
            |value: Tensor| refused(&|file| drop(file.tensors.insert("unet.x".to_owned(), value.shallow_clone())));
        assert!(matches!(put(Tensor::from_slice(&[1.0f32])), FileError::Dtype { .. }));
        assert!(matches!(put(Tensor::from_slice(&[f32::NAN]).to_kind(Kind::Half)), FileError::NotFinite(_)));
    }

    #[test]
    fn version_1_is_one_text_encoder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        let EncoderRows { k, v, sha256 } = example().encoders.remove(0);
        let mut metadata: BTreeMap<String, String> =
            example().metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        metadata.remove("encoders").unwrap();
        metadata.extend(
            [("format", FORMAT_1.to_owned()), ("text_encoder_sha256", sha256)]
                .map(|(key, value)| (key.to_owned(), value)),
        );
        TensorFile { tensors: [("k".to_owned(), k), ("v".to_owned(), v)].into(), metadata }.write(&path).unwrap();
        let read = Identity::read(&path).unwrap();
        assert!(same_rows(&read, &example()));
        // What is written again is of the new version.
        assert_eq!(read.metadata(), example().metadata());
    }

    #[test]
    fn older_files_were_learned_with_sums() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.safetensors");
        for (lambda, expected) in [(0.003, Some(Reduction::Sum)), (0.0, None)] {
            Identity { lambda, ..example() }.write(&path).unwrap();
            let mut file = TensorFile::read(&path, WHAT, SIZE_LIMIT).unwrap();
            file.metadata.remove(ATTENTION_REDUCTION).unwrap();
            file.write(&path).unwrap();
            assert_eq!(Identity::read(&path).unwrap().attention_reduction, expected);
        }
    }

    #[test]
    fn refuses_each_kind_of_damage() {
        let set = |key: &'static str, value: &'static str| {
            refused(move |file| drop(file.metadata.insert(key.to_owned(), value.to_owned())))
        };
        assert!(matches!(set("format", "idembed-identity/4"), FileError::Format { .. }));
        assert!(matches!(set("encoders", "0"), FileError::Value { key: "encoders", .. }));
        assert!(matches!(set("stages", "3"), FileError::Shape { .. }));
        assert!(matches!(set("stages", "0"), FileError::Value { key: "stages", .. }));
        assert!(matches!(set("lambda", "inf"), FileError::Value { key: "lambda", .. }));
        assert!(matches!(set("name", "a b"), FileError::Value { key: "name", .. }));
        assert!(matches!(set("prediction_type", "x"), FileError::Value { key: "prediction_type", .. }));
        assert!(matches!(set(ATTENTION_REDUCTION, "max"), FileError::Value { key: ATTENTION_REDUCTION, .. }));
        assert!(matches!(refused(|file| drop(file.metadata.remove("seed"))), FileError::MissingKey("seed")));
        assert!(matches!(refused(|file| drop(file.tensors.remove("v.0"))), FileError::MissingTensor(_)));
        let put = |value: Tensor| refused(move |file| drop(file.tensors.insert("v.0".to_owned(), value)));
        assert!(matches!(put(Tensor::from_slice(&[f32::NAN; 6]).view([2, 3])), FileError::NotFinite(_)));
        assert!(matches!(put(Tensor::from_slice(&[1.0f32; 6]).view([3, 2])), FileError::Shape { .. }));
        assert!(matches!(put(Tensor::from_slice(&[1i64; 6]).view([2, 3])), FileError::Dtype { .. }));
    }

    #[test]
    fn refuses_what_is_no_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Identity::read(folder.path()), Err(TokensError::Io(IoError::Read { .. }))));
        assert!(matches!(Identity::read(&folder.path().join("none")), Err(TokensError::Io(IoError::Read { .. }))));
        let path = folder.path().join("text");
        std::fs::write(&path, "hello, this is no tensor at all").unwrap();
        let error = Identity::read(&path).unwrap_err();
        assert!(matches!(error, TokensError::File { source: FileError::Damaged(_), .. }));
    }
}
