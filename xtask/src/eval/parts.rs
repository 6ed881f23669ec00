//! What the pages of both forms are made from.

use idembed_page::{Figure, Inlined};

use super::inline::Absent;

/// The picture with a caption, or why it is not there.
pub(crate) fn figure(picture: Result<Inlined, Absent>, caption: &str) -> Figure {
    match picture {
        Ok(picture) => Figure::new(picture, caption),
        Err(absent) => Figure::absent(&absent.to_string(), caption),
    }
}

/// Words as a sentence.
pub(crate) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}
