//! Prompts as people write them: brackets that weigh words, escaped brackets, `BREAK`.
//!
//! | Written | Read as |
//! |---|---|
//! | `(word)`, `((word))` | 1.1 times the weight, for each pair of brackets |
//! | `(word:1.3)` | 1.3 times the weight |
//! | `[word]` | the weight divided by 1.1 |
//! | `\(`, `\)`, `\[`, `\]`, `\\` | the character behind the backslash |
//! | `BREAK` | the tokens behind it begin a new chunk |
//!
//! A bracket without its partner is text, and so is everything that is none of these. Nothing here calls itself: brackets may
//! be nested as deep as one likes.
//!
//! # Source
//! The features that AUTOMATIC1111's web UI documents for prompts, "Attention/emphasis". There `BREAK` inside brackets is a word;
//! here it divides.

use std::ops::Range;

use crate::{Result, TokensError};

/// What a pair of round brackets without a number does.
const MORE: f64 = 1.1;

/// What a pair of square brackets does.
const LESS: f64 = 1.0 / MORE;

/// The largest weight, brackets within brackets multiplied; the least is its negative.
const MOST: f64 = 100.0;

/// What begins a new chunk.
const BREAK: &str = "BREAK";

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stretch {
    /// Text, free of syntax, and how much it weighs. Its neighbours weigh otherwise.
    Text(String, f64),
    /// The end of a chunk.
    Break,
}

/// One place where a prompt is not what it reads.
struct Edit {
    place: Range<usize>,
    /// Nothing as long as a bracket has not found its partner.
    what: Option<What>,
}

#[derive(Clone, Copy)]
enum What {
    /// From here on the weight is multiplied.
    Begin(f64),
    /// What began last ends.
    End,
    /// A character that had to be escaped.
    Character(char),
    Break,
}

/// A bracket that waits for its partner.
struct Open {
    edit: usize,
    round: bool,
    /// Whether a `|` stands directly in it.
    has_bar: bool,
}

/// What a prompt reads.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stretches: Vec<Stretch>,
    /// The first place of words that change while the picture is drawn, which are left as they stand.
    pub(crate) unread: Option<Range<usize>>,
}

impl Reading {
    /// A prompt without syntax.
    pub(crate) fn plain(prompt: &str) -> Reading {
        Reading { stretches: vec![Stretch::Text(prompt.to_owned(), 1.0)], unread: None }
    }
}

/// Takes a prompt apart.
///
/// # Errors
/// A weight that is no number from -100 to 100.
pub(crate) fn read(prompt: &str) -> Result<Reading> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut unread = None;
    let mut weights = vec![1.0];
    let mut from = 0;
    for Edit { place, what } in edits(prompt, &mut unread) {
        let Some(what) = what else { continue };
        let weight = weights.last().copied().unwrap_or(1.0);
        // Two breaks share the space between them.
        push(&mut stretches, &prompt[from..place.start.max(from)], weight)?;
        from = place.end;
        match what {
            What::Begin(factor) => weights.push(weight * factor),
            What::End => drop(weights.pop()),
            What::Character(character) => push(&mut stretches, character.encode_utf8(&mut [0; 4]), weight)?,
            What::Break => stretches.push(Stretch::Break),
        }
    }
    push(&mut stretches, &prompt[from..], 1.0)?;
    Ok(Reading { stretches, unread })
}

/// Adds text, to the text before it where that weighs as much.
fn push(stretches: &mut Vec<Stretch>, text: &str, weight: f64) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    if !(-MOST..=MOST).contains(&weight) {
        let (got, expected) = (weight.to_string(), format!("{} to {MOST}", -MOST));
        return Err(TokensError::PromptWeight { text: shortened(text), got, expected });
    }
    match stretches.last_mut() {
        Some(Stretch::Text(before, same)) if *same == weight => before.push_str(text),
        _ => stretches.push(Stretch::Text(text.to_owned(), weight)),
    }
    Ok(())
}

/// The places where the prompt is not what it reads, in order; `unread` is the first that is left as it stands.
fn edits(prompt: &str, unread: &mut Option<Range<usize>>) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    // So many of `open` are round, and so many square.
    let mut waiting = [0, 0];
    // The last colon behind which there was no bracket.
    let mut colon = None;
    let bytes = prompt.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let mut end = at + 1;
        match byte {
            b'\\' if bytes.get(end).is_some_and(|next| br"()[]\".contains(next)) => {
                edits.push(Edit { place: at..end + 1, what: Some(What::Character(char::from(bytes[end]))) });
                (end, colon) = (end + 1, None);
            }
            b'(' | b'[' => {
                let round = byte == b'(';
                open.push(Open { edit: edits.len(), round, has_bar: false });
                waiting[usize::from(round)] += 1;
                edits.push(Edit { place: at..end, what: None });
                colon = None;
            }
            b')' | b']' => {
                let round = byte == b')';
                if waiting[usize::from(round)] > 0 {
                    // Brackets of the other kind in between have no partner: they are text.
                    while let Some(inner) = open.pop() {
                        waiting[usize::from(inner.round)] -= 1;
                        if inner.round == round {
                            let number = colon.and_then(|colon| number(&prompt[colon + 1..at]).map(|is| (colon, is)));
                            if !close(&mut edits, &inner, number, at..end) {
                                unread.get_or_insert(edits[inner.edit].place.start..end);
                            }
                            break;
                        }
                    }
                }
                colon = None;
            }
            b':' => colon = Some(at),
            b'|' => {
                if let Some(inner) = open.last_mut() {
                    inner.has_bar = true;
                }
            }
            b'B' => {
                if let Some(place) = break_at(prompt, at) {
                    end = place.end;
                    edits.push(Edit { place, what: Some(What::Break) });
                    colon = None;
                }
            }
            _ => {}
        }
        at = end;
    }
    edits
}

/// Ends a pair of brackets, unless it is none that is understood; `number` is the one behind its last colon.
fn close(edits: &mut Vec<Edit>, open: &Open, number: Option<(usize, f64)>, bracket: Range<usize>) -> bool {
    let (factor, place) = match (open.round, number) {
        (true, Some((colon, number))) => (number, colon..bracket.end),
        (true, None) => (MORE, bracket),
        // Words that change while the picture is drawn.
        (false, Some(_)) => return false,
        (false, None) if open.has_bar => return false,
        (false, None) => (LESS, bracket),
    };
    edits[open.edit].what = Some(What::Begin(factor));
    edits.push(Edit { place, what: Some(What::End) });
    true
}

/// A number, however odd: that it cannot be a weight is said later, with the words that it is for.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// The place of a `BREAK` that begins here and is a word of its own, with the spaces around it.
fn break_at(prompt: &str, at: usize) -> Option<Range<usize>> {
    let (before, rest) = (&prompt[..at], prompt[at..].strip_prefix(BREAK)?);
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    if before.chars().next_back().is_some_and(in_word) || rest.chars().next().is_some_and(in_word) {
        return None;
    }
    // The name of an identity.
    if before.ends_with('<') && rest.starts_with('>') {
        return None;
    }
    Some(before.trim_end().len()..prompt.len() - rest.trim_start().len())
}

/// The beginning of a text, for an error.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(prompt: &str) -> Vec<(String, f64)> {
        let parts = read(prompt).unwrap().stretches.into_iter().map(|stretch| match stretch {
            Stretch::Text(text, weight) => (text, (weight * 1e6).round() / 1e6),
            Stretch::Break => ("|".to_owned(), 0.0),
        });
        parts.collect()
    }

    fn expect(prompt: &str, expected: &[(&str, f64)]) {
        let expected: Vec<(String, f64)> = expected.iter().map(|&(text, weight)| (text.to_owned(), weight)).collect();
        assert_eq!(texts(prompt), expected, "{prompt}");
    }

    #[test]
    fn brackets_weigh() {
        expect("a (red) hat", &[("a ", 1.0), ("red", 1.1), (" hat", 1.0)]);
        expect("((red)) [hat]", &[("red", 1.21), (" ", 1.0), ("hat", 0.909091)]);
        expect("(<me>:1.3), (a b : .5 )", &[("<me>", 1.3), (", ", 1.0), ("a b ", 0.5)]);
        expect("(a (b:1.5) c:2)", &[("a ", 2.0), ("b", 3.0), (" c", 2.0)]);
        expect("(a:b:-0.5)(c:-0.5)", &[("a:bc", -0.5)]);
        expect("[(a)] b", &[("a b", 1.0)]);
        expect("(a:0)", &[("a", 0.0)]);
        // A number is one only where it ends the brackets.
        expect("(at 10:30 sharp)", &[("at 10:30 sharp", 1.1)]);
        expect("(a:1.2.3)", &[("a:1.2.3", 1.1)]);
        expect("a:1.3", &[("a:1.3", 1.0)]);
    }

    #[test]
    fn what_is_no_syntax_is_text() {
        for prompt in [
            "",
            "I <3 you :)",
            ":( a",
            "a) b",
            "([",
            "([)",
            r"a \b c\",
            "a [b|c] d",
            "[cat:dog:0.5]",
            "[cat:7]",
            "BREAKFAST",
        ] {
            let expected: &[(&str, f64)] = if prompt.is_empty() { &[] } else { &[(prompt, 1.0)] };
            if prompt == "([)" {
                expect(prompt, &[("[", 1.1)]);
            } else {
                expect(prompt, expected);
            }
        }
        expect(r"a \(b\) \[c\] \\d", &[(r"a (b) [c] \d", 1.0)]);
        expect(r"(a\):1.5)", &[("a)", 1.5)]);
        expect(r"(a:1\)5)", &[("a:1)5", 1.1)]);
        expect("()[]x(:2)", &[("x", 1.0)]);
        // What changes while drawing is left as it stands, with the weights inside it.
        expect("[(a:2):b:0.5]", &[("[", 1.0), ("a", 2.0), (":b:0.5]", 1.0)]);
        expect("[a|(b|c)]", &[("[a|", 1.0), ("b|c", 1.1), ("]", 1.0)]);
    }

    #[test]
    fn breaks_divide() {
        expect("a BREAK b", &[("a", 1.0), ("|", 0.0), ("b", 1.0)]);
        expect("a,BREAK,b BREAKx xBREAK <BREAK>", &[("a,", 1.0), ("|", 0.0), (",b BREAKx xBREAK <BREAK>", 1.0)]);
        expect("(a BREAK b:2)", &[("a", 2.0), ("|", 0.0), ("b", 2.0)]);
        expect("BREAK BREAK", &[("|", 0.0), ("|", 0.0)]);
    }

    #[test]
    fn weights_out_of_range_are_refused() {
        let refused = |prompt: &str| read(prompt).unwrap_err().to_string();
        assert_eq!(refused("a (red hat:1e6)"), "the weight of `red hat` is 1000000, expected -100 to 100");
        assert!(refused("(x:nan)").contains("`x` is NaN"));
        assert!(refused("(x:-inf)").contains("`x` is -inf"));
        assert!(refused("((x:20):20)").contains("is 400"));
        let deep = |inside: &str, levels| format!("{}{inside}{}", "(".repeat(levels), ")".repeat(levels));
        assert!(refused(&deep("x", 10_000)).contains("`x` is inf"));
        assert_eq!(texts(&deep("", 10_000)), []);
        expect("(:1e6)", &[]);
        assert_eq!(texts(&"(".repeat(10_000)), [("(".repeat(10_000), 1.0)]);
        assert_eq!(texts(&"])".repeat(10_000)).len(), 1);
        assert!(!texts(&("[(".repeat(10_000) + &"]".repeat(10_000))).is_empty());
    }

    proptest! {
        #[test]
        fn no_prompt_is_too_odd(prompt in r"(BREAK|[()\[\]<>:\\a-c0-9.| \u{e9}]){0,60}") {
            if let Ok(Reading { stretches, .. }) = read(&prompt) {
                let length: usize = stretches.iter().map(|stretch| match stretch {
                    Stretch::Text(text, _) => text.len(),
                    Stretch::Break => 0,
                }).sum();
                prop_assert!(length <= prompt.len());
            }
        }
    }
}
