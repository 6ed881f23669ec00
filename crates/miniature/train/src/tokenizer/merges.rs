//! Byte-pair encoding: which pairs of pieces become one.

use std::collections::BTreeMap;

/// What CLIP's vocabulary has behind the last piece of a word.
const END_OF_WORD: &str = "</w>";

/// The characters that stand for the 256 bytes, in the order of CLIP's vocabulary: printable ones for themselves first,
/// then letters of the Latin blocks for the others.
pub(super) fn alphabet() -> impl Iterator<Item = char> {
    ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').chain('Ā'..='Ń')
}

/// All tokens but the special ones, in CLIP's order: bytes, bytes at the end of a word, what each merge makes.
pub(super) fn tokens(merges: &[(String, String)]) -> Vec<String> {
    let inner = alphabet().map(String::from);
    let last = alphabet().map(|byte| format!("{byte}{END_OF_WORD}"));
    let mut tokens: Vec<String> = inner.chain(last).collect();
    for (left, right) in merges {
        let token = format!("{left}{right}");
        // Two ways may lead to the same token.
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

/// The merges, in their order, after which each of the words is one token.
///
/// `words` says how often each occurs. The most frequent pair of neighbours is merged everywhere, again and again; among
/// equally frequent ones, the first in the order of characters.
///
/// # Source
/// arXiv 1508.07909, section 3.2.
pub(super) fn learn(words: &BTreeMap<String, u64>) -> Vec<(String, String)> {
    let mut words: Vec<(Vec<String>, u64)> = words.iter().map(|(word, &count)| (pieces(word), count)).collect();
    let mut merges = Vec::new();
    while let Some(pair) = most_frequent(&words) {
        words.iter_mut().for_each(|(pieces, _)| merge(pieces, &pair));
        words.retain(|(pieces, _)| pieces.len() > 1);
        merges.push(pair);
    }
    merges
}

/// A word as single bytes.
fn pieces(word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = word.chars().map(String::from).collect();
    if let Some(last) = pieces.last_mut() {
        last.push_str(END_OF_WORD);
    }
    pieces
}

fn most_frequent(words: &[(Vec<String>, u64)]) -> Option<(String, String)> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (pieces, count) in words {
        for pair in pieces.windows(2) {
            *counts.entry((&pair[0], &pair[1])).or_default() += count;
        }
    }
    // `max_by_key` keeps the last of equals.
    let ((left, right), _) = counts.into_iter().rev().max_by_key(|&(_, count)| count)?;
    Some((left.to_owned(), right.to_owned()))
}

fn merge(pieces: &mut Vec<String>, (left, right): &(String, String)) {
    let mut index = 0;
    while index + 1 < pieces.len() {
        if pieces[index] == *left && pieces[index + 1] == *right {
            let right = pieces.remove(index + 1);
            pieces[index].push_str(&right);
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_pair_comes_first_and_words_end_whole() {
        let words = [("aab", 3), ("ab", 2), ("aaaa", 1), ("c", 9)].map(|(word, count)| (word.to_owned(), count));
        let merges = learn(&words.into());
        let merges: Vec<(&str, &str)> = merges.iter().map(|(left, right)| (left.as_str(), right.as_str())).collect();
        // a b</w>: 5; a a: 3 + 2, of which the first in order wins; ...
        assert_eq!(merges, [("a", "a"), ("aa", "b</w>"), ("a", "b</w>"), ("a", "a</w>"), ("aa", "aa</w>")]);
    }

    #[test]
    fn the_alphabet_is_that_of_clip() {
        let all: Vec<char> = alphabet().collect();
        assert_eq!(all.len(), 256);
        assert!(!all.contains(&' ') && !all.contains(&'\u{ad}'));
        let same = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        let tokens = tokens(&[same("a", "b"), same("ab", "c"), same("b", "c"), same("a", "bc")]);
        assert_eq!(tokens.len(), 2 * 256 + 3, "`abc` is there once");
        assert_eq!((tokens[0].as_str(), tokens[256].as_str(), tokens[512].as_str()), ("!", "!</w>", "ab"));
    }
}
