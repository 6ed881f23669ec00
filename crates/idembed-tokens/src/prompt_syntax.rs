//! Prompt syntax of other tools that is not read: it is found, so that nobody takes text for an instruction. What is read where a
//! prompt is not plain is in `weighted_text`.
//!
//! # Source
//! The features that AUTOMATIC1111's web UI and ComfyUI document for prompts: `(word)` and `(word:1.3)` weigh more,
//! `[word]` weighs less, `[a:b:0.5]` and `[a|b]` change while drawing, `<lora:NAME:1>` loads a network, `BREAK` and `AND`
//! divide a prompt. A backslash before a bracket makes it text there as well.

use std::fmt;

use crate::prompt_tokens::named;

/// The most characters of a finding that are shown.
const SHOWN: usize = 40;

/// What another tool would do at some place of a prompt, with that place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSyntax {
    /// What it would do.
    pub meaning: Meaning,
    /// The text, cut short where it is long.
    pub text: String,
}

/// What a piece of syntax does in other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Gives words more or less weight.
    Weight,
    /// Changes words while the picture is drawn.
    Schedule,
    /// Loads a LoRA or another network.
    Network,
    /// Divides the prompt into parts that are encoded separately.
    Division,
    /// Chooses one of several words, or one out of a file.
    Choice,
}

impl fmt::Display for OtherSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsupported = match self.meaning {
            Meaning::Weight => "weights are not read here",
            Meaning::Schedule => "words that change while drawing are not supported",
            Meaning::Network => "networks cannot be loaded from a prompt",
            Meaning::Division => "the prompt is not divided",
            Meaning::Choice => "nothing chooses among words",
        };
        write!(f, "`{}` is drawn as plain text: {unsupported}", self.text)
    }
}

/// The first place of each meaning that a prompt has nowhere where weights are read, in the order of [`Meaning`]; `schedule` is
/// what reading them has found.
pub(crate) fn not_understood(prompt: &str, schedule: Option<&str>) -> Vec<OtherSyntax> {
    let found = [
        (Meaning::Schedule, schedule),
        (Meaning::Network, network(prompt)),
        (Meaning::Division, prompt.split_whitespace().find(|word| *word == "AND")),
        (Meaning::Choice, choice(prompt, schedule.unwrap_or_default())),
    ];
    listed(found)
}

/// The first place of each meaning in a plain prompt, in the order of [`Meaning`].
pub fn other_syntax(prompt: &str) -> Vec<OtherSyntax> {
    let brackets = brackets(prompt);
    let first = |meaning| brackets.iter().find(|(found, _)| *found == meaning).map(|&(_, text)| text);
    let found = [
        (Meaning::Weight, first(Meaning::Weight)),
        (Meaning::Schedule, first(Meaning::Schedule)),
        (Meaning::Network, network(prompt)),
        (Meaning::Division, prompt.split_whitespace().find(|word| matches!(*word, "BREAK" | "AND"))),
    ];
    listed(found)
}

fn listed<'a>(found: impl IntoIterator<Item = (Meaning, Option<&'a str>)>) -> Vec<OtherSyntax> {
    let found = found.into_iter().filter_map(|(meaning, text)| Some((meaning, text?)));
    found.map(|(meaning, text)| OtherSyntax { meaning, text: shortened(text) }).collect()
}

/// Everything between brackets that close, the outermost only, in order.
fn brackets(prompt: &str) -> Vec<(Meaning, &str)> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut escaped = false;
    for (at, character) in prompt.char_indices() {
        match character {
            '(' | '[' if !escaped => open.push((at, character)),
            ')' | ']' if !escaped => {
                let opening = if character == ')' { '(' } else { '[' };
                if let Some(depth) = open.iter().rposition(|&(_, bracket)| bracket == opening) {
                    let start = open[depth].0;
                    open.truncate(depth);
                    found.retain(|&(inner, _)| inner < start);
                    found.push((start, &prompt[start..=at]));
                }
            }
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    found.into_iter().map(|(_, text)| (meaning(text), text)).collect()
}

/// What a text in brackets means.
fn meaning(text: &str) -> Meaning {
    let changes = text.starts_with('[') && text.contains([':', '|']);
    if changes { Meaning::Schedule } else { Meaning::Weight }
}

/// The first word such as `red|blue`, or a file of words such as `__colours__`, that is not `known`.
fn choice<'a>(prompt: &'a str, known: &str) -> Option<&'a str> {
    let is_choice = |word: &str| {
        let sides = word.split_once('|');
        sides.is_some_and(|(left, right)| {
            left.ends_with(char::is_alphanumeric) && right.starts_with(char::is_alphanumeric)
        })
    };
    let is_file = |word: &str| {
        let name = word.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
        name.is_some_and(|name| name.starts_with(char::is_alphanumeric))
    };
    let outside = |letter: char| letter.is_ascii_punctuation() && !matches!(letter, '_' | '|' | '/' | '-');
    let mut words = prompt.split(|letter: char| letter.is_whitespace() || outside(letter));
    words.find(|word| (is_choice(word) || is_file(word)) && !known.contains(word))
}

/// The first `<kind:...>`; an identity's `<name>` has no colon.
fn network(prompt: &str) -> Option<&str> {
    prompt.match_indices('<').find_map(|(at, _)| {
        let rest = &prompt[at..];
        let whole = &rest[..=rest.find('>')?];
        let inside = &whole[1..whole.len() - 1];
        let (kind, name) = inside.split_once(':').filter(|_| named(inside).is_none())?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_kind && !name.is_empty()).then_some(whole)
    })
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(prompt: &str) -> Vec<(Meaning, String)> {
        other_syntax(prompt).into_iter().map(|found| (found.meaning, found.text)).collect()
    }

    #[test]
    fn each_kind_is_named() {
        let one = |meaning, text: &str| vec![(meaning, text.to_owned())];
        assert_eq!(found("a photo of (<me>:1.3), smiling"), one(Meaning::Weight, "(<me>:1.3)"));
        assert_eq!(found("a ((red)) hat"), one(Meaning::Weight, "((red))"));
        assert_eq!(found("(a), [(a)]"), one(Meaning::Weight, "(a)"));
        assert_eq!(found("a photo of [me] and [you]"), one(Meaning::Weight, "[me]"));
        assert_eq!(found("a [cat:dog:0.5]"), one(Meaning::Schedule, "[cat:dog:0.5]"));
        assert_eq!(found("a [cat|dog]"), one(Meaning::Schedule, "[cat|dog]"));
        assert_eq!(found("a man <lora:x:1>"), one(Meaning::Network, "<lora:x:1>"));
        assert_eq!(found("a man BREAK a hat"), one(Meaning::Division, "BREAK"));
        let all = found("BREAK <hypernet:a:1> [a|b] (c)");
        assert_eq!(all.len(), 4);
        let shown = other_syntax("a man <lora:x:1>")[0].to_string();
        assert_eq!(shown, "`<lora:x:1>` is drawn as plain text: networks cannot be loaded from a prompt");
    }

    #[test]
    fn plain_text_is_let_be() {
        for prompt in [
            "",
            "a photo of <me> at the beach, 3:1",
            "I <3 you :)",
            "a) first b) second",
            r"a \(real\) cat \[x\]",
            "a < b : c > d",
            "breakfast BREAKFAST and",
            "([",
        ] {
            assert_eq!(found(prompt), [], "{prompt}");
        }
    }

    #[test]
    fn long_findings_are_cut_between_characters() {
        let long = format!("({})", "\u{e9}".repeat(100));
        let text = other_syntax(&long)[0].text.clone();
        assert_eq!(text.chars().count(), SHOWN + 3);
    }

    proptest! {
        #[test]
        fn no_prompt_is_too_odd(prompt in r"[()\[\]<>:\\a-zA-Z |\u{e9}]{0,40}") {
            for found in other_syntax(&prompt) {
                prop_assert!(prompt.contains(found.text.trim_end_matches("...")));
            }
        }
    }
}
