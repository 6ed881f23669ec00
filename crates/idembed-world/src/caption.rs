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
        let (exact, loose): (Vec<String>, Vec<String>) = match &sample.subject {
            Subject::Person(person) => {
                let side = side(sample.place);
                let full = |noun: &str| join([described(person, noun), side.map_or(String::new(), str::to_owned)]);
                let name = noun(person, &mut chance, false);
                (vec![full(&noun(person, &mut chance, true)), full(&name)], short(person, &name))
            }
            Subject::Pair(people) => {
                let [left, right] = people.as_ref();
                let pair = |exact: bool, chance: &mut Chance| {
                    let one = |person: &Person, chance: &mut Chance| described(person, &noun(person, chance, exact));
                    format!("{} on the left and {} on the right", one(left, chance), one(right, chance))
                };
                let names = [noun(left, &mut chance, true), noun(right, &mut chance, true)];
                (vec![pair(true, &mut chance), pair(false, &mut chance)], vec![names.join(" and ")])
            }
            Subject::Animal(animal) => thing(sample, if animal.species == Species::Cat { "a cat" } else { "a bear" }),
            Subject::Car(_) => thing(sample, "a car"),
        };
        let (first, second) = (&exact[0], &exact[1]);
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

/// A person with everything about them.
fn described(person: &Person, noun: &str) -> String {
    let mut words = vec![noun.to_owned()];
    words.extend(person.attributes.phrases().into_iter().map(str::to_owned));
    words.push(format!("in {}", person.shirt.phrase()));
    words.extend(person.object.map(|object| format!("holding {}", object.phrase())));
    join(words)
}

/// A person alone, and with one thing said of them.
fn short(person: &Person, noun: &str) -> Vec<String> {
    let object = person.object.map(|object| format!("{noun} holding {}", object.phrase()));
    let attribute = person.attributes.phrases().first().map(|phrase| format!("{noun} {phrase}"));
    [Some(noun.to_owned()), object, attribute].into_iter().flatten().collect()
}

fn thing(sample: &Sample, noun: &str) -> (Vec<String>, Vec<String>) {
    let full = join([noun.to_owned(), side(sample.place).unwrap_or_default().to_owned()]);
    (vec![full.clone(), full], vec![noun.to_owned()])
}

fn join(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
