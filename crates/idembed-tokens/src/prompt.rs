//! Prompts with `<NAME>` placeholders, each standing for one identity and taking one token.

use std::fmt;

use idembed_clip::{Encoding, Tokenizer};

use crate::prompt_syntax::{OtherSyntax, other_syntax};
use crate::{Result, TokensError};

/// A prompt as tokens, with the positions of its identities.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Start token, text, end token, padding. The ids at placeholders mean nothing: their embeddings are replaced.
    pub ids: Vec<i64>,
    /// For each identity given, the positions of its placeholders in `ids`; empty if the prompt does not use it.
    pub positions: Vec<Vec<i64>>,
    /// What the user should know.
    pub warnings: Vec<PromptWarning>,
    names: Vec<String>,
    tokens: Vec<Token>,
}

/// Something odd about a prompt that does not keep it from working.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptWarning {
    /// An identity was given but the prompt does not name it.
    UnusedIdentity(String),
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
            PromptWarning::UnusedIdentity(name) => {
                write!(f, "the identity `{name}` was given, but the prompt does not say <{name}>")
            }
            PromptWarning::CutOff { tokens } => {
                write!(f, "the prompt is {tokens} tokens too long; its end was cut off")
            }
            PromptWarning::OtherSyntax(found) => found.fmt(f),
        }
    }
}

/// One token of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Id(i64),
    /// Index of an identity.
    Identity(usize),
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
    /// Reads a prompt in which each of `names` may stand as `<NAME>`, any number of times.
    ///
    /// Anything else in angle brackets that could be a name is an error; `a < b` and `<3` are plain text.
    ///
    /// # Errors
    /// A placeholder without an identity of that name, or one that lies beyond the end of a prompt that is too long.
    pub fn parse(text: &str, names: &[&str], tokenizer: &Tokenizer) -> Result<Self> {
        let tokens = tokenize(text, names, tokenizer)?;
        // Placeholders get the start token's id: any id that the embedding table knows will do.
        let ids: Vec<i64> = tokens.iter().map(|token| token.id().unwrap_or(tokenizer.bos())).collect();
        let Encoding { ids, text_tokens, cut } = tokenizer.assemble(&ids);
        let mut positions = vec![Vec::new(); names.len()];
        for (index, token) in tokens.iter().enumerate() {
            if let Token::Identity(identity) = *token {
                if index >= text_tokens {
                    let name = names[identity].to_owned();
                    return Err(TokensError::PlaceholderCutOff { name, limit: text_tokens });
                }
                positions[identity].push(index as i64 + 1);
            }
        }
        let unused = names.iter().zip(&positions).filter(|(_, positions)| positions.is_empty());
        let mut warnings: Vec<_> = unused.map(|(name, _)| PromptWarning::UnusedIdentity((*name).to_owned())).collect();
        if cut > 0 {
            warnings.push(PromptWarning::CutOff { tokens: cut });
        }
        warnings.extend(other_syntax(text).into_iter().map(PromptWarning::OtherSyntax));
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let tokens = tokens.into_iter().take(text_tokens).collect();
        Ok(Prompt { text: text.to_owned(), ids, positions, warnings, names, tokens })
    }

    /// The positions in [`Prompt::ids`] of every occurrence of a word, a phrase, or a placeholder such as `<me>`.
    ///
    /// Capitals do not matter. All tokens of a word of several tokens are given, in order.
    ///
    /// # Errors
    /// The prompt (as far as it was not cut off) does not contain it.
    pub fn word_positions(&self, word: &str, tokenizer: &Tokenizer) -> Result<Vec<i64>> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let wanted = tokenize(word, &names, tokenizer)?;
        let found = occurrences(&self.tokens, &wanted);
        if found.is_empty() {
            return Err(TokensError::WordNotInPrompt { word: word.to_owned(), prompt: self.text.clone() });
        }
        let tokens = found.into_iter().flat_map(|start| start..start + wanted.len());
        Ok(tokens.map(|index| index as i64 + 1).collect())
    }
}

impl Token {
    fn id(self) -> Option<i64> {
        match self {
            Token::Id(id) => Some(id),
            Token::Identity(_) => None,
        }
    }
}

fn tokenize(text: &str, names: &[&str], tokenizer: &Tokenizer) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for piece in split(text) {
        match piece {
            Piece::Text(text) => tokens.extend(tokenizer.token_ids(text)?.into_iter().map(Token::Id)),
            Piece::Placeholder(name) => {
                let identity = names.iter().position(|&given| given == name).ok_or_else(|| {
                    let given = names.iter().map(|&given| given.to_owned()).collect();
                    TokensError::UnknownIdentity { name: name.to_owned(), given }
                })?;
                tokens.push(Token::Identity(identity));
            }
        }
    }
    Ok(tokens)
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
        let prompt = Prompt::parse("<me> and <you> and <me>", &["you", "me"], &tokenizer).unwrap();
        assert_eq!(prompt.positions, [vec![3], vec![1, 5]]);
        assert!(prompt.warnings.is_empty());
        assert_eq!(prompt.ids.len(), 77);
        let plain = tokenizer.encode("x and y and x").unwrap();
        assert_eq!(prompt.ids[6..], plain.ids[6..]);
    }

    #[test]
    fn names_what_is_missing_or_unused() {
        let tokenizer = tokenizer();
        let error = Prompt::parse("a <cat>", &["me", "you"], &tokenizer).unwrap_err();
        assert_eq!(error.to_string(), "the prompt names <cat>, but only <me>, <you> was given");
        let prompt = Prompt::parse("a photo", &["me"], &tokenizer).unwrap();
        assert_eq!(prompt.warnings, [PromptWarning::UnusedIdentity("me".to_owned())]);
    }

    #[test]
    fn long_prompts_are_cut_but_never_before_a_placeholder() {
        let tokenizer = tokenizer();
        let long = "photo ".repeat(80);
        let prompt = Prompt::parse(&format!("<me> {long}"), &["me"], &tokenizer).unwrap();
        let tokens = tokenizer.token_ids(&long).unwrap().len() + 1 - 75;
        assert_eq!(prompt.warnings, [PromptWarning::CutOff { tokens }]);
        assert_eq!((prompt.ids.len(), prompt.ids[76]), (77, tokenizer.eos()));
        let error = Prompt::parse(&format!("{long} <me>"), &["me"], &tokenizer).unwrap_err();
        assert!(matches!(error, TokensError::PlaceholderCutOff { limit: 75, .. }));
    }

    #[test]
    fn finds_words_phrases_and_placeholders() {
        let tokenizer = tokenizer();
        let prompt = Prompt::parse("a photo of <me> holding a red cup, a photo", &["me"], &tokenizer).unwrap();
        let ids = tokenizer.token_ids("a photo of").unwrap();
        let me = ids.len() as i64 + 1;
        assert_eq!(prompt.word_positions("<me>", &tokenizer).unwrap(), [me]);
        assert_eq!(prompt.word_positions("Photo Of <me>", &tokenizer).unwrap().len(), ids.len());
        assert_eq!(prompt.word_positions("photo", &tokenizer).unwrap().len(), 2 * (ids.len() - 2));
        let error = prompt.word_positions("blue", &tokenizer).unwrap_err();
        assert!(matches!(error, TokensError::WordNotInPrompt { .. }));
        assert!(prompt.word_positions("", &tokenizer).is_err());
    }
}
