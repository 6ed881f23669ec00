//! CLIP's byte-pair tokenizer, on the `tokenizers` crate.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::{Error, Result, json};

/// How CLIP splits text before byte-pair encoding: special tokens, English contractions, words, single digits, the rest.
const WORD_PATTERN: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The fields of `tokenizer_config.json` and `special_tokens_map.json` that matter.
#[derive(Debug, Default, Deserialize)]
struct TokenizerConfigJson {
    bos_token: Option<Value>,
    eos_token: Option<Value>,
    pad_token: Option<Value>,
    unk_token: Option<Value>,
    model_max_length: Option<f64>,
}

/// A prompt as token ids, framed and padded to the encoder's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Start token, text, end token, padding: always [`Tokenizer::max_length`] ids.
    pub ids: Vec<i64>,
    /// Number of text tokens that are in `ids`.
    pub text_tokens: usize,
    /// Number of text tokens that did not fit and were cut off.
    pub cut: usize,
}

/// A CLIP tokenizer: same ids as `transformers.CLIPTokenizer`.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: i64,
    eos: i64,
    pad: i64,
    max_length: usize,
}

impl Tokenizer {
    /// Reads `vocab.json` + `merges.txt`, or else `tokenizer.json`, with the special tokens from the files beside them.
    ///
    /// # Errors
    /// None of the files is there, one does not parse, or a special token is not in the vocabulary.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let config = read_config(folder)?;
        let special = |token: &Option<Value>, default: &str| token_content(token).unwrap_or(default).to_owned();
        let bos = special(&config.bos_token, "<|startoftext|>");
        let eos = special(&config.eos_token, "<|endoftext|>");
        let pad = special(&config.pad_token, &eos);
        let unk = special(&config.unk_token, &eos);

        let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        let whole = folder.join("tokenizer.json");
        let mut inner = if vocab.is_file() && merges.is_file() {
            from_vocab_and_merges(&vocab, &merges, &unk)?
        } else if whole.is_file() {
            tokenizers::Tokenizer::from_file(&whole).map_err(|error| bad_file(&whole, &*error))?
        } else {
            let what = "the tokenizer needs vocab.json and merges.txt, or tokenizer.json".to_owned();
            return Err(Error::Layout { path: folder.to_path_buf(), what });
        };
        inner
            .add_special_tokens([&bos, &eos, &pad, &unk].map(|token| AddedToken::from(token.clone(), true)))
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .map(i64::from)
                .ok_or_else(|| Error::Tokenizer(format!("special token `{token}` is not in the vocabulary")))
        };
        let (bos, eos, pad) = (id(&bos)?, id(&eos)?, id(&pad)?);
        // Files without a limit write a huge number; CLIP has 77 positions.
        let max_length =
            config.model_max_length.filter(|&length| (2.0..1e6).contains(&length)).unwrap_or(77.0) as usize;
        Ok(Tokenizer { inner, bos, eos, pad, max_length })
    }

    /// The ids of a text alone: no start or end token, nothing cut, nothing padded.
    pub fn token_ids(&self, text: &str) -> Result<Vec<i64>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }

    /// A prompt, framed, cut to fit and padded. A cut prompt keeps its end token.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        Ok(self.assemble(&self.token_ids(text)?))
    }

    /// Frames, cuts and pads ids that [`Tokenizer::token_ids`] gave.
    pub fn assemble(&self, ids: &[i64]) -> Encoding {
        let text_tokens = ids.len().min(self.max_length - 2);
        let mut framed = Vec::with_capacity(self.max_length);
        framed.push(self.bos);
        framed.extend_from_slice(&ids[..text_tokens]);
        framed.push(self.eos);
        framed.resize(self.max_length, self.pad);
        Encoding { ids: framed, text_tokens, cut: ids.len() - text_tokens }
    }

    /// The text of one token, without the mark of a word's end; empty for an unknown id.
    pub fn token_text(&self, id: i64) -> String {
        let text = u32::try_from(id).ok().and_then(|id| self.inner.id_to_token(id)).unwrap_or_default();
        text.strip_suffix("</w>").unwrap_or(&text).to_owned()
    }

    /// The start token's id.
    pub fn bos(&self) -> i64 {
        self.bos
    }

    /// The end token's id.
    pub fn eos(&self) -> i64 {
        self.eos
    }

    /// The padding token's id.
    pub fn pad(&self) -> i64 {
        self.pad
    }

    /// Number of ids in every [`Encoding`].
    pub fn max_length(&self) -> usize {
        self.max_length
    }
}

/// The tokenizer that `transformers` builds when it is given the two files.
fn from_vocab_and_merges(vocab: &Path, merges: &Path, unk: &str) -> Result<tokenizers::Tokenizer> {
    let model = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
        .unk_token(unk.to_owned())
        .end_of_word_suffix("</w>".to_owned())
        .build()
        .map_err(|error| bad_file(vocab, &*error))?;
    let tokenizer_error = |error: tokenizers::Error| Error::Tokenizer(error.to_string());
    let spaces = Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned()), " ")
        .map_err(tokenizer_error)?;
    let words = Split::new(SplitPattern::Regex(WORD_PATTERN.to_owned()), SplitDelimiterBehavior::Removed, true)
        .map_err(tokenizer_error)?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(Normalizers::new(vec![
            NormalizerWrapper::NFC(NFC),
            NormalizerWrapper::Replace(spaces),
            NormalizerWrapper::Lowercase(Lowercase),
        ])))
        .map_err(tokenizer_error)?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        PreTokenizerWrapper::Split(words),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ])));
    Ok(tokenizer)
}

/// `tokenizer_config.json`, completed by `special_tokens_map.json`; both may be missing.
fn read_config(folder: &Path) -> Result<TokenizerConfigJson> {
    let mut merged = TokenizerConfigJson::default();
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        let path = folder.join(name);
        if path.is_file() {
            let read: TokenizerConfigJson = json::read(&path)?;
            merged.bos_token = merged.bos_token.or(read.bos_token);
            merged.eos_token = merged.eos_token.or(read.eos_token);
            merged.pad_token = merged.pad_token.or(read.pad_token);
            merged.unk_token = merged.unk_token.or(read.unk_token);
            merged.model_max_length = merged.model_max_length.or(read.model_max_length);
        }
    }
    Ok(merged)
}

/// A token written as a string or as an object with a `content`.
fn token_content(token: &Option<Value>) -> Option<&str> {
    let token = token.as_ref()?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn bad_file(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Tokenizer(format!("`{}`: {error}", path.display()))
}
