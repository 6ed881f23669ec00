//! The vocabulary that all of CLIP's published text encoders share. Source: `vocabulary/README.md`.

use std::iter::once;

/// Before every text.
pub(crate) const START: &str = "<|startoftext|>";
/// Behind every text.
pub(crate) const END: &str = "<|endoftext|>";
/// The token of id 0.
pub(crate) const ZERO: &str = "!";
/// At the end of a token that ends a word.
pub(crate) const END_OF_WORD: &str = "</w>";

/// The pairs of tokens that are joined, the first first.
pub(crate) fn merges() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../vocabulary/merges.txt").lines().filter_map(|line| line.split_once(' '))
}

/// All tokens in the order of their ids: the bytes, the bytes that end a word, what is joined, and the two marks.
pub(crate) fn tokens() -> impl Iterator<Item = String> {
    let letters = || byte_letters().into_iter().map(String::from);
    let joined = merges().map(|(a, b)| format!("{a}{b}"));
    let marks = once(START.to_owned()).chain(once(END.to_owned()));
    letters().chain(letters().map(|letter| letter + END_OF_WORD)).chain(joined).chain(marks)
}

/// The letters that stand for the 256 bytes: bytes that print stand for themselves and come first, the others follow in
/// order as the letters from 256 on.
fn byte_letters() -> Vec<char> {
    let prints = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let printing = (0..=u8::MAX).filter(prints).map(char::from);
    let count = (0..=u8::MAX).filter(|byte| !prints(byte)).count() as u32;
    printing.chain((256..256 + count).filter_map(char::from_u32)).collect()
}
