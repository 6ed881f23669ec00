//! Which words of a prompt to look at, and what to call their files.

/// Words that mean nothing by themselves.
const EMPTY_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "front", "has", "have", "her", "his", "in",
    "into", "is", "it", "its", "my", "of", "on", "or", "our", "s", "that", "the", "their", "to", "very", "with",
    "your",
];

/// The words that the user listed with commas, each once.
pub(super) fn listed(list: &str) -> Vec<String> {
    once(list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned))
}

/// The words of a prompt that carry meaning, each once, in order; `<NAME>` is one.
pub(super) fn meaningful(prompt: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '<' | '>' | '-' | '_');
    let words = prompt.split_inclusive('>').flat_map(|text| text.split(|letter: char| !is_part(letter)));
    let words = words.map(|word| word.trim_matches(['-', '_']));
    let carries =
        |word: &&str| word.chars().any(char::is_alphanumeric) && !EMPTY_WORDS.contains(&word.to_lowercase().as_str());
    once(words.filter(carries).map(str::to_owned))
}

fn once(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for word in words {
        if !known.iter().any(|other| other.to_lowercase() == word.to_lowercase()) {
            known.push(word);
        }
    }
    known
}

/// A file name for each word, all different.
pub(super) fn file_names<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in words {
        let plain = word.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '_' });
        let plain: String = plain.take(40).collect();
        let plain = plain.trim_matches('_').to_lowercase();
        let base = if plain.is_empty() { "word".to_owned() } else { plain };
        // The sheets and the numbers have names of their own.
        let taken = |name: &String| names.contains(name) || ["layers", "stages", "maps"].contains(&name.as_str());
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        names.extend(std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)));
    }
    names
}

/// A layer's name without what all layers share: `down 0.1` for `down_blocks.0.attentions.1.transformer_blocks.0.attn2`.
pub(super) fn short_layer(name: &str) -> String {
    let mut parts = name.split('.');
    let place = parts.next().unwrap_or_default().split('_').next().unwrap_or_default();
    let numbers: Vec<&str> = parts.filter(|part| part.parse::<u32>().is_ok()).collect();
    // The last number counts the transformer blocks, of which there is nearly always one.
    let numbers = match numbers.split_last() {
        Some((&"0", before)) => before,
        _ => numbers.as_slice(),
    };
    format!("{place} {}", numbers.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_left_out() {
        assert_eq!(
            meaningful("A photo of <me>, in front of the Eiffel-Tower; <me>'s a 3rd photo (red)"),
            ["photo", "<me>", "Eiffel-Tower", "3rd", "red"]
        );
        assert!(meaningful("of the a, -").is_empty());
        assert_eq!(listed(" eiffel tower, <me>,,Man,man "), ["eiffel tower", "<me>", "Man"]);
    }

    #[test]
    fn file_names_differ() {
        assert_eq!(
            file_names(["<me>", "me", "Eiffel tower", "layers", "!"].into_iter()),
            ["me", "me_2", "eiffel_tower", "layers_2", "word"]
        );
    }

    #[test]
    fn layers_have_short_names() {
        assert_eq!(short_layer("down_blocks.0.attentions.1.transformer_blocks.0.attn2"), "down 0.1");
        assert_eq!(short_layer("mid_block.attentions.0.transformer_blocks.0.attn2"), "mid 0");
        assert_eq!(short_layer("up_blocks.1.attentions.2.transformer_blocks.3.attn2"), "up 1.2.3");
    }
}
