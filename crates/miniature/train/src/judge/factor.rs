//! What can be asked about a picture of one person.

use idembed_metrics::judge::{self, Factors};
use idembed_world::Sample;
use idembed_world::factors::{Object, Scene, Shirt, Style};

use crate::Result;

/// A question with a fixed number of answers, its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Factor {
    /// In the order of [`Scene::ALL`].
    Scene,
    /// In the order of [`Object::ALL`], then nothing.
    Object,
    /// Neutral, smiling, laughing, sad.
    Expression,
    /// Open, closed, behind sunglasses.
    Eyes,
    /// None, hat, cap.
    Headwear,
    /// None, blue, pink, green.
    Dye,
    /// No, yes.
    Old,
    /// No, yes.
    Beard,
    /// In the order of [`Style::ALL`].
    Style,
    /// In the order of [`Shirt::ALL`].
    Shirt,
}

impl Factor {
    /// All factors; also their order in a judge's answers.
    pub const ALL: [Factor; 10] = [
        Factor::Scene,
        Factor::Object,
        Factor::Expression,
        Factor::Eyes,
        Factor::Headwear,
        Factor::Dye,
        Factor::Old,
        Factor::Beard,
        Factor::Style,
        Factor::Shirt,
    ];

    /// Short; names its head among the weights, too.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The classes in words: those of a caption, or the shortest that say it.
    pub fn classes(self) -> Vec<&'static str> {
        match self {
            Factor::Scene => Scene::ALL.map(Scene::phrase).to_vec(),
            Factor::Object => Object::ALL.into_iter().map(Object::phrase).chain(["nothing"]).collect(),
            Factor::Expression => vec!["neutral", "smiling", "laughing", "sad"],
            Factor::Eyes => vec!["open", "closed", "sunglasses"],
            Factor::Headwear => vec!["none", "hat", "cap"],
            Factor::Dye => vec!["none", "blue", "pink", "green"],
            Factor::Old | Factor::Beard => vec!["no", "yes"],
            Factor::Style => Style::ALL.map(Style::phrase).to_vec(),
            Factor::Shirt => Shirt::ALL.map(Shirt::phrase).to_vec(),
        }
    }

    /// The class of a picture that shows nothing special in this respect; `None` where every class is as usual.
    pub(crate) fn usual(self) -> Option<usize> {
        match self {
            Factor::Object => Some(Object::ALL.len()),
            Factor::Expression | Factor::Eyes | Factor::Headwear | Factor::Dye | Factor::Old | Factor::Beard => Some(0),
            Factor::Scene | Factor::Style | Factor::Shirt => None,
        }
    }

    /// All of them as a judge reads them.
    pub(crate) fn described() -> Result<Factors> {
        let described = |factor: Factor| judge::Factor {
            name: factor.name().to_owned(),
            classes: factor.classes().into_iter().map(str::to_owned).collect(),
        };
        Ok(Factors::new(Factor::ALL.map(described).to_vec())?)
    }

    /// The class of a plan; `None` where a picture of it cannot tell: the colours of shirts, dyed hair and walls in a
    /// style without colour, and everything about a person where there is none, or more than one.
    pub fn class(self, sample: &Sample) -> Option<usize> {
        let [person] = sample.people() else { return None };
        let has_colour = !matches!(sample.style, Style::Sketch | Style::BlackAndWhite);
        let attributes = &person.attributes;
        match self {
            Factor::Scene if has_colour || !matches!(sample.scene, Scene::Wall(_)) => {
                Scene::ALL.iter().position(|scene| *scene == sample.scene)
            }
            Factor::Object => {
                let held = |object| Object::ALL.iter().position(|other| *other == object);
                person.object.map_or(Some(Object::ALL.len()), held)
            }
            Factor::Expression => Some(attributes.expression as usize),
            Factor::Eyes => Some(attributes.eyes as usize),
            Factor::Headwear => Some(attributes.headwear as usize),
            Factor::Dye if has_colour => Some(attributes.dye as usize),
            Factor::Old => Some(usize::from(attributes.old)),
            Factor::Beard => Some(usize::from(attributes.beard)),
            Factor::Style => Style::ALL.iter().position(|style| *style == sample.style),
            Factor::Shirt if has_colour => Shirt::ALL.iter().position(|shirt| *shirt == person.shirt),
            Factor::Scene | Factor::Dye | Factor::Shirt => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_world::{Captions, Who};

    use super::*;

    #[test]
    fn every_class_occurs_and_none_beyond() {
        for factor in Factor::ALL {
            let mut seen = vec![false; factor.classes().len()];
            for seed in 0..3000 {
                if let Some(class) = factor.class(&Sample::portrait(Who::Passer(seed), seed)) {
                    seen[class] = true;
                }
            }
            assert!(seen.iter().all(|seen| *seen), "{factor:?}: {seen:?}");
        }
    }

    #[test]
    fn what_is_usual_is_what_a_plain_portrait_shows() {
        let mut sample = Sample::portrait(Who::Passer(0), 0);
        if let idembed_world::Subject::Person(person) = &mut sample.subject {
            (person.object, person.attributes) = (None, Default::default());
        }
        sample.style = Style::Photo;
        let usual = Factor::ALL.into_iter().filter_map(|factor| Some((factor, factor.usual()?)));
        assert_eq!(usual.clone().count(), 7);
        usual.for_each(|(factor, class)| assert_eq!(factor.class(&sample), Some(class), "{factor:?}"));
    }

    #[test]
    fn the_bundled_judge_knows_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/mini/judge");
        assert_eq!(Factors::read(folder.as_ref()).unwrap(), Factor::described().unwrap());
    }

    /// What a class is called is what a picture of it shows.
    #[test]
    fn a_class_is_called_what_its_caption_says() {
        for seed in 0..300 {
            let sample = Sample::portrait(Who::Passer(seed), seed);
            let caption = Captions::of(&sample).main;
            let called = |factor: Factor| factor.class(&sample).map(|class| factor.classes()[class]);
            for factor in [Factor::Scene, Factor::Object, Factor::Expression, Factor::Headwear, Factor::Shirt] {
                let plain = [None, Some("nothing"), Some("neutral"), Some("none")];
                let words = called(factor);
                assert!(
                    plain.contains(&words) || words.is_some_and(|words| caption.contains(words)),
                    "{caption}: {words:?}"
                );
            }
            let dyed = called(Factor::Dye).filter(|dye| *dye != "none");
            assert!(dyed.is_none_or(|dye| caption.contains(&format!("{dye} hair"))), "{caption}: {dyed:?}");
            for (factor, words) in [(Factor::Beard, "beard"), (Factor::Old, "old ")] {
                assert_eq!(called(factor) == Some("yes"), caption.contains(words), "{caption}");
            }
            for (eyes, words) in [("closed", "eyes closed"), ("sunglasses", "wearing sunglasses")] {
                assert_eq!(called(Factor::Eyes) == Some(eyes), caption.contains(words), "{caption}");
            }
        }
    }

    #[test]
    fn what_has_no_colour_is_not_asked_for_it() {
        for seed in 0..300 {
            let mut sample = Sample::portrait(Who::Passer(seed), seed);
            sample.scene = Scene::ALL[seed as usize % 18];
            let asked =
                |sample: &Sample| Factor::ALL.into_iter().filter(|factor| factor.class(sample).is_some()).count();
            let is_wall = usize::from(matches!(sample.scene, Scene::Wall(_)));
            for (style, expected) in [(Style::Photo, 10), (Style::PopArt, 10), (Style::Sketch, 8 - is_wall)] {
                sample.style = style;
                assert_eq!(asked(&sample), expected, "{sample:?}");
            }
            assert_eq!(asked(&Sample::pair([Who::Named(1), Who::Named(2)], seed)), 0);
        }
    }
}
