//! CLIP's byte-pair tokenizer, on the `tokenizers` crate.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_weights::json;
use serde::Deserialize;
use tch::Tensor;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};

use crate::words::WordSplitter;
use crate::{Error, Result, vocabulary};

/// The fields of `tokenizer_config.json` and `special_tokens_map.json` that matter.
#[derive(Debug, Default, Deserialize)]
struct TokenizerConfigJson {
    bos_token: Option<TokenJson>,
    eos_token: Option<TokenJson>,
    pad_token: Option<TokenJson>,
    unk_token: Option<TokenJson>,
    model_max_length: Option<f64>,
    added_tokens_decoder: Option<BTreeMap<String, TokenJson>>,
}

/// A token written as its text alone, or with how it is found in a prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum TokenJson {
    Text(String),
    Object {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default)]
        normalized: bool,
    },
}

impl TokenJson {
    fn content(&self) -> &str {
        match self {
            TokenJson::Text(content) | TokenJson::Object { content, .. } => content,
        }
    }

    fn to_added_token(&self) -> AddedToken {
        let token = AddedToken::from(self.content(), true);
        match *self {
            TokenJson::Text(_) => token,
            TokenJson::Object { single_word, lstrip, rstrip, normalized, .. } => {
                token.single_word(single_word).lstrip(lstrip).rstrip(rstrip).normalized(normalized)
            }
        }
    }
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

/// What stands behind the end of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// More end tokens, as in Stable Diffusion 1.x and for the first text encoder of SDXL.
    EndToken,
    /// Tokens of id 0, which is `!`, as OpenCLIP was trained: Stable Diffusion 2.x, and the second text encoder of SDXL.
    Zero,
}

/// The token positions of every CLIP.
const POSITIONS: usize = 77;

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
        let special = |token: Option<TokenJson>, default: &str| token.unwrap_or(TokenJson::Text(default.to_owned()));
        let bos = special(config.bos_token, vocabulary::START);
        let eos = special(config.eos_token, vocabulary::END);
        let pad = special(config.pad_token, eos.content());
        let unk = special(config.unk_token, eos.content());

        let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        let whole = folder.join("tokenizer.json");
        let mut inner = if vocab.is_file() && merges.is_file() {
            from_vocab_and_merges(&vocab, &merges, unk.content())?
        } else if whole.is_file() {
            tokenizers::Tokenizer::from_file(&whole).map_err(|error| bad_file(&whole, &*error))?
        } else {
            return Err(Error::NoTokenizer { folder: folder.to_path_buf() });
        };
        // Where several of them share their text, the last one says how it is found; what the files list is left alone.
        let listed = config.added_tokens_decoder.unwrap_or_default();
        add_special_tokens(&mut inner, listed.values())?;
        add_special_tokens(&mut inner, [&bos, &eos, &unk, &pad])?;
        let id = |token: &TokenJson| {
            let missing = || Error::Tokenizer(format!("special token `{}` is not in the vocabulary", token.content()));
            inner.token_to_id(token.content()).map(i64::from).ok_or_else(missing)
        };
        let (bos, eos, pad) = (id(&bos)?, id(&eos)?, id(&pad)?);
        // Files without a limit write a huge number.
        let max_length = config.model_max_length.filter(|length| (2.0..1e6).contains(length));
        let max_length = max_length.map_or(POSITIONS, |length| length as usize);
        Ok(Tokenizer { inner, bos, eos, pad, max_length })
    }

    /// The tokenizer of OpenAI's CLIP and of OpenCLIP, for models that bring none: 77 ids of 49,408.
    ///
    /// # Errors
    /// The `tokenizers` crate refused.
    pub fn of_clip(padding: Padding) -> Result<Self> {
        let vocab: Vocab = vocabulary::tokens().zip(0..).collect();
        let merges = vocabulary::merges().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let model = bpe(BPE::builder().vocab_and_merges(vocab, merges), vocabulary::END);
        let model = model.map_err(|error| Error::Tokenizer(error.to_string()))?;
        let mut inner = with_words(model)?;
        let pad = match padding {
            Padding::EndToken => vocabulary::END,
            Padding::Zero => vocabulary::ZERO,
        };
        // As in `transformers`, a token to pad with is one wherever it stands in a prompt, not a letter to join.
        let special = [vocabulary::START, vocabulary::END, pad].map(|token| TokenJson::Text(token.to_owned()));
        add_special_tokens(&mut inner, &special)?;
        let id = |token: &str| {
            let missing = || Error::Tokenizer(format!("special token `{token}` is not in the vocabulary"));
            inner.token_to_id(token).map(i64::from).ok_or_else(missing)
        };
        let (bos, eos, pad) = (id(vocabulary::START)?, id(vocabulary::END)?, id(pad)?);
        Ok(Tokenizer { inner, bos, eos, pad, max_length: POSITIONS })
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

    /// Several prompts, each as [`Tokenizer::encode`] has it, without the padding that all of them have.
    ///
    /// # Shapes
    /// - returns: `[prompts, tokens]`, i64
    pub fn batch(&self, prompts: &[&str]) -> Result<Tensor> {
        let encodings: Vec<Encoding> = prompts.iter().map(|prompt| self.encode(prompt)).collect::<Result<_>>()?;
        let longest = encodings.iter().map(|encoding| encoding.text_tokens).max().unwrap_or(0) + 2;
        let ids: Vec<i64> = encodings.iter().flat_map(|encoding| &encoding.ids[..longest]).copied().collect();
        Ok(Tensor::f_from_slice(&ids)?.f_view([prompts.len() as i64, longest as i64])?)
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
        text.strip_suffix(vocabulary::END_OF_WORD).unwrap_or(&text).to_owned()
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

    /// Number of tokens known, the special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Number of ids in every [`Encoding`].
    pub fn max_length(&self) -> usize {
        self.max_length
    }
}

/// The tokenizer that `transformers` builds when it is given the two files.
fn from_vocab_and_merges(vocab: &Path, merges: &Path, unk: &str) -> Result<tokenizers::Tokenizer> {
    let files = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy());
    with_words(bpe(files, unk).map_err(|error| bad_file(vocab, &*error))?)
}

fn bpe(builder: BpeBuilder, unk: &str) -> tokenizers::Result<BPE> {
    builder.unk_token(unk.to_owned()).end_of_word_suffix(vocabulary::END_OF_WORD.to_owned()).build()
}

/// CLIP's split into words before the model.
fn with_words(model: BPE) -> Result<tokenizers::Tokenizer> {
    let words = WordSplitter::new()?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(Some(words.normalizer)).map_err(|error| Error::Tokenizer(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(words.pre_tokenizer));
    Ok(tokenizer)
}

/// Adds those tokens that are not added yet.
fn add_special_tokens<'a>(
    tokenizer: &mut tokenizers::Tokenizer,
    tokens: impl IntoIterator<Item = &'a TokenJson>,
) -> Result<()> {
    let known = tokenizer.get_added_vocabulary().get_vocab();
    let new = tokens.into_iter().filter(|token| !known.contains_key(token.content()));
    let new: Vec<AddedToken> = new.map(TokenJson::to_added_token).collect();
    tokenizer.add_special_tokens(new).map_err(|error| Error::Tokenizer(error.to_string()))?;
    Ok(())
}

/// `tokenizer_config.json`, in which `special_tokens_map.json` replaces what it names (Stable Diffusion 2's padding is
/// right only there); both may be missing. A configuration that lists its added tokens was written without need of the
/// other file.
fn read_config(folder: &Path) -> Result<TokenizerConfigJson> {
    let read = |name: &str| -> Result<TokenizerConfigJson> {
        let path = folder.join(name);
        if path.is_file() { Ok(json::read(&path)?) } else { Ok(TokenizerConfigJson::default()) }
    };
    let config = read("tokenizer_config.json")?;
    if config.added_tokens_decoder.is_some() {
        return Ok(config);
    }
    let map = read("special_tokens_map.json")?;
    Ok(TokenizerConfigJson {
        bos_token: map.bos_token.or(config.bos_token),
        eos_token: map.eos_token.or(config.eos_token),
        pad_token: map.pad_token.or(config.pad_token),
        unk_token: map.unk_token.or(config.unk_token),
        ..config
    })
}

fn bad_file(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Tokenizer(format!("`{}`: {error}", path.display()))
}
