//! From a sample to the caption of one training step, and which of its words stand for what in the picture.

use idembed_clip::{Encoding, Tokenizer};
use idembed_world::{Captions, Sample, Subject};
use rand::Rng;

use super::album::Thing;
use crate::{Result, captions};

/// A caption as the text encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caption {
    pub(super) encoding: Encoding,
    /// Words that stand for something whose place in the picture is known.
    pub(super) words: Vec<PlacedWord>,
}

/// A word, or several in a row, that stand for a thing in the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlacedWord {
    /// Positions of its tokens, the begin token being position 0.
    pub(super) positions: Vec<i64>,
    pub(super) thing: Thing,
}

impl Caption {
    /// One of a sample's captions, or, with the probability `empty`, the empty one.
    pub(super) fn choose(sample: &Sample, empty: f64, tokenizer: &Tokenizer, chance: &mut impl Rng) -> Result<Self> {
        if chance.random_bool(empty) {
            return Ok(Caption { encoding: tokenizer.encode("")?, words: Vec::new() });
        }
        Self::read(captions::choose(&Captions::of(sample), chance), sample, tokenizer)
    }

    /// A caption of this sample.
    pub(super) fn read(text: &str, sample: &Sample, tokenizer: &Tokenizer) -> Result<Self> {
        let encoding = tokenizer.encode(text)?;
        let mut words = Vec::new();
        for (phrase, thing) in phrases(sample) {
            let Some(start) = find_word(text, &phrase) else { continue };
            let before = tokenizer.token_ids(&text[..start])?.len();
            let count = tokenizer.token_ids(&phrase)?.len();
            // What was cut off has no states.
            if before + count <= encoding.text_tokens {
                let positions = (before + 1..=before + count).map(|position| position as i64).collect();
                words.push(PlacedWord { positions, thing });
            }
        }
        Ok(Caption { encoding, words })
    }
}

/// What a caption of this sample may call its things.
fn phrases(sample: &Sample) -> Vec<(String, Thing)> {
    let mut phrases = vec![(scene_words(sample), Thing::Background)];
    let people = sample.people();
    for (person, thing) in people.iter().zip([Thing::First, Thing::Second]) {
        match person.who.name() {
            Some(name) => phrases.push((name, thing)),
            // Of two people without names, "a man" may be either.
            None if people.len() == 1 => phrases.extend(CLASSES.map(|class| (class.to_owned(), thing))),
            None => {}
        }
        if let Some(object) = person.object {
            phrases.push((without_articles(object.phrase()), Thing::Object));
        }
    }
    match &sample.subject {
        Subject::Animal(_) | Subject::Car(_) => phrases.extend(OTHERS.map(|class| (class.to_owned(), Thing::First))),
        Subject::Person(_) | Subject::Pair(_) => {}
    }
    phrases
}

/// What people without a name are called.
const CLASSES: [&str; 3] = ["person", "man", "woman"];
/// What is no person.
const OTHERS: [&str; 3] = ["cat", "bear", "car"];

/// "Eiffel Tower" of "in front of the Eiffel Tower".
fn scene_words(sample: &Sample) -> String {
    without_articles(sample.scene.phrase())
}

/// A phrase from its first word on that means something by itself.
fn without_articles(phrase: &str) -> String {
    let means_nothing = |word: &&str| ["in", "at", "front", "of", "the", "a", "an"].contains(word);
    phrase.split(' ').skip_while(means_nothing).collect::<Vec<_>>().join(" ")
}

/// Where a phrase begins in a text, as whole words; the first time.
fn find_word(text: &str, phrase: &str) -> Option<usize> {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.match_indices(phrase).map(|(start, _)| start).find(|&start| {
        let before = start.checked_sub(1).and_then(|index| bytes.get(index));
        !is_letter(before) && !is_letter(bytes.get(start + phrase.len()))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_world::factors::Object;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::tokenizer;

    fn tokenizer() -> Tokenizer {
        let folder = tempfile::tempdir().unwrap();
        tokenizer::ensure(folder.path()).unwrap()
    }

    /// The texts of a caption's placed words, each with its thing.
    fn words(caption: &Caption, tokenizer: &Tokenizer) -> Vec<(String, Thing)> {
        let text = |word: &PlacedWord| {
            let tokens = word.positions.iter().map(|&at| tokenizer.token_text(caption.encoding.ids[at as usize]));
            tokens.collect::<Vec<_>>().join(" ")
        };
        caption.words.iter().map(|word| (text(word), word.thing)).collect()
    }

    /// A sample that is as `is` wants it.
    fn find(is: impl Fn(&Sample) -> bool) -> Sample {
        (0..10_000).map(Sample::training).find(is).unwrap()
    }

    #[test]
    fn words_are_found_where_the_caption_has_them() {
        let tokenizer = tokenizer();
        let sample = find(|sample| {
            let person = sample.people().first();
            person.is_some_and(|person| person.who.name().is_none() && person.object == Some(Object::Cup))
                && sample.scene.phrase() == "in front of the Eiffel Tower"
        });
        let read = |text: &str| words(&Caption::read(text, &sample, &tokenizer).unwrap(), &tokenizer);
        let expected = [("eiffel tower", Thing::Background), ("person", Thing::First), ("cup", Thing::Object)];
        let expected = expected.map(|(text, thing)| (text.to_owned(), thing));
        assert_eq!(read("a photo of a person holding a cup in front of the Eiffel Tower"), expected);
        // "manor" holds no man, and what is not there is not said.
        assert_eq!(read("a manor"), []);
        // A word beyond the last position has no place.
        let long = format!("{} cup", "photo ".repeat(90));
        assert_eq!(read(&long), []);
    }

    #[test]
    fn of_two_people_only_names_tell_who_is_meant() {
        let tokenizer = tokenizer();
        let names = |sample: &Sample| sample.people().iter().filter_map(|person| person.who.name()).collect::<Vec<_>>();
        let sample = find(|sample| names(sample).len() == 2);
        let text = &Captions::of(&sample).main;
        let found = words(&Caption::read(text, &sample, &tokenizer).unwrap(), &tokenizer);
        let of = |thing| found.iter().filter(|(_, of)| *of == thing).map(|(text, _)| text.clone()).collect::<Vec<_>>();
        assert_eq!([of(Thing::First), of(Thing::Second)].concat(), names(&sample));
        let sample = find(|sample| sample.people().len() == 2 && names(sample).is_empty());
        let caption = Caption::read(&Captions::of(&sample).main, &sample, &tokenizer).unwrap();
        assert!(caption.words.iter().all(|word| word.thing == Thing::Background), "{:?}", caption.words);
    }

    #[test]
    fn as_many_captions_are_empty_as_asked_for() {
        let tokenizer = tokenizer();
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut choose = |seed| Caption::choose(&Sample::training(seed), 0.1, &tokenizer, &mut chance).unwrap();
        let captions: Vec<Caption> = (0..1000).map(&mut choose).collect();
        let empty = captions.iter().filter(|caption| caption.encoding.text_tokens == 0).count();
        assert!((70..130).contains(&empty), "{empty}");
        let placed = captions.iter().filter(|caption| !caption.words.is_empty()).count();
        assert!(placed > 750, "{placed}");
    }
}
