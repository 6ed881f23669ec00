//! What is written below a picture.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::factors::{Framing, Place, Style};
use crate::identity::Gender;
use crate::sample::{Person, Sample, Subject};
use crate::things::Species;

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
                let full = |noun: &str| described(person, noun, side(sample.place));
                let name = noun(person, &mut chance, false);
                ([full(&noun(person, &mut chance, true)), full(&name)], short(person, &name))
            }
            Subject::Pair(people) => {
                let [left, right] = people.as_ref();
                let pair = |exact: bool, chance: &mut Chance| {
                    let mut one = |person, place| described(person, &noun(person, chance, exact), side(place));
                    format!("{} and {}", one(left, Place::Left), one(right, Place::Right))
                };
                let names = [noun(left, &mut chance, true), noun(right, &mut chance, true)];
                ([pair(true, &mut chance), pair(false, &mut chance)], vec![names.join(" and ")])
            }
            Subject::Animal(animal) => thing(sample, if animal.species == Species::Cat { "a cat" } else { "a bear" }),
            Subject::Car(_) => thing(sample, "a car"),
        };
        Captions {
            main: format!("{style} of {first}, {scene}"),
            complete: vec![
                format!("{style} of {second} {scene}"),
                format!("{first} {scene}, {}", plain(sample)),
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

/// "a close-up photo".
fn style(sample: &Sample) -> String {
    let phrase = sample.style.phrase();
    match (sample.framing, sample.style) {
        (Framing::CloseUp, Style::Photo) => "a close-up photo".to_owned(),
        (Framing::CloseUp, Style::BlackAndWhite) => "a black and white close-up photo".to_owned(),
        (Framing::CloseUp, _) => format!("{phrase}, close-up,"),
        (Framing::Middle, _) => phrase.to_owned(),
        (Framing::Distant, _) => format!("{phrase} from afar"),
    }
}

/// The style as an afterthought: "close-up photo".
fn plain(sample: &Sample) -> String {
    let style = sample.style.phrase();
    let style = style.strip_prefix("a ").or_else(|| style.strip_prefix("an ")).unwrap_or(style);
    match sample.framing {
        Framing::CloseUp => format!("{style}, close-up"),
        Framing::Middle => style.to_owned(),
        Framing::Distant => format!("{style} from afar"),
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

/// The name of a named one; "a man", "a woman", or, where that need not be exact, "a person". Age goes with it.
fn noun(person: &Person, chance: &mut Chance, exact: bool) -> String {
    let vague = chance.happens(0.6) && !exact;
    let old = person.attributes.old;
    if let Some(name) = person.who.name() {
        return if old { format!("old {name}") } else { name };
    }
    let class = match person.identity.gender {
        _ if vague => "person",
        Gender::Woman => "woman",
        Gender::Man => "man",
    };
    if old { format!("an old {class}") } else { format!("a {class}") }
}

/// A person with everything about them. The place comes first, so that it is not taken for the object's.
fn described(person: &Person, noun: &str, side: Option<&str>) -> String {
    let mut words = vec![noun.to_owned()];
    words.extend(side.map(str::to_owned));
    words.extend(person.attributes.phrases().into_iter().map(str::to_owned));
    words.push(format!("in {}", person.shirt.phrase()));
    words.extend(person.object.map(|object| format!("holding {}", object.phrase())));
    words.join(" ")
}

/// A person alone, and with one thing said of them.
fn short(person: &Person, noun: &str) -> Vec<String> {
    let object = person.object.map(|object| format!("{noun} holding {}", object.phrase()));
    let attribute = person.attributes.phrases().first().map(|phrase| format!("{noun} {phrase}"));
    [Some(noun.to_owned()), object, attribute].into_iter().flatten().collect()
}

fn thing(sample: &Sample, noun: &str) -> ([String; 2], Vec<String>) {
    let full: Vec<&str> = [noun].into_iter().chain(side(sample.place)).collect();
    ([full.join(" "), full.join(" ")], vec![noun.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

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
