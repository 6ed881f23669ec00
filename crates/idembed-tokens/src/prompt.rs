//! Prompts with `<NAME>` placeholders, each standing for one identity and taking as many tokens as that has.

use std::fmt;

use idembed_clip::{Encoding, Tokenizer};

use crate::prompt_syntax::{OtherSyntax, other_syntax};
use crate::{Result, TokensError};

/// A prompt as tokens, with the positions of its identities.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// For each text encoder: start token, text, end token, padding. The ids at placeholders mean nothing: their embeddings
    /// are replaced.
    pub ids: Vec<Vec<i64>>,
    /// The identities that the text names, in the order in which they first appear.
    pub placeholders: Vec<Placeholder>,
    /// What the user should know.
    pub warnings: Vec<PromptWarning>,
    /// As the first text encoder's tokenizer has them.
    tokens: Vec<Token>,
}

/// How many tokens the identity of a name takes.
type WordCounts<'a> = &'a dyn Fn(&str) -> usize;

/// One identity of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The name inside `<...>`.
    pub name: String,
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

/// One token of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Id(i64),
    /// An identity, by its name, and which of its words this is.
    Placeholder(String, usize),
}

/// A stretch of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    /// The name inside `<...>`.
    Placeholder(&'a str),
}

/// Whether a text can be an identity's name: letters, digits, `-` and `_`, at least one.
pub fn is_identity_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl Prompt {
    /// Reads a prompt in which identities stand as `<NAME>`, any number of times, and take one token each.
    ///
    /// Whatever could be a name in angle brackets is one; `a < b` and `<3` are plain text. `tokenizers` are those of the
    /// model's text encoders, in their order.
    ///
    /// # Errors
    /// A placeholder lies beyond the end of a prompt that is too long, the tokenizers give different positions, or there is
    /// none.
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
        let mut tokenizers = tokenizers.into_iter();
        let first = tokenizers.next().ok_or_else(|| TokensError::Setting {
            what: "number of tokenizers",
            got: "0".to_owned(),
            expected: "1 or more".to_owned(),
        })?;
        let mut tokens = tokenize(text, first, &words)?;
        let Encoding { ids, text_tokens, cut } = assemble(&tokens, first);
        let mut ids = vec![ids];
        for other in tokenizers {
            let others = tokenize(text, other, &words)?;
            let encoding = assemble(&others, other);
            if !same_positions(&tokens, &others) || encoding.text_tokens != text_tokens {
                return Err(TokensError::OtherPositions { prompt: text.to_owned() });
            }
            ids.push(encoding.ids);
        }
        let mut placeholders: Vec<Placeholder> = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let Token::Placeholder(name, word) = token else { continue };
            if index >= text_tokens {
                return Err(TokensError::PlaceholderCutOff { name: name.clone(), limit: text_tokens });
            }
            if *word > 0 {
                continue;
            }
            let position = index as i64 + 1;
            match placeholders.iter_mut().find(|known| known.name == *name) {
                Some(known) => known.positions.push(position),
                None => {
                    placeholders.push(Placeholder { name: name.clone(), positions: vec![position], words: words(name) })
                }
            }
        }
        tokens.truncate(text_tokens);
        let mut warnings = Vec::new();
        if cut > 0 {
            warnings.push(PromptWarning::CutOff { tokens: cut });
        }
        warnings.extend(other_syntax(text).into_iter().map(PromptWarning::OtherSyntax));
        Ok(Prompt { text: text.to_owned(), ids, placeholders, warnings, tokens })
    }

    /// Whether the prompt says `<name>`.
    pub fn names(&self, name: &str) -> bool {
        self.placeholders.iter().any(|placeholder| placeholder.name == name)
    }

    /// The positions of every occurrence of a word, a phrase, or a placeholder such as `<me>`.
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
        let tokens = found.into_iter().flat_map(|start| start..start + wanted.len());
        Ok(tokens.map(|index| index as i64 + 1).collect())
    }
}

fn tokenize(text: &str, tokenizer: &Tokenizer, words: WordCounts<'_>) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for piece in split(text) {
        match piece {
            Piece::Text(text) => tokens.extend(tokenizer.token_ids(text)?.into_iter().map(Token::Id)),
            Piece::Placeholder(name) => {
                tokens.extend((0..words(name)).map(|word| Token::Placeholder(name.to_owned(), word)));
            }
        }
    }
    Ok(tokens)
}

/// Framed, cut to fit and padded. Placeholders get the start token's id: any id that the embedding table knows will do.
fn assemble(tokens: &[Token], tokenizer: &Tokenizer) -> Encoding {
    let id = |token: &Token| match token {
        Token::Id(id) => *id,
        Token::Placeholder(..) => tokenizer.bos(),
    };
    tokenizer.assemble(&tokens.iter().map(id).collect::<Vec<i64>>())
}

/// Whether two tokenizers' tokens differ in their ids at most.
fn same_positions(tokens: &[Token], others: &[Token]) -> bool {
    let same = |(token, other): (&Token, &Token)| match (token, other) {
        (Token::Id(_), Token::Id(_)) => true,
        (token, other) => token == other,
    };
    tokens.len() == others.len() && tokens.iter().zip(others).all(same)
}

/// Cuts a prompt at its placeholders: `<`, a name, `>`.
fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut plain_from, mut search_from) = (0, 0);
    while let Some(open) = text[search_from..].find('<').map(|at| search_from + at) {
        search_from = open + 1;
        let Some(close) = text[search_from..].find('>').map(|at| search_from + at) else { break };
        let name = &text[search_from..close];
        if is_identity_name(name) {
            if plain_from < open {
                pieces.push(Piece::Text(&text[plain_from..open]));
            }
            pieces.push(Piece::Placeholder(name));
            plain_from = close + 1;
            search_from = plain_from;
        }
    }
    if plain_from < text.len() {
        pieces.push(Piece::Text(&text[plain_from..]));
    }
    pieces
}

/// Where `wanted` begins in `tokens`, without overlaps.
fn occurrences(tokens: &[Token], wanted: &[Token]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    if wanted.is_empty() {
        return found;
    }
    for (start, window) in tokens.windows(wanted.len()).enumerate() {
        if window == wanted && found.last().is_none_or(|last| last + wanted.len() <= start) {
            found.push(start);
        }
    }
    found
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
    fn only_names_in_brackets_are_placeholders() {
        use Piece::{Placeholder, Text};
        assert_eq!(split("a < b > c <3 x"), [Text("a < b > c <3 x")]);
        assert_eq!(split("<me>"), [Placeholder("me")]);
        assert_eq!(split("I <3 <my-cat_2>!"), [Text("I <3 "), Placeholder("my-cat_2"), Text("!")]);
        assert_eq!(split("<<a>><b"), [Text("<"), Placeholder("a"), Text("><b")]);
        assert_eq!(split("<|endoftext|> <é>"), [Text("<|endoftext|> <é>")]);
        assert_eq!(split(""), []);
    }

    #[test]
    fn finds_identities_at_any_position() {
        let tokenizer = tokenizer();
        let prompt = Prompt::parse("<me> and <you> and <me>", [&tokenizer]).unwrap();
        let placeholder = |name: &str, positions| Placeholder { name: name.to_owned(), positions, words: 1 };
        assert_eq!(prompt.placeholders, [placeholder("me", vec![1, 5]), placeholder("you", vec![3])]);
        assert!(prompt.names("you") && !prompt.names("cat") && prompt.warnings.is_empty());
        assert_eq!(prompt.ids[0].len(), 77);
        let plain = tokenizer.encode("x and y and x").unwrap();
        assert_eq!(prompt.ids[0][6..], plain.ids[6..]);
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
}
