//! What is written below a picture.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::description::{Description, article};
use crate::factors::{Framing, Place};
use crate::identity::Gender;
use crate::sample::{Person, Sample, Subject};
use crate::things::Species;

/// The most traits that follow the noun of somebody alone; of two people one is told of each, or the text gets too long.
const TRAITS: usize = 3;

/// Several ways to say what a picture shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captions {
    /// Names every captioned factor: style, framing, person, attributes, age, shirt, object, place and scene.
    pub main: String,
    /// The same in other words or another order, each as complete.
    pub complete: Vec<String>,
    /// Shorter ones, as people write prompts: they leave things out, but say nothing wrong.
    pub brief: Vec<String>,
}

impl Captions {
    /// The captions of a sample.
    pub fn of(sample: &Sample) -> Captions {
        let mut chance = Chance::new(sample.seed, "caption");
        let style = style(sample);
        let scene = sample.scene.phrase();
        let ([first, second], loose) = match &sample.subject {
            Subject::Person(person) => {
                let place = side(sample.place);
                let mut call = |exact| Called::draw(person, sample, TRAITS, exact, &mut chance);
                let (exact, loose) = (call(true), call(false));
                ([described(person, &exact, place, ", "), described(person, &loose, place, " ")], short(person, &loose))
            }
            Subject::Pair(people) => {
                let [left, right] = people.as_ref();
                let mut pair = |exact: bool, joint: &str| {
                    let mut one = |person, place| {
                        described(person, &Called::draw(person, sample, 1, exact, &mut chance), side(place), joint)
                    };
                    format!("{} and {}", one(left, Place::Left), one(right, Place::Right))
                };
                let both = [pair(true, ", "), pair(false, " ")];
                let mut name = |person| Called::draw(person, sample, 1, true, &mut chance).whole();
                let names = [name(left), name(right)];
                (both, vec![names.join(" and ")])
            }
            Subject::Animal(animal) => thing(sample, if animal.species == Species::Cat { "a cat" } else { "a bear" }),
            Subject::Car(_) => thing(sample, "a car"),
        };
        Captions {
            main: format!("{style} of {first}, {scene}"),
            complete: vec![
                format!("{style} of {second} {scene}"),
                format!("{first} {scene}, {}", bare_style(sample)),
                format!("{scene}, {style} of {second}"),
            ],
            brief: loose
                .iter()
                .flat_map(|subject| {
                    let style = sample.style.phrase();
                    [
                        format!("{style} of {subject} {scene}"),
                        format!("{style} of {subject}"),
                        format!("{subject} {scene}"),
                    ]
                })
                .collect(),
        }
    }
}

/// Style and framing: "a close-up photo".
fn style(sample: &Sample) -> String {
    match sample.framing {
        Framing::CloseUp => format!("a {}", bare_style(sample)),
        Framing::Middle => sample.style.phrase().to_owned(),
        Framing::Distant => format!("{} from afar", sample.style.phrase()),
    }
}

/// The same without an article: "close-up photo".
fn bare_style(sample: &Sample) -> String {
    let phrase = sample.style.phrase();
    let bare = phrase.split_once(' ').map_or(phrase, |(_article, bare)| bare);
    match sample.framing {
        Framing::CloseUp => format!("close-up {bare}"),
        Framing::Middle => bare.to_owned(),
        Framing::Distant => format!("{bare} from afar"),
    }
}

/// Where the subject stands, unless in the middle.
fn side(place: Place) -> Option<&'static str> {
    match place {
        Place::Left => Some("on the left"),
        Place::Centre => None,
        Place::Right => Some("on the right"),
    }
}

/// What a person is called: a noun, and traits that may follow it.
struct Called {
    noun: String,
    traits: Option<String>,
}

impl Called {
    /// The name of a named one; "a man", "a woman", or, where that need not be exact, "a person". Age goes with it, and
    /// some of the traits, at most `most` behind it.
    fn draw(person: &Person, sample: &Sample, most: usize, exact: bool, chance: &mut Chance) -> Self {
        let vague = chance.happens(0.6) && !exact;
        let Description { adjective, phrase } = Description::draw(person, sample, most, chance);
        let old = person.attributes.old.then_some("old");
        let before = |noun: &str| old.into_iter().chain(adjective).chain([noun]).collect::<Vec<_>>().join(" ");
        let noun = match (person.who.name(), person.identity.gender) {
            (Some(name), _) => before(&name),
            (None, _) if vague => article(&before("person")),
            (None, Gender::Woman) => article(&before("woman")),
            (None, Gender::Man) => article(&before("man")),
        };
        Called { noun, traits: phrase }
    }

    /// Noun and traits.
    fn whole(self) -> String {
        let Called { noun, traits } = self;
        traits.map_or_else(|| noun.clone(), |traits| format!("{noun} {traits}"))
    }
}

/// A person with everything about them. The place comes first, so that it is not taken for the object's.
fn described(person: &Person, called: &Called, place: Option<&str>, joint: &str) -> String {
    let Called { noun, traits } = called;
    let mut words = vec![place.map_or_else(|| noun.clone(), |place| format!("{noun} {place}"))];
    words.extend(traits.clone());
    words.extend(person.attributes.phrases().into_iter().map(str::to_owned));
    words.push(format!("in {}", person.shirt.phrase()));
    words.extend(person.object.map(|object| format!("holding {}", object.phrase())));
    words.join(joint)
}

/// A person alone, and with one thing said of them.
fn short(person: &Person, Called { noun, traits }: &Called) -> Vec<String> {
    let traits = traits.as_ref().map(|traits| format!("{noun} {traits}"));
    let object = person.object.map(|object| format!("{noun} holding {}", object.phrase()));
    let attribute = person.attributes.phrases().first().map(|phrase| format!("{noun} {phrase}"));
    [Some(noun.clone()), traits, object, attribute].into_iter().flatten().collect()
}

fn thing(sample: &Sample, noun: &str) -> ([String; 2], Vec<String>) {
    let full: Vec<&str> = [noun].into_iter().chain(side(sample.place)).collect();
    ([full.join(" "), full.join(" ")], vec![noun.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factors::Style;

    /// The words of all factors that a caption has to name.
    fn factors(sample: &Sample) -> Vec<&'static str> {
        let mut words = vec![sample.scene.phrase()];
        words.extend(side(sample.place));
        words.extend(match sample.framing {
            Framing::CloseUp => Some("close-up"),
            Framing::Middle => None,
            Framing::Distant => Some("from afar"),
        });
        words.push(match sample.style {
            Style::BlackAndWhite => "black and white",
            Style::Photo => "photo",
            other => other.phrase().split_once(' ').map_or("", |(_, style)| style),
        });
        for person in sample.people() {
            words.extend(person.attributes.phrases());
            words.push(person.shirt.phrase());
            words.extend(person.object.map(|object| object.phrase()));
            words.extend(person.attributes.old.then_some("old "));
        }
        words
    }

    #[test]
    fn complete_captions_name_every_factor_and_every_name() {
        for seed in 0..3000 {
            let sample = Sample::training(seed);
            let captions = Captions::of(&sample);
            for caption in captions.complete.iter().chain([&captions.main]) {
                for word in factors(&sample) {
                    assert!(caption.contains(word), "`{caption}` lacks `{word}`");
                }
                for name in sample.people().iter().filter_map(|person| person.who.name()) {
                    assert!(caption.contains(&name), "`{caption}` lacks `{name}`");
                }
            }
        }
    }

    #[test]
    fn no_caption_says_what_is_not_there() {
        let all =
            ["smiling", "laughing", "sad", "closed", "sunglasses", "hat", "cap", "beard", "blue hair", "cup", "old "];
        for seed in 0..3000 {
            let sample = Sample::training(seed);
            let captions = Captions::of(&sample);
            let there = factors(&sample).join("; ");
            for caption in captions.brief.iter().chain(&captions.complete).chain([&captions.main]) {
                let words = format!(" {} ", caption.replace([',', '.'], " "));
                for word in all {
                    let said = words.contains(&format!(" {} ", word.trim_end()));
                    assert!(!said || there.contains(word), "`{caption}` says `{word}`, but there is only {there}");
                }
                assert!(!caption.contains("  ") && caption.trim() == caption, "`{caption}`");
            }
        }
    }
}
