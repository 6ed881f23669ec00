//! What a picture was to show.

use std::collections::BTreeMap;

/// Stands in a prompt for the identity.
pub const PLACEHOLDER: &str = "{}";
/// Stands in a prompt for a second identity.
pub const OTHER_PLACEHOLDER: &str = "{other}";

/// A prompt without identities, in the words that CLIP knows, and what of it a judge can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The prompt with the class word for each identity.
    pub with_class: String,
    /// The prompt without identities.
    pub deleted: String,
    /// Classes by factor, as [`Factors`](crate::judge::Factors) names them.
    pub wishes: BTreeMap<String, String>,
}

impl Request {
    /// What a prompt with [`PLACEHOLDER`] and, for a second person, [`OTHER_PLACEHOLDER`] asks for.
    pub fn new(prompt: &str, class: &str, wishes: BTreeMap<String, String>) -> Self {
        let with = |word: &str| prompt.replace(PLACEHOLDER, word).replace(OTHER_PLACEHOLDER, word);
        Request { with_class: with(class), deleted: mended(&with("")), wishes }
    }
}

/// A text in which words are missing, without the spaces that they left.
fn mended(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    [",", ".", ";", ":", "!", "?"].iter().fold(words.join(" "), |text, mark| text.replace(&format!(" {mark}"), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompt: &str) -> (String, String) {
        let request = Request::new(prompt, "person", BTreeMap::new());
        (request.with_class, request.deleted)
    }

    #[test]
    fn identities_become_the_class_word_or_nothing() {
        for (prompt, with_class, deleted) in [
            ("a photo of {} at the beach", "a photo of person at the beach", "a photo of at the beach"),
            ("a {} playing the guitar", "a person playing the guitar", "a playing the guitar"),
            ("{}, smiling", "person, smiling", ", smiling"),
            ("a photo of {}, smiling", "a photo of person, smiling", "a photo of, smiling"),
            ("a photo of {}", "a photo of person", "a photo of"),
            ("{}", "person", ""),
            (
                "a photo of {} and {other} in a forest",
                "a photo of person and person in a forest",
                "a photo of and in a forest",
            ),
            ("a cat", "a cat", "a cat"),
        ] {
            assert_eq!(texts(prompt), (with_class.to_owned(), deleted.to_owned()));
        }
    }
}
