//! The text encoders of a model, each with its tokenizer, as if they were one.
//!
//! Stable Diffusion 1.x and 2.x have one; SDXL has two, whose states stand side by side (arXiv 2307.01952, section 2.1).

use idembed_clip::{ClipTextModel, EncodedText, TextLayer, Tokenizer};
use idembed_weights::{Compute, Weights};
use tch::{Device, Kind, Tensor};

use crate::model_files::{ModelFiles, TextEncoderFiles};
use crate::{Error, Result};

/// One text encoder and what a model takes of it.
#[derive(Debug)]
pub struct TextEncoder {
    /// From text to token ids.
    pub tokenizer: Tokenizer,
    /// From token ids to text states.
    pub model: ClipTextModel,
    /// The layer whose states the U-Net reads.
    pub layer: TextLayer,
    /// Whether the model is also conditioned on the pooled state of the end token.
    pub pooled: bool,
}

/// The text encoders of a model: at least one, all with the same token positions.
#[derive(Debug)]
pub struct TextEncoders {
    first: TextEncoder,
    others: Vec<TextEncoder>,
}

/// What all text encoders read of one prompt, or of several that differ in a few embeddings.
#[derive(Debug)]
pub struct TokenEmbeds {
    /// For each text encoder, `[batch, tokens, hidden]`, f32.
    pub embeds: Vec<Tensor>,
    /// For each text encoder, the position of the first end token.
    pub ends: Vec<i64>,
}

impl TextEncoder {
    /// The input embeddings of tokens, f32.
    ///
    /// # Shapes
    /// - returns: `[1, tokens, hidden]`
    ///
    /// # Errors
    /// An id that the encoder does not know.
    pub fn embed(&self, ids: &[i64]) -> Result<Tensor> {
        let ids = Tensor::f_from_slice(ids)?.f_unsqueeze(0)?;
        Ok(tch::no_grad(|| self.model.embed_tokens(&ids))?.f_to_kind(Kind::Float)?)
    }
}

impl TextEncoders {
    /// Loads those of a model, each with its tokenizer.
    ///
    /// # Errors
    /// As [`ModelFiles::tokenizers`], [`ModelFiles::text_encoders`] and [`TextEncoders::new`].
    pub fn load(files: &ModelFiles, compute: Compute) -> Result<Self> {
        let encoders = files.tokenizers()?.into_iter().zip(files.text_encoders()?).map(|(tokenizer, files)| {
            let TextEncoderFiles { config, source, layer, pooled } = files;
            let model = ClipTextModel::from_weights(config, Weights::new(source, compute)?)?;
            Ok(TextEncoder { tokenizer, model, layer, pooled })
        });
        Self::new(encoders.collect::<Result<Vec<_>>>()?)
    }

    /// Puts text encoders together, in the order in which their states stand side by side.
    ///
    /// # Errors
    /// No text encoder, a tokenizer that gives more tokens than its encoder takes, or another number of them than the first.
    pub fn new(encoders: impl IntoIterator<Item = TextEncoder>) -> Result<Self> {
        let mut encoders = encoders.into_iter();
        let first =
            encoders.next().ok_or_else(|| Error::Setting("a model needs at least one text encoder".to_owned()))?;
        let others = encoders.collect();
        let encoders = TextEncoders { first, others };
        let tokens = encoders.first.tokenizer.max_length();
        for TextEncoder { tokenizer, model, .. } in encoders.iter() {
            let (length, positions) = (tokenizer.max_length() as i64, model.max_positions());
            if length > positions {
                let what = format!("the tokenizer gives {length} tokens, but the text encoder takes {positions}");
                return Err(Error::Unsupported { what, hint: None });
            }
            if tokenizer.max_length() != tokens {
                let what = format!("one tokenizer gives {tokens} tokens, another one {length}");
                return Err(Error::Unsupported { what, hint: None });
            }
        }
        Ok(encoders)
    }

    /// The first.
    pub fn first(&self) -> &TextEncoder {
        &self.first
    }

    /// The first alone.
    pub fn into_first(self) -> TextEncoder {
        self.first
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TextEncoder> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Their tokenizers.
    pub fn tokenizers(&self) -> impl Iterator<Item = &Tokenizer> {
        self.iter().map(|encoder| &encoder.tokenizer)
    }

    /// The width of each one's embeddings and states.
    pub fn widths(&self) -> Vec<i64> {
        self.iter().map(|encoder| encoder.model.hidden_size()).collect()
    }

    /// SHA-256 of each one's tensors ([`ClipTextModel::fingerprint`]).
    ///
    /// # Errors
    /// A file was changed since it was opened.
    pub fn fingerprints(&self) -> Result<Vec<String>> {
        self.iter().map(|encoder| Ok(encoder.model.fingerprint()?)).collect()
    }

    /// The input embeddings of one prompt.
    ///
    /// # Shapes
    /// - `ids`: for each text encoder, those of a framed prompt
    /// - returns: for each text encoder `[1, tokens, hidden]`
    ///
    /// # Errors
    /// Ids for another number of encoders, without an end token, or not in an encoder's table.
    pub fn embed(&self, ids: &[Vec<i64>]) -> Result<TokenEmbeds> {
        self.check_count("lists of token ids", ids.len())?;
        let mut input = TokenEmbeds { embeds: Vec::new(), ends: Vec::new() };
        for (encoder, ids) in self.iter().zip(ids) {
            let end = ids.iter().position(|&id| id == encoder.tokenizer.eos()).ok_or_else(|| Error::Shape {
                what: "list of token ids",
                got: vec![ids.len() as i64],
                expected: "one with an end token".to_owned(),
            })?;
            input.embeds.push(encoder.embed(ids)?);
            input.ends.push(end as i64);
        }
        Ok(input)
    }

    /// The states of all encoders side by side, and the pooled ones of those that are asked for them. Gradients flow to the
    /// embeddings.
    ///
    /// # Shapes
    /// - returns: states `[batch, tokens, sum of widths]`, pooled `[batch, sum of projected widths]`
    ///
    /// # Errors
    /// Embeddings for another number of encoders, or of another shape.
    pub fn encode(&self, input: &TokenEmbeds) -> Result<EncodedText> {
        self.encode_earlier(input, 0)
    }

    /// As [`TextEncoders::encode`], with the states so many layers before those that the model usually reads.
    ///
    /// # Errors
    /// As there; and an encoder has not so many layers.
    pub fn encode_earlier(&self, input: &TokenEmbeds, skip: usize) -> Result<EncodedText> {
        self.check_count("token embeddings", input.embeds.len())?;
        self.check_count("end positions", input.ends.len())?;
        let (mut states, mut pooled) = (Vec::new(), Vec::new());
        for ((encoder, embeds), &end) in self.iter().zip(&input.embeds).zip(&input.ends) {
            let end = encoder.pooled.then_some(end);
            let encoded = encoder.model.encode_earlier(embeds, encoder.layer, skip, end)?;
            states.push(encoded.states);
            pooled.extend(encoded.pooled);
        }
        let pooled = if pooled.is_empty() { None } else { Some(side_by_side(pooled)?) };
        Ok(EncodedText { states: side_by_side(states)?, pooled })
    }

    /// Fails if one of them has not so many layers before those whose states the model usually reads.
    ///
    /// # Errors
    /// Says how many can be skipped.
    pub fn check_skipped(&self, skip: usize) -> Result<()> {
        self.iter().try_for_each(|encoder| Ok(encoder.model.layers_before(encoder.layer, skip).map(drop)?))
    }

    /// Bytes of their weights in the memory of a device.
    pub(crate) fn weight_bytes(&self, device: Device) -> u64 {
        self.iter().filter(|encoder| encoder.model.device() == device).map(|encoder| encoder.model.weight_bytes()).sum()
    }

    /// Fails if weights may be others by now, because their file was changed in place.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.iter().try_for_each(|encoder| Ok(encoder.model.check_unchanged()?))
    }

    fn check_count(&self, what: &'static str, got: usize) -> Result<()> {
        if got == self.count() {
            return Ok(());
        }
        let expected = format!("one for each of {} text encoders", self.count());
        Err(Error::Shape { what, got: vec![got as i64], expected })
    }
}

/// Along the last dimension; one alone stays as it is.
fn side_by_side(mut tensors: Vec<Tensor>) -> Result<Tensor> {
    match tensors.len() {
        1 => Ok(tensors.remove(0)),
        _ => Ok(Tensor::f_cat(&tensors, -1)?),
    }
}
