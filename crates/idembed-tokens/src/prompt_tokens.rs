//! A prompt as tokens, in chunks that the text encoders take.

use idembed_clip::Tokenizer;

use crate::prompt::{PromptSyntax, is_identity_name};
use crate::weighted_text::Stretch;
use crate::{Result, Strength, TokensError};

/// How many tokens the identity of a name takes.
pub(crate) type WordCounts<'a> = &'a dyn Fn(&str) -> usize;

/// One token of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Id(i64),
    /// An identity, and which of its words this is.
    Placeholder(Named, usize),
}

/// An identity as a prompt names it: `<NAME>`, or `<NAME:STRENGTH>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) strength: Option<Strength>,
}

impl Token {
    /// Whether this is what `wanted` asks for: an identity without a strength asks for it with any.
    fn is(&self, wanted: &Token) -> bool {
        match (self, wanted) {
            (Token::Placeholder(own, word), Token::Placeholder(wanted, same)) => {
                word == same
                    && own.name == wanted.name
                    && (wanted.strength.is_none() || own.strength == wanted.strength)
            }
            _ => self == wanted,
        }
    }
}

/// The tokens of a prompt, each with its weight.
#[derive(Debug)]
pub(crate) struct Arranged {
    /// At least one.
    pub(crate) chunks: Vec<Vec<(Token, f32)>>,
    /// How many tokens were cut off.
    pub(crate) cut: usize,
}

impl Arranged {
    /// As a tokenizer has them.
    ///
    /// # Errors
    /// An identity in a plain prompt that is cut before it; one that no chunk takes.
    pub(crate) fn new(
        stretches: &[Stretch],
        tokenizer: &Tokenizer,
        syntax: PromptSyntax,
        words: WordCounts<'_>,
    ) -> Result<Self> {
        // Of a chunk, start and end token take two.
        let limit = tokenizer.max_length() - 2;
        let mut chunks = vec![Vec::new()];
        // The last of these is there only if something is in it.
        let mut begun = 1;
        for stretch in stretches {
            let Stretch::Text(text, weight) = stretch else {
                begun += 1;
                continue;
            };
            for token in tokenize(text, tokenizer, words)? {
                chunks.resize_with(begun, Vec::new);
                let takes = match &token {
                    Token::Id(_) => 1,
                    Token::Placeholder(named, 0) => words(&named.name),
                    // Together with the first word.
                    Token::Placeholder(..) => 0,
                };
                let length = chunks.last().map_or(0, Vec::len);
                if syntax == PromptSyntax::Weighted && length + takes > limit {
                    if let Token::Placeholder(named, _) = &token
                        && takes > limit
                    {
                        return Err(TokensError::WideIdentity { name: named.name.clone(), words: takes, limit });
                    }
                    begun += 1;
                    chunks.push(Vec::new());
                }
                if let Some(chunk) = chunks.last_mut() {
                    chunk.push((token, *weight as f32));
                }
            }
        }
        chunks.resize_with(chunks.len().max(begun - 1), Vec::new);
        let cut = match syntax {
            PromptSyntax::Plain => cut_off(&mut chunks[0], limit)?,
            PromptSyntax::Weighted => 0,
        };
        Ok(Arranged { chunks, cut })
    }

    /// Framed, padded ids, chunk behind chunk. Placeholders get the start token's id: any id that the embedding table knows
    /// will do.
    pub(crate) fn ids(&self, tokenizer: &Tokenizer) -> Vec<i64> {
        let id = |(token, _): &(Token, f32)| match token {
            Token::Id(id) => *id,
            Token::Placeholder(..) => tokenizer.bos(),
        };
        self.chunks
            .iter()
            .flat_map(|chunk| tokenizer.assemble(&chunk.iter().map(id).collect::<Vec<i64>>()).ids)
            .collect()
    }

    /// The weight at each of the ids; what frames and pads weighs 1.
    pub(crate) fn weights(&self, chunk_length: usize) -> Vec<f32> {
        let of_chunk = |chunk: &Vec<(Token, f32)>| {
            let mut weights = vec![1.0; chunk_length];
            weights.iter_mut().skip(1).zip(chunk).for_each(|(weight, (_, own))| *weight = *own);
            weights
        };
        self.chunks.iter().flat_map(of_chunk).collect()
    }

    /// The position of each token among the ids.
    pub(crate) fn positions(&self, chunk_length: usize) -> impl Iterator<Item = i64> {
        let of_chunk = move |(number, chunk): (usize, &Vec<(Token, f32)>)| {
            let first = (number * chunk_length + 1) as i64;
            first..first + chunk.len() as i64
        };
        self.chunks.iter().enumerate().flat_map(of_chunk)
    }

    /// Whether another tokenizer's tokens differ from these in their ids at most.
    pub(crate) fn has_same_positions(&self, other: &Arranged) -> bool {
        let same = |(token, other): (&(Token, f32), &(Token, f32))| match (&token.0, &other.0) {
            (Token::Id(_), Token::Id(_)) => true,
            (token, other) => token == other,
        };
        let same_chunk =
            |(chunk, other): (&Vec<_>, &Vec<_>)| chunk.len() == other.len() && chunk.iter().zip(other).all(same);
        self.cut == other.cut
            && self.chunks.len() == other.chunks.len()
            && self.chunks.iter().zip(&other.chunks).all(same_chunk)
    }
}

/// Leaves as many tokens as fit; says how many do not.
fn cut_off(tokens: &mut Vec<(Token, f32)>, limit: usize) -> Result<usize> {
    let rest = tokens.split_off(tokens.len().min(limit));
    match rest.iter().find_map(|(token, _)| if let Token::Placeholder(named, _) = token { Some(named) } else { None }) {
        Some(named) => Err(TokensError::PlaceholderCutOff { name: named.name.clone(), limit }),
        None => Ok(rest.len()),
    }
}

/// The tokens of a text in which nothing is syntax but placeholders.
pub(crate) fn tokenize(text: &str, tokenizer: &Tokenizer, words: WordCounts<'_>) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for piece in split(text) {
        match piece {
            Piece::Text(text) => tokens.extend(tokenizer.token_ids(text)?.into_iter().map(Token::Id)),
            Piece::Placeholder(name, strength) => {
                let named = Named { name: name.to_owned(), strength: strength.map(str::parse).transpose()? };
                tokens.extend((0..words(name)).map(|word| Token::Placeholder(named.clone(), word)));
            }
        }
    }
    Ok(tokens)
}

/// A text with something in place of each identity that it names, strengths and all; what has none stays as it is.
pub fn replace_identities(text: &str, with: impl Fn(&str) -> Option<String>) -> String {
    let pieces = split(text).into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Placeholder(name, strength) => with(name).unwrap_or_else(|| match strength {
            Some(strength) => format!("<{name}:{strength}>"),
            None => format!("<{name}>"),
        }),
    });
    pieces.collect()
}

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    /// What is inside `<...>`: a name, and numbers behind its colon.
    Placeholder(&'a str, Option<&'a str>),
}

/// Cuts a text at its placeholders: `<`, a name and perhaps a colon and numbers, `>`.
fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut plain_from, mut search_from) = (0, 0);
    while let Some(open) = text[search_from..].find('<').map(|at| search_from + at) {
        search_from = open + 1;
        let Some(close) = text[search_from..].find('>').map(|at| search_from + at) else { break };
        if let Some((name, strength)) = named(&text[search_from..close]) {
            if plain_from < open {
                pieces.push(Piece::Text(&text[plain_from..open]));
            }
            pieces.push(Piece::Placeholder(name, strength));
            plain_from = close + 1;
            search_from = plain_from;
        }
    }
    if plain_from < text.len() {
        pieces.push(Piece::Text(&text[plain_from..]));
    }
    pieces
}

/// The name and the strength that stand between `<` and `>`, if that is what stands there.
pub(crate) fn named(inside: &str) -> Option<(&str, Option<&str>)> {
    let are_numbers = |text: &str| text.split('/').all(|number| number.parse::<f64>().is_ok());
    let (name, strength) = match inside.split_once(':') {
        Some((name, numbers)) if are_numbers(numbers) => (name, Some(numbers)),
        Some(_) => return None,
        None => (inside, None),
    };
    is_identity_name(name).then_some((name, strength))
}

/// Where `wanted` begins in `tokens`, without overlaps.
pub(crate) fn occurrences(tokens: &[Token], wanted: &[Token]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    if wanted.is_empty() {
        return found;
    }
    for (start, window) in tokens.windows(wanted.len()).enumerate() {
        let is_wanted = window.iter().zip(wanted).all(|(token, wanted)| token.is(wanted));
        if is_wanted && found.last().is_none_or(|last| last + wanted.len() <= start) {
            found.push(start);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_brackets_are_placeholders() {
        use Piece::Text;
        let placeholder = |name| Piece::Placeholder(name, None);
        assert_eq!(split("a < b > c <3 x"), [Text("a < b > c <3 x")]);
        assert_eq!(split("<me>"), [placeholder("me")]);
        assert_eq!(split("I <3 <my-cat_2>!"), [Text("I <3 "), placeholder("my-cat_2"), Text("!")]);
        assert_eq!(split("<<a>><b"), [Text("<"), placeholder("a"), Text("><b")]);
        assert_eq!(split("<|endoftext|> <é>"), [Text("<|endoftext|> <é>")]);
        assert_eq!(split(""), []);
    }

    #[test]
    fn a_strength_is_nothing_but_numbers_behind_a_name() {
        use Piece::{Placeholder, Text};
        assert_eq!(split("a <me:0.7>"), [Text("a "), Placeholder("me", Some("0.7"))]);
        assert_eq!(split("<me:0.2/1>, x"), [Placeholder("me", Some("0.2/1")), Text(", x")]);
        for text in ["<me:>", "<me:strong>", "<lora:me:1>", "<me: x>", "<me:1/>", "<:1>"] {
            assert_eq!(split(text), [Text(text)]);
        }
        let class = |name: &str| (name == "me").then(|| "person".to_owned());
        assert_eq!(replace_identities("<me:0.5/1> (<me>:1.2) <you:2> <3", class), "person (person:1.2) <you:2> <3");
    }
}
