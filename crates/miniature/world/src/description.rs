//! What can be said of a face: words for the traits that a picture shows.

use crate::chance::Chance;
use crate::factors::{Dye, Expression, Eyes, Framing, Headwear, Style};
use crate::identity::{EyeColour, FacialHair, HairColour, HairStyle};
use crate::sample::{Person, Sample};

/// How often traits are told of somebody without a name, and of somebody whose name tells them already.
const SHARES: [f32; 2] = [0.55, 0.15];
/// How often a trait becomes an adjective, where there is one.
const AS_ADJECTIVE: f32 = 0.3;

/// What is told of a face.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// Before the noun, such as "freckled".
    pub(crate) adjective: Option<&'static str>,
    /// Behind it, such as "with long blond hair and rather thin lips".
    pub(crate) phrase: Option<String>,
}

impl Description {
    /// Nothing, or a few of the traits of a person that can be seen in the picture of this sample, at most `most`.
    pub(crate) fn draw(person: &Person, sample: &Sample, most: usize, chance: &mut Chance) -> Description {
        let named = person.who.name().is_some();
        if !chance.happens(SHARES[usize::from(named)]) {
            return Description::default();
        }
        let view = View { person, style: sample.style, framing: sample.framing };
        let adjective = view.adjective(chance).filter(|_| !named && chance.happens(AS_ADJECTIVE));
        let count = 1 + (chance.bits() % most as u64) as usize;
        let mut left = ASPECTS.to_vec();
        let mut told = Vec::new();
        while told.len() < count && !left.is_empty() {
            let aspect = draw_one(&mut left, chance);
            told.extend(view.say(aspect, chance));
        }
        let last = told.pop();
        let phrase = last.map(|last| {
            let before = if told.is_empty() { String::new() } else { format!("{} and ", told.join(", ")) };
            format!("with {before}{last}")
        });
        Description { adjective, phrase }
    }
}

/// What there is to say about; one thing is said of each at most.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aspect {
    Hair,
    Skin,
    EyeColour,
    EyeSize,
    EyeSpacing,
    EyeTilt,
    Brows,
    Nose,
    Mouth,
    Lips,
    Jaw,
    Width,
    Ears,
    Forehead,
    Freckles,
    Mole,
    FacialHair,
}

/// All aspects, and how soon each is told.
const ASPECTS: [(Aspect, f32); 17] = [
    (Aspect::Hair, 4.0),
    (Aspect::Skin, 2.0),
    (Aspect::EyeColour, 2.0),
    (Aspect::EyeSize, 1.0),
    (Aspect::EyeSpacing, 1.0),
    (Aspect::EyeTilt, 1.0),
    (Aspect::Brows, 1.5),
    (Aspect::Nose, 2.0),
    (Aspect::Mouth, 1.0),
    (Aspect::Lips, 1.5),
    (Aspect::Jaw, 1.5),
    (Aspect::Width, 1.5),
    (Aspect::Ears, 0.7),
    (Aspect::Forehead, 0.7),
    (Aspect::Freckles, 2.0),
    (Aspect::Mole, 1.5),
    (Aspect::FacialHair, 2.0),
];

/// Takes one out, in proportion to the weights.
fn draw_one(left: &mut Vec<(Aspect, f32)>, chance: &mut Chance) -> Aspect {
    let total: f32 = left.iter().map(|(_, weight)| weight).sum();
    let mut rest = chance.unit() * total;
    let found = left.iter().position(|(_, weight)| {
        rest -= weight;
        rest < 0.0
    });
    left.swap_remove(found.unwrap_or(left.len() - 1)).0
}

/// A person as a picture shows them.
struct View<'a> {
    person: &'a Person,
    style: Style,
    framing: Framing,
}

impl View<'_> {
    /// Whether colours are those of nature.
    fn has_colours(&self) -> bool {
        matches!(self.style, Style::Photo | Style::OilPainting | Style::PixelArt)
    }

    /// Whether more can be seen than hair, beard and skin.
    fn is_near(&self) -> bool {
        self.framing != Framing::Distant
    }

    /// Whether spots and irises can be seen.
    fn has_details(&self) -> bool {
        self.is_near() && matches!(self.style, Style::Photo | Style::OilPainting | Style::BlackAndWhite)
    }

    /// The colour that hair has by nature, where it can be seen.
    fn hair_colour(&self, chance: &mut Chance) -> Option<&'static str> {
        let attributes = self.person.attributes;
        let natural = self.has_colours() && attributes.dye == Dye::None && !attributes.old;
        natural.then(|| match self.person.identity.hair_colour {
            HairColour::Black => "black",
            HairColour::DarkBrown => "dark brown",
            HairColour::Brown => chance.pick(["brown", "light brown"]),
            HairColour::Auburn => chance.pick(["auburn", "reddish brown"]),
            HairColour::Red => chance.pick(["red", "ginger"]),
            HairColour::Blond => chance.pick(["blond", "golden"]),
            HairColour::Platinum => chance.pick(["platinum blond", "very light blond"]),
        })
    }

    /// An adjective that fits.
    fn adjective(&self, chance: &mut Chance) -> Option<&'static str> {
        let identity = self.person.identity;
        let hair = self.hair_colour(chance).filter(|_| !self.is_shaven());
        let pale = self.has_colours() && identity.skin < 0.12;
        let dark = self.has_colours() && identity.skin > 0.85;
        let fitting = [
            (self.is_bald(), "bald"),
            (matches!(hair, Some("blond" | "golden")), "blond"),
            (hair == Some("ginger"), "ginger"),
            (self.has_details() && identity.freckles > 0.0, "freckled"),
            (pale, "pale"),
            (dark, "dark-skinned"),
        ];
        let fitting: Vec<&str> = fitting.into_iter().filter_map(|(fits, word)| fits.then_some(word)).collect();
        let chosen = chance.bits() as usize % fitting.len().max(1);
        fitting.get(chosen).copied()
    }

    /// Whether the head shows no hair at all.
    fn is_bald(&self) -> bool {
        self.is_bare_headed()
            && self.person.identity.hair_style == HairStyle::Bald
            && self.person.attributes.dye == Dye::None
    }

    /// Whether there is no hair to speak of.
    fn is_shaven(&self) -> bool {
        matches!(self.person.identity.hair_style, HairStyle::Bald | HairStyle::Buzz)
    }

    fn is_bare_headed(&self) -> bool {
        self.person.attributes.headwear == Headwear::None
    }

    /// Something true about an aspect, if it is seen and is not as most people have it.
    fn say(&self, aspect: Aspect, chance: &mut Chance) -> Option<String> {
        let Person { identity, attributes, .. } = self.person;
        let open = self.is_near() && attributes.eyes == Eyes::Open;
        let beard = attributes.beard;
        match aspect {
            Aspect::Hair => self.hair(chance),
            Aspect::Skin if self.has_colours() => Some(format!("{} skin", skin(identity.skin, chance)?)),
            Aspect::EyeColour if open && self.has_details() && self.has_colours() => {
                Some(format!("{} eyes", eye_colour(identity.eye_colour)))
            }
            Aspect::EyeSize if open => {
                let big = chance.pick(["big", "large"]);
                Some(format!("{} eyes", graded(within(identity.eye_size, 0.82, 1.2), ["small", big], chance)?))
            }
            Aspect::EyeSpacing if self.is_near() && attributes.eyes != Eyes::Sunglasses => {
                let far = within(identity.eye_spacing, 0.87, 1.14);
                Some(format!("eyes {}", graded(far, ["close together", "far apart"], chance)?))
            }
            Aspect::EyeTilt if open => Some(format!(
                "{} eyes",
                graded(identity.eye_tilt, ["drooping", chance.pick(["slanted", "upturned"])], chance)?
            )),
            Aspect::Brows if self.is_near() => {
                let thick = chance.pick(["thick", "bushy"]);
                let brows = chance.pick(["brows", "eyebrows"]);
                Some(format!(
                    "{} {brows}",
                    graded(within(identity.brow_thickness, 0.45, 1.85), ["thin", thick], chance)?
                ))
            }
            Aspect::Nose if self.is_near() => {
                let long = graded(within(identity.nose_length, 0.82, 1.18), ["short", "long"], chance);
                let wide = chance.pick(["wide", "broad"]);
                let wide = graded(within(identity.nose_width, 0.68, 1.42), ["narrow", wide], chance);
                let words: Vec<String> = [long, wide].into_iter().flatten().collect();
                (!words.is_empty()).then(|| format!("a {} nose", words.join(", ")))
            }
            // A laughing mouth is wide, whoever laughs.
            Aspect::Mouth if self.is_near() && !beard && attributes.expression != Expression::Laughing => Some(
                format!("a {} mouth", graded(within(identity.mouth_width, 0.74, 1.26), ["small", "wide"], chance)?),
            ),
            Aspect::Lips if self.is_near() && !beard => {
                let full = graded(within(identity.lip_size, 0.55, 1.55), ["thin", "full"], chance);
                let red = (self.has_colours() && identity.lip_colour > 0.7).then(|| "red".to_owned());
                let words: Vec<String> = [full, red].into_iter().flatten().collect();
                (!words.is_empty()).then(|| format!("{} lips", words.join(" ")))
            }
            Aspect::Jaw if self.is_near() && !beard => {
                let jaw = chance.pick(["jaw", "chin"]);
                Some(format!("a {} {jaw}", graded(within(identity.jaw, 0.0, 1.0), ["pointed", "square"], chance)?))
            }
            Aspect::Width if self.is_near() => {
                let [narrow, wide] = [chance.pick(["narrow", "slim"]), chance.pick(["wide", "round"])];
                Some(format!("a {} face", graded(within(identity.face_width, 0.84, 1.13), [narrow, wide], chance)?))
            }
            Aspect::Ears if self.is_near() && self.ears_show() => {
                Some(format!("{} ears", graded(within(identity.ears, 0.75, 1.3), ["small", "big"], chance)?))
            }
            Aspect::Forehead if self.is_near() && self.forehead_shows() => {
                Some(format!("a {} forehead", graded(within(identity.hairline, 0.0, 1.0), ["low", "high"], chance)?))
            }
            Aspect::Freckles if self.has_details() => match identity.freckles {
                0.0 => None,
                0.75.. => Some(chance.pick(["many freckles", "freckles"]).to_owned()),
                0.0..0.5 => Some(chance.pick(["a few freckles", "freckles"]).to_owned()),
                _ => Some("freckles".to_owned()),
            },
            Aspect::Mole if self.has_details() => self.mole(chance),
            Aspect::FacialHair if !beard => match identity.facial_hair {
                FacialHair::None => None,
                // A shadow on the skin, too faint from afar or in few strokes.
                FacialHair::Stubble => self.has_details().then(|| "stubble".to_owned()),
                FacialHair::Moustache => Some("a moustache".to_owned()),
                FacialHair::Goatee => Some("a goatee".to_owned()),
            },
            _ => None,
        }
    }

    /// Colour and cut.
    fn hair(&self, chance: &mut Chance) -> Option<String> {
        use HairStyle::*;
        let Person { identity, attributes, .. } = self.person;
        let colour = self.hair_colour(chance).map_or(String::new(), |colour| format!("{colour} "));
        if self.is_shaven() && !(self.is_bare_headed() && attributes.dye == Dye::None) {
            // Headwear hides that, and dye has made it grow.
            return None;
        }
        // Below headwear a cut cannot be told.
        let only_colour = !self.is_bare_headed() || (!self.is_shaven() && chance.happens(0.25));
        if only_colour {
            return (!colour.is_empty()).then(|| format!("{colour}hair"));
        }
        Some(match identity.hair_style {
            Bald => chance.pick(["a bald head", "no hair"]).to_owned(),
            Buzz if chance.happens(0.5) => article(&format!("{colour}buzz cut")),
            Buzz => format!("very short {colour}hair"),
            Short => format!("short {colour}hair"),
            SideParting => format!("{colour}hair parted on the side"),
            Quiff => article(&format!("{colour}quiff")),
            Curly => format!("curly {colour}hair"),
            Afro => article(&format!("{colour}afro")),
            Bob => article(&format!("{colour}bob")),
            Fringe => format!("{colour}hair with a fringe"),
            LongStraight => format!("long {}{colour}hair", chance.pick(["straight ", ""])),
            LongWavy => format!("long {}{colour}hair", chance.pick(["wavy ", ""])),
            Ponytail => article(&format!("{colour}ponytail")),
            Bun => format!("{colour}hair in a bun"),
        })
    }

    fn mole(&self, chance: &mut Chance) -> Option<String> {
        let mole = self.person.identity.mole?;
        let place = match mole.y {
            ..0.0 => "above the brow",
            _ if self.person.attributes.beard => return None,
            0.7.. => "on the chin",
            0.41.. => "beside the mouth",
            _ => "on the cheek",
        };
        // Hair may hang over the brow.
        if mole.y < 0.0 && !(self.is_bare_headed() && self.forehead_shows()) {
            return None;
        }
        Some(if chance.happens(0.5) { "a mole".to_owned() } else { format!("a mole {place}") })
    }

    fn ears_show(&self) -> bool {
        use HairStyle::{Bald, Bun, Buzz, Ponytail, Quiff, Short, SideParting};
        matches!(self.person.identity.hair_style, Bald | Buzz | Short | SideParting | Quiff | Ponytail | Bun)
    }

    fn forehead_shows(&self) -> bool {
        use HairStyle::{Bald, Bun, Buzz, LongStraight, LongWavy, Ponytail, Quiff};
        self.is_bare_headed()
            && matches!(self.person.identity.hair_style, Bald | Buzz | Quiff | Ponytail | Bun | LongStraight | LongWavy)
    }
}

/// Where a measure lies in its range, from -1 to 1.
fn within(value: f32, low: f32, high: f32) -> f32 {
    2.0 * (value - low) / (high - low) - 1.0
}

/// One of two opposite words, weaker or stronger with the distance from the middle; nothing near it.
fn graded(value: f32, [less, more]: [&str; 2], chance: &mut Chance) -> Option<String> {
    let word = if value < 0.0 { less } else { more };
    let grade = match value.abs() {
        ..0.35 => return None,
        ..0.6 => chance.pick(["rather ", ""]),
        ..0.8 => "",
        _ => chance.pick(["very ", ""]),
    };
    Some(format!("{grade}{word}"))
}

/// How light or dark; nothing where two words would be as right.
fn skin(skin: f32, chance: &mut Chance) -> Option<&'static str> {
    Some(match skin {
        ..0.1 => chance.pick(["very pale", "pale"]),
        ..0.25 => chance.pick(["pale", "light"]),
        ..0.35 => return None,
        ..0.5 => "tanned",
        ..0.58 => return None,
        ..0.75 => "brown",
        ..0.88 => "dark",
        _ => chance.pick(["very dark", "dark"]),
    })
}

fn eye_colour(colour: EyeColour) -> &'static str {
    match colour {
        EyeColour::Brown => "brown",
        EyeColour::Hazel => "hazel",
        EyeColour::Amber => "amber",
        EyeColour::Green => "green",
        EyeColour::Blue => "blue",
        EyeColour::Grey => "grey",
    }
}

/// A noun with "a" or "an" before it.
pub(crate) fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caption::Captions;
    use crate::identity::{Gender, Identity, Who};

    /// Words that may be said of a face, each with when that is true.
    type Truth = fn(&Person, Style) -> bool;
    const WORDS: [(&str, Truth); 36] = [
        ("blond", |person, _| matches!(person.identity.hair_colour, HairColour::Blond | HairColour::Platinum)),
        ("golden", |person, _| person.identity.hair_colour == HairColour::Blond),
        ("ginger", |person, _| person.identity.hair_colour == HairColour::Red),
        ("black hair", |person, style| {
            person.identity.hair_colour == HairColour::Black && style != Style::BlackAndWhite
        }),
        ("bald", |person, _| {
            person.identity.hair_style == HairStyle::Bald
                && person.attributes.headwear == Headwear::None
                && person.attributes.dye == Dye::None
        }),
        ("curly", |person, _| person.identity.hair_style == HairStyle::Curly),
        ("afro", |person, _| person.identity.hair_style == HairStyle::Afro),
        ("ponytail", |person, _| person.identity.hair_style == HairStyle::Ponytail),
        ("bun", |person, _| person.identity.hair_style == HairStyle::Bun),
        ("green eyes", |person, style| {
            person.identity.eye_colour == EyeColour::Green
                && person.attributes.eyes == Eyes::Open
                && style != Style::Sketch
        }),
        ("blue eyes", |person, _| person.identity.eye_colour == EyeColour::Blue),
        ("small eyes", |person, _| person.identity.eye_size < 1.0 && person.attributes.eyes == Eyes::Open),
        ("big eyes", |person, _| person.identity.eye_size > 1.0 && person.attributes.eyes == Eyes::Open),
        ("close together", |person, _| person.identity.eye_spacing < 1.0),
        ("far apart", |person, _| person.identity.eye_spacing > 1.0),
        ("drooping eyes", |person, _| person.identity.eye_tilt < 0.0),
        ("slanted eyes", |person, _| person.identity.eye_tilt > 0.0),
        ("thick", |person, _| person.identity.brow_thickness > 1.15),
        ("bushy", |person, _| person.identity.brow_thickness > 1.15),
        ("short nose", |person, _| person.identity.nose_length < 1.0),
        ("long nose", |person, _| person.identity.nose_length > 1.0),
        ("narrow nose", |person, _| person.identity.nose_width < 1.05),
        ("broad nose", |person, _| person.identity.nose_width > 1.05),
        ("thin lips", |person, _| person.identity.lip_size < 1.05 && !person.attributes.beard),
        ("full lips", |person, _| person.identity.lip_size > 1.05 && !person.attributes.beard),
        ("pointed", |person, _| person.identity.jaw < 0.5),
        ("square", |person, _| person.identity.jaw > 0.5),
        ("round face", |person, _| person.identity.face_width > 0.985),
        ("slim face", |person, _| person.identity.face_width < 0.985),
        ("freckles", |person, _| person.identity.freckles > 0.0),
        ("freckled", |person, _| person.identity.freckles > 0.0),
        ("mole", |person, _| person.identity.mole.is_some()),
        ("moustache", |person, _| person.identity.facial_hair == FacialHair::Moustache && !person.attributes.beard),
        ("stubble", |person, _| person.identity.gender == Gender::Man),
        ("pale", |person, style| person.identity.skin < 0.25 && style != Style::BlackAndWhite),
        ("dark skin", |person, _| person.identity.skin > 0.7),
    ];

    /// All captions of the first pictures that show one person.
    fn captions() -> impl Iterator<Item = (Person, Sample, Vec<String>)> {
        (0..6000).map(Sample::training).filter_map(|sample| {
            let [person] = *sample.people() else { return None };
            let Captions { main, complete, brief } = Captions::of(&sample);
            Some((person, sample, [main].into_iter().chain(complete).chain(brief).collect()))
        })
    }

    #[test]
    fn nothing_wrong_is_said_and_every_word_is() {
        let mut said = [0; WORDS.len()];
        for (person, sample, captions) in captions() {
            for caption in captions {
                let words = format!(" {} ", caption.replace(',', " "));
                for ((word, is_true), said) in WORDS.iter().zip(&mut said) {
                    if words.contains(&format!(" {word} ")) {
                        assert!(is_true(&person, sample.style), "`{caption}` says `{word}`: {person:?}");
                        *said += 1;
                    }
                }
            }
        }
        let silent: Vec<&str> =
            WORDS.iter().zip(said).filter(|(_, said)| *said < 20).map(|((word, _), _)| *word).collect();
        assert!(silent.is_empty(), "hardly ever said: {silent:?}");
    }

    #[test]
    fn half_of_the_nameless_are_described_and_few_of_the_named() {
        let mut described = [[0usize; 2]; 2];
        for (person, _, captions) in captions() {
            let named = usize::from(person.who.name().is_some());
            described[named][0] += 1;
            let plain = ["a man, ", "a woman, ", "an old man, ", "an old woman, "];
            let name = person.who.name();
            let rest = captions[0].split_once(" of ").map_or("", |(_, rest)| rest);
            let rest = rest.replace(" on the left", "").replace(" on the right", "");
            let known = person.attributes.phrases();
            let (noun, after) = rest.split_once(", ").unwrap_or((&rest, ""));
            let is_plain_noun = plain.contains(&format!("{noun}, ").as_str()) || name.is_some();
            let told = after.starts_with("with ") && !known.iter().any(|phrase| after.starts_with(phrase));
            described[named][1] += usize::from(told || !is_plain_noun);
        }
        let [nameless, named] = described.map(|[all, told]| told as f64 / all as f64);
        assert!((0.4..0.65).contains(&nameless), "{nameless}");
        assert!((0.08..0.2).contains(&named), "{named}");
    }

    #[test]
    fn a_measure_near_the_middle_is_not_worth_a_word() {
        let chance = &mut Chance::new(0, "test");
        let mut words = |value| (0..20).map(|_| graded(value, ["short", "long"], chance)).collect::<Vec<_>>();
        assert!(words(0.3).iter().all(Option::is_none));
        assert!(words(-0.5).iter().flatten().all(|word| word == "short" || word == "rather short"));
        assert!(words(0.9).iter().flatten().any(|word| word == "very long"));
        assert_eq!((within(0.8, 0.8, 1.2), within(1.2, 0.8, 1.2)), (-1.0, 1.0));
    }

    #[test]
    fn what_is_hidden_is_not_told() {
        let mut sample = Sample::portrait(Who::Passer(0), 0);
        sample.style = Style::Photo;
        let identity = Identity { freckles: 1.0, eye_size: 0.82, ..Who::Passer(0).identity() };
        for seed in 0..500 {
            let mut person = sample.people()[0];
            (person.identity, person.who) = (identity, Who::Passer(0));
            person.attributes.eyes = Eyes::Sunglasses;
            sample.framing = Framing::Distant;
            let told = Description::draw(&person, &sample, 3, &mut Chance::new(seed, "test"));
            let text = format!("{} {}", told.adjective.unwrap_or(""), told.phrase.unwrap_or_default());
            assert!(!text.contains("freckle") && !text.contains("eyes"), "{text}");
        }
    }
}
