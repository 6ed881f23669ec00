//! Prompts with `<NAME>` placeholders, each standing for one identity and taking as many tokens as that has.

use std::fmt;

use idembed_clip::Tokenizer;

use crate::prompt_syntax::{OtherSyntax, not_understood, other_syntax};
use crate::prompt_tokens::{Arranged, Named, Token, WordCounts, occurrences, tokenize};
use crate::weighted_text::{self, Reading, Stretch};
use crate::{Result, Strength, TokensError};

/// A prompt as tokens, with the positions of its identities.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// For each text encoder, chunk behind chunk: start token, text, end token, padding. The ids at placeholders mean nothing:
    /// their embeddings are replaced.
    pub ids: Vec<Vec<i64>>,
    /// The identities that the text names, in the order in which they first appear.
    pub placeholders: Vec<Placeholder>,
    /// What the user should know.
    pub warnings: Vec<PromptWarning>,
    /// For each of the ids of a text encoder, how much the states there weigh.
    weights: Vec<f32>,
    /// Ids in a chunk.
    chunk: usize,
    /// The text without its syntax.
    bare_text: String,
    uses_syntax: bool,
    /// How the text was read.
    syntax: PromptSyntax,
    /// As the first text encoder's tokenizer has them.
    tokens: Vec<Token>,
    /// Where each of the tokens lies in the ids.
    positions: Vec<i64>,
}

/// How the text of a prompt is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PromptSyntax {
    /// All of it is text, and what the text encoders do not take at once is cut off.
    Plain,
    /// Brackets weigh words, `BREAK` begins a new chunk, and so does every token too many: as most web interfaces read it.
    #[default]
    Weighted,
}

/// One identity of a prompt, with one strength: another strength is another placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The name inside `<...>`.
    pub name: String,
    /// How strongly it acts there, if the prompt says so: `<NAME:0.7>`.
    pub strength: Option<Strength>,
    /// Where it begins in each of [`Prompt::ids`], ascending, at least once.
    pub positions: Vec<i64>,
    /// How many tokens it takes each time.
    pub words: usize,
}

/// Something odd about a prompt that does not keep it from working.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptWarning {
    /// The end of the prompt was cut off.
    CutOff {
        /// Number of tokens that did not fit.
        tokens: usize,
    },
    /// Another tool would take a part of the text for an instruction.
    OtherSyntax(OtherSyntax),
}

impl fmt::Display for PromptWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PromptWarning::CutOff { tokens } => {
                write!(f, "the prompt is {tokens} tokens too long; its end was cut off")
            }
            PromptWarning::OtherSyntax(found) => found.fmt(f),
        }
    }
}

/// Whether a text can be an identity's name: letters, digits, `-` and `_`, at least one.
pub fn is_identity_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl Prompt {
    /// Reads a plain prompt in which identities stand as `<NAME>`, or with a [`Strength`] as `<NAME:0.7>`, any number of times,
    /// and take one token each.
    ///
    /// Whatever could be a name in angle brackets is one; `a < b` and `<3` are plain text. `tokenizers` are those of the
    /// model's text encoders, in their order.
    ///
    /// # Errors
    /// A placeholder lies beyond the end of a prompt that is too long, a strength is out of range, the tokenizers give different
    /// positions, or there is none.
    pub fn parse<'a>(text: &str, tokenizers: impl IntoIterator<Item = &'a Tokenizer>) -> Result<Self> {
        Self::parse_with(text, tokenizers, |_| 1)
    }

    /// As [`Prompt::parse`], with identities of any number of tokens: `words` says it for a name.
    ///
    /// # Errors
    /// As [`Prompt::parse`].
    pub fn parse_with<'a>(
        text: &str,
        tokenizers: impl IntoIterator<Item = &'a Tokenizer>,
        words: impl Fn(&str) -> usize,
    ) -> Result<Self> {
        Self::read(text, tokenizers, PromptSyntax::Plain, words)
    }

    /// As [`Prompt::parse_with`], with the syntax of choice. A prompt of one chunk that uses none of it is the same in both.
    ///
    /// # Errors
    /// As [`Prompt::parse`]; a weight that is no number from -100 to 100; an identity of more tokens than a chunk has.
    pub fn read<'a>(
        text: &str,
        tokenizers: impl IntoIterator<Item = &'a Tokenizer>,
        syntax: PromptSyntax,
        words: impl Fn(&str) -> usize,
    ) -> Result<Self> {
        let Reading { stretches, unread } = match syntax {
            PromptSyntax::Plain => Reading::plain(text),
            PromptSyntax::Weighted => weighted_text::read(text)?,
        };
        let arrange = |tokenizer| Arranged::new(&stretches, tokenizer, syntax, &words);
        let mut tokenizers = tokenizers.into_iter();
        let first = tokenizers.next().ok_or_else(|| TokensError::Setting {
            what: "number of tokenizers",
            got: "0".to_owned(),
            expected: "1 or more".to_owned(),
        })?;
        let arranged = arrange(first)?;
        let chunk = first.max_length();
        let mut ids = vec![arranged.ids(first)];
        for other in tokenizers {
            let others = arrange(other)?;
            if !arranged.has_same_positions(&others) || other.max_length() != chunk {
                return Err(TokensError::OtherPositions { prompt: text.to_owned() });
            }
            ids.push(others.ids(other));
        }
        let mut warnings = Vec::new();
        if arranged.cut > 0 {
            warnings.push(PromptWarning::CutOff { tokens: arranged.cut });
        }
        let odd = match syntax {
            PromptSyntax::Plain => other_syntax(text),
            PromptSyntax::Weighted => not_understood(text, unread.map(|place| &text[place])),
        };
        warnings.extend(odd.into_iter().map(PromptWarning::OtherSyntax));
        let weights = arranged.weights(chunk);
        let bare_text = bare_text(&stretches);
        Ok(Prompt {
            text: text.to_owned(),
            placeholders: placeholders(&arranged, chunk, &words),
            uses_syntax: ids[0].len() > chunk || bare_text != text,
            syntax,
            ids,
            warnings,
            weights,
            chunk,
            bare_text,
            positions: arranged.positions(chunk).collect(),
            tokens: arranged.chunks.into_iter().flatten().map(|(token, _)| token).collect(),
        })
    }

    /// Whether the prompt says `<name>`.
    pub fn names(&self, name: &str) -> bool {
        self.placeholders.iter().any(|placeholder| placeholder.name == name)
    }

    /// How many texts the text encoders read for it, one after the other; at least one.
    pub fn chunks(&self) -> usize {
        self.weights.len() / self.chunk
    }

    /// Adds empty chunks until there are so many: under guidance, a prompt and its negative prompt have equally many.
    pub fn fill<'a>(&mut self, chunks: usize, tokenizers: impl IntoIterator<Item = &'a Tokenizer>) {
        let added = chunks.saturating_sub(self.chunks());
        for (ids, tokenizer) in self.ids.iter_mut().zip(tokenizers) {
            let empty = tokenizer.assemble(&[]).ids;
            (0..added).for_each(|_| ids.extend(&empty));
        }
        self.weights.resize(self.weights.len() + added * self.chunk, 1.0);
    }

    /// The same text with identities of other numbers of tokens, and as many chunks.
    ///
    /// # Errors
    /// As [`Prompt::read`]; and it needs more chunks.
    pub(crate) fn with_words(&self, tokenizers: &[&Tokenizer], words: impl Fn(&str) -> usize) -> Result<Self> {
        let mut other = Prompt::read(&self.text, tokenizers.iter().copied(), self.syntax, words)?;
        let (chunks, others) = (self.chunks(), other.chunks());
        if others > chunks {
            return Err(TokensError::Setting {
                what: "number of chunks of the prompt",
                got: format!("{others} for an identity of more tokens"),
                expected: format!("{chunks}, as for the others"),
            });
        }
        other.fill(chunks, tokenizers.iter().copied());
        Ok(other)
    }

    /// The positions of a chunk among the ids.
    pub(crate) fn places_of(&self, chunk: usize) -> std::ops::Range<usize> {
        chunk * self.chunk..(chunk + 1) * self.chunk
    }

    /// How much the states of a chunk weigh, unless all weigh 1.
    pub(crate) fn weights_of(&self, chunk: usize) -> Option<&[f32]> {
        Some(&self.weights[self.places_of(chunk)]).filter(|weights| weights.iter().any(|&weight| weight != 1.0))
    }

    /// Whether it would be another one if it were read as a plain prompt.
    pub fn uses_syntax(&self) -> bool {
        self.uses_syntax
    }

    /// The text without brackets that weigh, escapes and `BREAK`.
    pub fn bare_text(&self) -> &str {
        &self.bare_text
    }

    /// The positions of every occurrence of a word, a phrase, or a placeholder such as `<me>`, in the states of all chunks.
    ///
    /// Capitals do not matter. All tokens of a word of several tokens are given, in order. `tokenizer` is that of the model's
    /// first text encoder.
    ///
    /// # Errors
    /// The prompt (as far as it was not cut off) does not contain it.
    pub fn word_positions(&self, word: &str, tokenizer: &Tokenizer) -> Result<Vec<i64>> {
        let words = |name: &str| {
            self.placeholders.iter().find(|placeholder| placeholder.name == name).map_or(1, |known| known.words)
        };
        let wanted = tokenize(word, tokenizer, &words)?;
        let found = occurrences(&self.tokens, &wanted);
        if found.is_empty() {
            return Err(TokensError::WordNotInPrompt { word: word.to_owned(), prompt: self.text.clone() });
        }
        Ok(found.into_iter().flat_map(|start| &self.positions[start..start + wanted.len()]).copied().collect())
    }
}

/// The identities of a prompt, each once.
fn placeholders(arranged: &Arranged, chunk: usize, words: WordCounts<'_>) -> Vec<Placeholder> {
    let mut placeholders: Vec<Placeholder> = Vec::new();
    for (position, (token, _)) in arranged.positions(chunk).zip(arranged.chunks.iter().flatten()) {
        let Token::Placeholder(Named { name, strength }, 0) = token else { continue };
        match placeholders.iter_mut().find(|known| known.name == *name && known.strength == *strength) {
            Some(known) => known.positions.push(position),
            None => placeholders.push(Placeholder {
                name: name.clone(),
                strength: strength.clone(),
                positions: vec![position],
                words: words(name),
            }),
        }
    }
    placeholders
}

/// The texts alone; those that weigh otherwise than their neighbours are words of their own.
fn bare_text(stretches: &[Stretch]) -> String {
    let texts = stretches.iter().filter_map(|stretch| match stretch {
        Stretch::Text(text, _) => Some(text.as_str()),
        Stretch::Break => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::path::Path;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer");
        Tokenizer::from_folder(&folder).unwrap()
    }

    #[test]
    fn finds_identities_at_any_position() {
        let tokenizer = tokenizer();
        let prompt = Prompt::parse("<me> and <you> and <me>", [&tokenizer]).unwrap();
        let placeholder =
            |name: &str, positions| Placeholder { name: name.to_owned(), strength: None, positions, words: 1 };
        assert_eq!(prompt.placeholders, [placeholder("me", vec![1, 5]), placeholder("you", vec![3])]);
        assert!(prompt.names("you") && !prompt.names("cat") && prompt.warnings.is_empty());
        assert_eq!(prompt.ids[0].len(), 77);
        let plain = tokenizer.encode("x and y and x").unwrap();
        assert_eq!(prompt.ids[0][6..], plain.ids[6..]);
    }

    #[test]
    fn identities_have_a_strength_each_time() {
        let tokenizer = tokenizer();
        let prompt = weighted("<me:0.5> and (<me>:1.2) and <me:0.5>, <me:0/1>", &tokenizer);
        let found: Vec<_> = prompt
            .placeholders
            .iter()
            .map(|found| (&found.positions[..], found.strength.as_ref().map(Strength::to_string)))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found, [(&[1, 5][..], some("0.5")), (&[3][..], None), (&[7][..], some("0/1"))]);
        assert_eq!(prompt.word_positions("<me>", &tokenizer).unwrap(), [1, 3, 5, 7]);
        assert_eq!(prompt.word_positions("<me:0.5>", &tokenizer).unwrap(), [1, 5]);
        assert!(prompt.word_positions("<me:0.6>", &tokenizer).is_err());
        let plain = weighted("<me> and <me> and <me>, <me>", &tokenizer);
        assert_eq!(prompt.ids, plain.ids);
        let error = Prompt::parse("<me:7>", [&tokenizer]).unwrap_err().to_string();
        assert!(error.contains("strength is 7, expected a number from 0 to 2"), "{error}");
        // The colon of a strength is none of the brackets around it.
        let prompt = weighted("[<me:0.5>] (<me:0.5>)", &tokenizer);
        assert!(prompt.warnings.is_empty() && prompt.placeholders[0].positions.len() == 2, "{:?}", prompt.warnings);
    }

    #[test]
    fn identities_take_as_many_tokens_as_they_have_words() {
        let tokenizer = tokenizer();
        let words = |name: &str| if name == "me" { 2 } else { 1 };
        let prompt = Prompt::parse_with("<me> and <you> and <me>", [&tokenizer], words).unwrap();
        let found: Vec<_> = prompt.placeholders.iter().map(|found| (&found.positions[..], found.words)).collect();
        assert_eq!(found, [(&[1, 6][..], 2), (&[4][..], 1)]);
        assert_eq!(prompt.word_positions("<me>", &tokenizer).unwrap(), [1, 2, 6, 7]);
        assert_eq!(prompt.word_positions("and <you>", &tokenizer).unwrap(), [3, 4]);
        // The last word would lie beyond the end.
        let long = "photo ".repeat(74);
        let fits = Prompt::parse_with(&format!("{long}<you>"), [&tokenizer], words);
        let tokens = tokenizer.token_ids(&long).unwrap().len();
        assert_eq!(fits.is_ok(), tokens < 75);
        let error = Prompt::parse_with(&format!("{long}<me>"), [&tokenizer], words).unwrap_err();
        assert!(matches!(error, TokensError::PlaceholderCutOff { limit: 75, .. }));
    }

    #[test]
    fn long_prompts_are_cut_but_never_before_a_placeholder() {
        let tokenizer = tokenizer();
        let long = "photo ".repeat(80);
        let prompt = Prompt::parse(&format!("<me> {long}"), [&tokenizer]).unwrap();
        let tokens = tokenizer.token_ids(&long).unwrap().len() + 1 - 75;
        assert_eq!(prompt.warnings, [PromptWarning::CutOff { tokens }]);
        assert_eq!((prompt.ids[0].len(), prompt.ids[0][76]), (77, tokenizer.eos()));
        let error = Prompt::parse(&format!("{long} <me>"), [&tokenizer]).unwrap_err();
        assert!(matches!(error, TokensError::PlaceholderCutOff { limit: 75, .. }));
    }

    #[test]
    fn finds_words_phrases_and_placeholders() {
        let tokenizer = tokenizer();
        let prompt = Prompt::parse("a photo of <me> holding a red cup, a photo", [&tokenizer]).unwrap();
        let ids = tokenizer.token_ids("a photo of").unwrap();
        let me = ids.len() as i64 + 1;
        assert_eq!(prompt.word_positions("<me>", &tokenizer).unwrap(), [me]);
        assert_eq!(prompt.word_positions("Photo Of <me>", &tokenizer).unwrap().len(), ids.len());
        assert_eq!(prompt.word_positions("photo", &tokenizer).unwrap().len(), 2 * (ids.len() - 2));
        for absent in ["blue", "<you>"] {
            let error = prompt.word_positions(absent, &tokenizer).unwrap_err();
            assert!(matches!(error, TokensError::WordNotInPrompt { .. }));
        }
        assert!(prompt.word_positions("", &tokenizer).is_err());
    }

    fn weighted(text: &str, tokenizer: &Tokenizer) -> Prompt {
        Prompt::read(text, [tokenizer], PromptSyntax::Weighted, |name| if name == "two" { 2 } else { 1 }).unwrap()
    }

    #[test]
    fn plain_prompts_are_the_same_in_both_readings() {
        let tokenizer = tokenizer();
        for text in ["", "a photo of <me> at the beach", "I <3 you :) 1.5", &"photo ".repeat(40)] {
            let (plain, weighted) = (Prompt::parse(text, [&tokenizer]).unwrap(), weighted(text, &tokenizer));
            assert_eq!(plain.ids, weighted.ids);
            assert_eq!(plain.placeholders, weighted.placeholders);
            assert!(!weighted.uses_syntax() && weighted.weights_of(0).is_none() && weighted.warnings.is_empty());
            assert_eq!((weighted.chunks(), weighted.bare_text()), (1, text));
        }
    }

    #[test]
    fn weights_lie_on_the_tokens_of_their_text() {
        let tokenizer = tokenizer();
        let prompt = weighted("a (photo:1.5) of [<me>] and (<me>:2)", &tokenizer);
        let plain = Prompt::parse("a photo of <me> and <me>", [&tokenizer]).unwrap();
        assert_eq!((&prompt.ids, &prompt.placeholders), (&plain.ids, &plain.placeholders));
        assert!(prompt.uses_syntax() && prompt.warnings.is_empty());
        let weights = prompt.weights_of(0).unwrap();
        let photo = plain.word_positions("photo", &tokenizer).unwrap();
        let [first, second] = prompt.placeholders[0].positions[..] else { panic!("{:?}", prompt.placeholders) };
        for (position, &weight) in weights.iter().enumerate() {
            let position = position as i64;
            let expected = match position {
                position if photo.contains(&position) => 1.5,
                position if position == first => (1.0 / 1.1) as f32,
                position if position == second => 2.0,
                _ => 1.0,
            };
            assert_eq!(weight, expected, "{position}");
        }
        assert_eq!(prompt.word_positions("a photo of", &tokenizer).unwrap().len(), 2 + photo.len());
        assert_eq!(prompt.bare_text(), "a  photo  of  <me>  and  <me>");
    }

    #[test]
    fn long_prompts_go_on_in_another_chunk() {
        let tokenizer = tokenizer();
        let ids = tokenizer.token_ids("photo").unwrap();
        assert_eq!(ids.len(), 1);
        let prompt = weighted(&format!("{}<two> <me>", "photo ".repeat(74)), &tokenizer);
        // Both words of an identity stand in one chunk.
        assert_eq!((prompt.chunks(), prompt.ids[0].len(), prompt.uses_syntax()), (2, 154, true));
        assert_eq!(prompt.ids[0][74..78], [ids[0], tokenizer.eos(), tokenizer.pad(), tokenizer.bos()]);
        assert_eq!(prompt.word_positions("<two> <me>", &tokenizer).unwrap(), [78, 79, 80]);
        assert_eq!(prompt.word_positions("photo <two>", &tokenizer).unwrap(), [74, 78, 79]);
        let full = weighted(&"photo ".repeat(75), &tokenizer);
        assert_eq!((full.chunks(), full.uses_syntax()), (1, false));

        let mut divided = weighted("BREAK (a:2) BREAK BREAK <me> BREAK", &tokenizer);
        assert_eq!((divided.chunks(), divided.placeholders[0].positions[0]), (4, 3 * 77 + 1));
        assert!(divided.weights_of(0).is_none() && divided.weights_of(1).is_some());
        let empty = tokenizer.assemble(&[]).ids;
        assert_eq!((&divided.ids[0][..77], &divided.ids[0][154..231]), (&empty[..], &empty[..]));
        divided.fill(6, [&tokenizer]);
        assert_eq!((divided.chunks(), &divided.ids[0][5 * 77..]), (6, &empty[..]));
        divided.fill(2, [&tokenizer]);
        assert_eq!(divided.chunks(), 6);

        let wide = Prompt::read("<me>", [&tokenizer], PromptSyntax::Weighted, |_| 76).unwrap_err();
        assert!(matches!(wide, TokensError::WideIdentity { words: 76, limit: 75, .. }), "{wide}");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let tokenizer = tokenizer();
        let said = |text: &str| -> Vec<String> {
            weighted(text, &tokenizer).warnings.iter().map(PromptWarning::to_string).collect()
        };
        assert!(said(r"a ((red)) hat \(new\) BREAK [x] (y:1.2) a) b( 3:1 __ | {a}").is_empty());
        assert_eq!(said("([cat:dog:0.5])").len(), 1);
        assert_eq!(said("a [cat|dog] AND <lora:x:1> __hat__").len(), 4);
    }
}
