//! Names that no dictionary holds, so that a word of a caption can only mean the drawn person.

use std::collections::HashSet;

use crate::chance::Chance;

/// How many identities have a name.
pub const NAMED: u32 = 200;

const STARTS: [&str; 14] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
const ENDS: [&str; 10] = ["", "l", "n", "r", "s", "m", "k", "x", "v", "t"];

/// The name of a named identity, such as "nuzol puger": two words, no two names share one.
/// From [`NAMED`] on, the names begin again.
pub fn name(index: u32) -> String {
    let mut chance = Chance::new(0, "names");
    let mut taken = HashSet::new();
    let mut fresh = || loop {
        let word = word(&mut chance);
        if taken.insert(word.clone()) {
            break word;
        }
    };
    let mut name = String::new();
    for _ in 0..=index % NAMED {
        name = format!("{} {}", fresh(), fresh());
    }
    name
}

/// Two syllables.
fn word(chance: &mut Chance) -> String {
    let parts = [chance.pick(STARTS), chance.pick(VOWELS), chance.pick(STARTS), chance.pick(VOWELS), chance.pick(ENDS)];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_differ_and_can_be_said() {
        let names: Vec<String> = (0..NAMED).map(name).collect();
        let words: HashSet<&str> = names.iter().flat_map(|name| name.split(' ')).collect();
        assert_eq!(words.len(), 2 * NAMED as usize);
        assert!(words.iter().all(|word| (4..=5).contains(&word.len())), "{words:?}");
        let vowels = |word: &str| word.chars().filter(|letter| "aeiou".contains(*letter)).count();
        assert!(words.iter().all(|word| vowels(word) == 2));
    }
}
