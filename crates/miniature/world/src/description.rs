//! What can be said of a face: words for the traits that a picture shows.

use crate::chance::Chance;
use crate::draw::tones::visible_style;
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
        let view = View::of(person, sample);
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
    /// Whether the face is large enough for more than hair, beard and skin.
    near: bool,
    /// The cut of the hair, which dye may have made grow.
    cut: HairStyle,
}

impl<'a> View<'a> {
    fn of(person: &'a Person, sample: &Sample) -> Self {
        // Two people share the width of a picture.
        let near = sample.framing != Framing::Distant && sample.people().len() == 1;
        let cut = visible_style(person.identity.hair_style, person.attributes.dye);
        View { person, style: sample.style, near, cut }
    }

    /// Whether colours are those of nature.
    fn has_colours(&self) -> bool {
        matches!(self.style, Style::Photo | Style::OilPainting | Style::PixelArt)
    }

    /// Whether sizes and distances can be seen; a large pixel is as large as what they differ by.
    fn has_measures(&self) -> bool {
        self.near && self.style != Style::PixelArt
    }

    /// Whether spots and irises can be seen.
    fn has_details(&self) -> bool {
        self.near && matches!(self.style, Style::Photo | Style::OilPainting | Style::BlackAndWhite)
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
        self.is_bare_headed() && self.cut == HairStyle::Bald
    }

    /// Whether there is no hair to speak of.
    fn is_shaven(&self) -> bool {
        matches!(self.cut, HairStyle::Bald | HairStyle::Buzz)
    }

    fn is_bare_headed(&self) -> bool {
        self.person.attributes.headwear == Headwear::None
    }

    /// Something true about an aspect, if it is seen and is not as most people have it.
    fn say(&self, aspect: Aspect, chance: &mut Chance) -> Option<String> {
        let Person { identity, attributes, .. } = self.person;
        let open = attributes.eyes == Eyes::Open;
        // A smile makes every mouth wide.
        let calm = matches!(attributes.expression, Expression::Neutral | Expression::Sad);
        let beard = attributes.beard;
        match aspect {
            Aspect::Hair => self.hair(chance),
            Aspect::Skin if self.has_colours() => Some(format!("{} skin", skin(identity.skin, chance)?)),
            Aspect::EyeColour if open && self.has_details() && self.has_colours() => {
                Some(format!("{} eyes", eye_colour(identity.eye_colour)))
            }
            Aspect::EyeSize if open && self.has_measures() => {
                let big = chance.pick(["big", "large"]);
                Some(format!("{} eyes", graded(within(identity.eye_size, 0.82, 1.2), ["small", big], chance)?))
            }
            Aspect::EyeSpacing if self.has_measures() && attributes.eyes != Eyes::Sunglasses => {
                let far = within(identity.eye_spacing, 0.87, 1.14);
                Some(format!("eyes {}", graded(far, ["close together", "far apart"], chance)?))
            }
            Aspect::EyeTilt if open && self.has_measures() => Some(format!(
                "{} eyes",
                graded(identity.eye_tilt, ["drooping", chance.pick(["slanted", "upturned"])], chance)?
            )),
            // A fringe hangs down to them.
            Aspect::Brows if self.has_measures() && self.cut != HairStyle::Fringe => {
                let thick = chance.pick(["thick", "bushy"]);
                let brows = chance.pick(["brows", "eyebrows"]);
                Some(format!(
                    "{} {brows}",
                    graded(within(identity.brow_thickness, 0.45, 1.85), ["thin", thick], chance)?
                ))
            }
            Aspect::Nose if self.has_measures() => {
                let long = graded(within(identity.nose_length, 0.82, 1.18), ["short", "long"], chance);
                let wide = chance.pick(["wide", "broad"]);
                let wide = graded(within(identity.nose_width, 0.68, 1.42), ["narrow", wide], chance);
                let words: Vec<String> = [long, wide].into_iter().flatten().collect();
                (!words.is_empty()).then(|| format!("a {} nose", words.join(", ")))
            }
            Aspect::Mouth if self.has_measures() && !beard && calm => Some(format!(
                "a {} mouth",
                graded(within(identity.mouth_width, 0.74, 1.26), ["small", "wide"], chance)?
            )),
            Aspect::Lips if self.has_measures() && !beard => {
                let full = graded(within(identity.lip_size, 0.55, 1.55), ["thin", "full"], chance);
                let red = (self.has_colours() && identity.lip_colour > 0.7).then(|| "red".to_owned());
                let words: Vec<String> = [full, red].into_iter().flatten().collect();
                (!words.is_empty()).then(|| format!("{} lips", words.join(" ")))
            }
            Aspect::Jaw if self.has_measures() && !beard => {
                let jaw = chance.pick(["jaw", "chin"]);
                Some(format!("a {} {jaw}", graded(within(identity.jaw, 0.0, 1.0), ["pointed", "square"], chance)?))
            }
            Aspect::Width if self.has_measures() => {
                let [narrow, wide] = [chance.pick(["narrow", "slim"]), chance.pick(["wide", "round"])];
                Some(format!("a {} face", graded(within(identity.face_width, 0.84, 1.13), [narrow, wide], chance)?))
            }
            Aspect::Ears if self.has_measures() && self.ears_show() => {
                Some(format!("{} ears", graded(within(identity.ears, 0.75, 1.3), ["small", "big"], chance)?))
            }
            Aspect::Forehead if self.has_measures() && self.forehead_shows() => {
                Some(format!("a {} forehead", graded(within(identity.hairline, 0.0, 1.0), ["low", "high"], chance)?))
            }
            Aspect::Freckles if self.has_details() => match identity.freckles {
                0.0 => None,
                0.75.. => Some(chance.pick(["many freckles", "freckles"]).to_owned()),
                0.0..0.5 => Some(chance.pick(["a few freckles", "freckles"]).to_owned()),
                _ => Some("freckles".to_owned()),
            },
            Aspect::Mole if self.has_details() => self.mole(chance),
            Aspect::FacialHair if !beard && (self.near || self.style != Style::PixelArt) => {
                match identity.facial_hair {
                    FacialHair::None => None,
                    // A shadow on the skin, too faint from afar or in few strokes.
                    FacialHair::Stubble => self.has_details().then(|| "stubble".to_owned()),
                    FacialHair::Moustache => Some("a moustache".to_owned()),
                    FacialHair::Goatee => Some("a goatee".to_owned()),
                }
            }
            _ => None,
        }
    }

    /// Colour and cut.
    fn hair(&self, chance: &mut Chance) -> Option<String> {
        use HairStyle::*;
        let colour = self.hair_colour(chance).map_or(String::new(), |colour| format!("{colour} "));
        if self.is_shaven() && !self.is_bare_headed() {
            return None;
        }
        // Below headwear a cut cannot be told.
        let only_colour = !self.is_bare_headed() || (!self.is_shaven() && chance.happens(0.25));
        if only_colour {
            return (!colour.is_empty()).then(|| format!("{colour}hair"));
        }
        Some(match self.cut {
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
        let Person { identity, attributes, .. } = self.person;
        let mole = identity.mole?;
        let moustache = matches!(identity.facial_hair, FacialHair::Moustache | FacialHair::Goatee);
        // What hair of the head or the face may lie over is not told.
        let (place, covered) = match mole.y {
            ..0.0 => ("above the brow", !self.forehead_shows() || self.cut == HairStyle::LongWavy),
            0.7.. => ("on the chin", attributes.beard || identity.facial_hair == FacialHair::Goatee),
            0.41.. => ("beside the mouth", attributes.beard || moustache),
            _ => ("on the cheek", attributes.beard),
        };
        if covered {
            return None;
        }
        Some(if chance.happens(0.5) { "a mole".to_owned() } else { format!("a mole {place}") })
    }

    fn ears_show(&self) -> bool {
        use HairStyle::{Bald, Bun, Buzz, Ponytail, Quiff, Short, SideParting};
        matches!(self.cut, Bald | Buzz | Short | SideParting | Quiff | Ponytail | Bun)
    }

    fn forehead_shows(&self) -> bool {
        use HairStyle::{Bald, Bun, Buzz, LongStraight, LongWavy, Ponytail, Quiff};
        self.is_bare_headed() && matches!(self.cut, Bald | Buzz | Quiff | Ponytail | Bun | LongStraight | LongWavy)
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
    use crate::factors::Attributes;
    use crate::identity::Who;

    /// Words that may be said of a face, each with when that is true of somebody in the picture.
    type Truth = fn(&Person, &Sample) -> bool;
    const WORDS: [(&str, Truth); 42] = [
        ("blond", |it, of| {
            matches!(it.identity.hair_colour, HairColour::Blond | HairColour::Platinum) && colours(it, of)
        }),
        ("golden", |it, of| it.identity.hair_colour == HairColour::Blond && colours(it, of)),
        ("ginger", |it, of| it.identity.hair_colour == HairColour::Red && colours(it, of)),
        ("black hair", |it, of| it.identity.hair_colour == HairColour::Black && colours(it, of)),
        ("bald", |it, _| it.identity.hair_style == HairStyle::Bald && bare(it) && it.attributes.dye == Dye::None),
        ("buzz", |it, _| it.identity.hair_style == HairStyle::Buzz && bare(it) && it.attributes.dye == Dye::None),
        ("curly", |it, _| it.identity.hair_style == HairStyle::Curly && bare(it)),
        ("afro", |it, _| it.identity.hair_style == HairStyle::Afro && bare(it)),
        ("ponytail", |it, _| it.identity.hair_style == HairStyle::Ponytail && bare(it)),
        ("bun", |it, _| it.identity.hair_style == HairStyle::Bun && bare(it)),
        ("green eyes", |it, of| it.identity.eye_colour == EyeColour::Green && open(it) && large(of)),
        ("blue eyes", |it, of| it.identity.eye_colour == EyeColour::Blue && open(it) && large(of)),
        ("small eyes", |it, of| it.identity.eye_size < 1.0 && open(it) && large(of)),
        ("big eyes", |it, of| it.identity.eye_size > 1.0 && open(it) && large(of)),
        ("close together", |it, of| it.identity.eye_spacing < 1.0 && large(of)),
        ("far apart", |it, of| it.identity.eye_spacing > 1.0 && large(of)),
        ("drooping eyes", |it, of| it.identity.eye_tilt < 0.0 && open(it) && large(of)),
        ("slanted eyes", |it, of| it.identity.eye_tilt > 0.0 && open(it) && large(of)),
        ("thick", |it, of| it.identity.brow_thickness > 1.15 && large(of)),
        ("bushy", |it, of| it.identity.brow_thickness > 1.15 && large(of)),
        ("short nose", |it, of| it.identity.nose_length < 1.0 && large(of)),
        ("long nose", |it, of| it.identity.nose_length > 1.0 && large(of)),
        ("narrow nose", |it, of| it.identity.nose_width < 1.05 && large(of)),
        ("broad nose", |it, of| it.identity.nose_width > 1.05 && large(of)),
        ("small mouth", |it, of| it.identity.mouth_width < 1.0 && calm(it) && large(of)),
        ("wide mouth", |it, of| it.identity.mouth_width > 1.0 && calm(it) && large(of)),
        ("thin lips", |it, of| it.identity.lip_size < 1.05 && !it.attributes.beard && large(of)),
        ("full lips", |it, of| it.identity.lip_size > 1.05 && !it.attributes.beard && large(of)),
        ("pointed", |it, of| it.identity.jaw < 0.5 && !it.attributes.beard && large(of)),
        ("square", |it, of| it.identity.jaw > 0.5 && !it.attributes.beard && large(of)),
        ("round face", |it, of| it.identity.face_width > 0.985 && large(of)),
        ("slim face", |it, of| it.identity.face_width < 0.985 && large(of)),
        ("high forehead", |it, of| it.identity.hairline > 0.5 && bare(it) && large(of)),
        ("big ears", |it, of| it.identity.ears > 1.0 && large(of)),
        ("freckles", |it, of| it.identity.freckles > 0.0 && large(of)),
        ("freckled", |it, of| it.identity.freckles > 0.0 && large(of)),
        ("mole", |it, of| it.identity.mole.is_some() && large(of)),
        ("moustache", |it, _| it.identity.facial_hair == FacialHair::Moustache && !it.attributes.beard),
        ("goatee", |it, _| it.identity.facial_hair == FacialHair::Goatee && !it.attributes.beard),
        ("stubble", |it, of| it.identity.facial_hair == FacialHair::Stubble && large(of)),
        ("pale", |it, of| it.identity.skin < 0.25 && natural(of)),
        ("dark skin", |it, of| it.identity.skin > 0.7 && natural(of)),
    ];

    fn natural(sample: &Sample) -> bool {
        !matches!(sample.style, Style::Sketch | Style::BlackAndWhite | Style::PopArt)
    }

    fn colours(person: &Person, sample: &Sample) -> bool {
        natural(sample) && person.attributes.dye == Dye::None && !person.attributes.old
    }

    fn bare(person: &Person) -> bool {
        person.attributes.headwear == Headwear::None
    }

    fn open(person: &Person) -> bool {
        person.attributes.eyes == Eyes::Open
    }

    fn calm(person: &Person) -> bool {
        !matches!(person.attributes.expression, Expression::Smiling | Expression::Laughing)
    }

    /// Whether what is small can be seen.
    fn large(sample: &Sample) -> bool {
        sample.framing != Framing::Distant && sample.people().len() == 1 && sample.style != Style::PixelArt
    }

    /// The first pictures with people, each with all of its captions.
    fn captions() -> impl Iterator<Item = (Sample, Vec<String>)> {
        (0..8000).map(Sample::training).filter(|sample| !sample.people().is_empty()).map(|sample| {
            let Captions { main, complete, brief } = Captions::of(&sample);
            (sample, [main].into_iter().chain(complete).chain(brief).collect())
        })
    }

    #[test]
    fn nothing_wrong_is_said_and_every_word_is() {
        let mut said = [0; WORDS.len()];
        for (sample, captions) in captions() {
            for caption in captions {
                let words = format!(" {} ", caption.replace(',', " "));
                for ((word, is_true), said) in WORDS.iter().zip(&mut said) {
                    if words.contains(&format!(" {word} ")) {
                        let some = sample.people().iter().any(|person| is_true(person, &sample));
                        assert!(some, "`{caption}` says `{word}`: {sample:?}");
                        *said += 1;
                    }
                }
            }
        }
        let silent: Vec<&str> =
            WORDS.iter().zip(said).filter(|(_, said)| *said < 15).map(|((word, _), _)| *word).collect();
        assert!(silent.is_empty(), "hardly ever said: {silent:?}");
    }

    #[test]
    fn half_of_the_nameless_are_described_and_few_of_the_named() {
        let mut described = [[0usize; 2]; 2];
        for (sample, captions) in captions() {
            let [person] = sample.people() else { continue };
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
        let told = |change: fn(&mut Person, &mut Sample)| {
            let mut sample = Sample::portrait(Who::Passer(0), 0);
            (sample.style, sample.framing) = (Style::Photo, Framing::CloseUp);
            let mut person = sample.people()[0];
            (person.identity, person.attributes) = (Who::Passer(0).identity(), Attributes::default());
            (person.identity.freckles, person.identity.eye_size, person.identity.eye_tilt) = (1.0, 0.82, 1.0);
            (person.identity.mouth_width, person.identity.brow_thickness) = (0.74, 1.8);
            (person.identity.hair_style, person.identity.hair_colour) = (HairStyle::Bald, HairColour::Blond);
            person.identity.hairline = 1.0;
            change(&mut person, &mut sample);
            let texts = (0..500).map(|seed| {
                let told = Description::draw(&person, &sample, 3, &mut Chance::new(seed, "test"));
                format!("{} {}", told.adjective.unwrap_or(""), told.phrase.unwrap_or_default())
            });
            texts.collect::<String>()
        };
        let plain = told(|_, _| {});
        for word in ["freckle", "small eyes", "small mouth", "bald", "brows", "high forehead"] {
            assert!(plain.contains(word), "{word}");
        }
        let lacks = |text: &str, words: &[&str]| words.iter().for_each(|word| assert!(!text.contains(word), "{word}"));
        lacks(&told(|it, _| it.attributes.eyes = Eyes::Sunglasses), &["eyes"]);
        lacks(&told(|_, of| of.framing = Framing::Distant), &["freckle", "eyes", "mouth", "brows", "forehead"]);
        lacks(&told(|_, of| of.style = Style::PixelArt), &["freckle", "eyes", "mouth", "brows", "forehead"]);
        lacks(&told(|it, _| it.attributes.expression = Expression::Smiling), &["mouth"]);
        lacks(&told(|it, _| it.attributes.dye = Dye::Pink), &["bald", "forehead", "blond"]);
        lacks(&told(|it, _| it.attributes.headwear = Headwear::Hat), &["bald", "forehead", "no hair"]);
        lacks(&told(|it, _| it.identity.hair_style = HairStyle::Fringe), &["brows", "forehead", "bald"]);
    }
}
