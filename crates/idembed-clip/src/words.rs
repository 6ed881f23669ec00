//! How CLIP takes a text apart before byte-pair encoding.

use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    NormalizedString, Normalizer as _, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer as _, PreTokenizerWrapper, SplitDelimiterBehavior,
};

use crate::{Error, Result};

/// What stands for a word: special tokens, English contractions, letters, single digits, the rest.
const WORD_PATTERN: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Takes texts apart into words, lower-cased, each byte written as one character of the vocabulary's alphabet.
#[derive(Debug, Clone)]
pub struct WordSplitter {
    pub(crate) normalizer: Normalizers,
    pub(crate) pre_tokenizer: PreTokenizers,
}

impl WordSplitter {
    /// CLIP's own.
    ///
    /// # Errors
    /// None that is known: the patterns are fixed.
    pub fn new() -> Result<Self> {
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(tokenizer_error)?;
        let words = Split::new(SplitPattern::Regex(WORD_PATTERN.to_owned()), SplitDelimiterBehavior::Removed, true)
            .map_err(tokenizer_error)?;
        Ok(WordSplitter {
            normalizer: Normalizers::new(vec![
                NormalizerWrapper::NFC(NFC),
                NormalizerWrapper::Replace(spaces),
                NormalizerWrapper::Lowercase(Lowercase),
            ]),
            pre_tokenizer: PreTokenizers::new(vec![
                PreTokenizerWrapper::Split(words),
                PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
            ]),
        })
    }

    /// The words of a text, in its order.
    ///
    /// # Errors
    /// The `tokenizers` crate refuses the text.
    pub fn split(&self, text: &str) -> Result<Vec<String>> {
        let mut text = NormalizedString::from(text);
        self.normalizer.normalize(&mut text).map_err(tokenizer_error)?;
        let mut text = PreTokenizedString::from(text);
        self.pre_tokenizer.pre_tokenize(&mut text).map_err(tokenizer_error)?;
        let words = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
        Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
    }
}

fn tokenizer_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn words_digits_and_bytes() {
        let words = |text: &str| WordSplitter::new().unwrap().split(text).unwrap();
        assert_eq!(words("  A Photo,\tof  12 "), ["a", "photo", ",", "of", "1", "2"]);
        assert_eq!(words("it's close-up"), ["it", "'s", "close", "-", "up"]);
        // Two bytes, 0xC3 and 0xA9, whether the accent is written apart or not.
        assert_eq!(words("É"), ["Ã©"]);
        assert_eq!(words("E\u{301}"), ["Ã©"]);
        assert!(words(" \n").is_empty());
    }
}
