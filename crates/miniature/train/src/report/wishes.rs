//! Prompts over all factors, each with what its picture should show.

use idembed_world::factors::{Attributes, Dye, Expression, Eyes, Headwear, Object, Scene, Style};
use idembed_world::{Sample, Subject, Who};

use crate::judge::Factor;

/// A prompt, and the class of each factor that it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) prompt: String,
    pub(crate) expected: Vec<(Factor, usize)>,
    /// What is not named, and can be seen in its style: with the class that shows nothing special.
    pub(crate) unasked: Vec<(Factor, usize)>,
}

/// What is asked for besides style and scene.
#[derive(Debug, Clone, Copy)]
enum Extra {
    Holding(Object),
    Being(Factor, Attributes),
}

/// The wish of this number; the next 540 of them name every style, every scene and everything else about as often.
pub(crate) fn wish(index: usize) -> Wish {
    let extras = extras();
    let extra = extras[index % extras.len()];
    // Every second round of them asks for photos, as prompts mostly do.
    let photo = (index / extras.len()).is_multiple_of(2);
    let style = if photo { Style::Photo } else { Style::ALL[1 + index % (Style::ALL.len() - 1)] };
    let scene = Scene::ALL[(index + index / extras.len()) % Scene::ALL.len()];
    let mut sample = Sample::portrait(Who::Passer(index as u64), index as u64);
    (sample.style, sample.scene) = (style, scene);
    let (mut object, mut attributes) = (None, Attributes::default());
    let mut factors = vec![Factor::Scene, Factor::Style];
    match extra {
        Extra::Holding(held) => {
            object = Some(held);
            factors.push(Factor::Object);
        }
        Extra::Being(factor, being) => {
            attributes = being;
            factors.push(factor);
        }
    }
    if let Subject::Person(person) = &mut sample.subject {
        (person.object, person.attributes) = (object, attributes);
    }
    // Once all scenes have met all extras, the man becomes a woman. A full beard is only asked for of a man.
    let round = index / (extras.len() * Scene::ALL.len());
    let noun = if attributes.beard || (index / 2 + round).is_multiple_of(2) { "man" } else { "woman" };
    let noun = if attributes.old { format!("an old {noun}") } else { format!("a {noun}") };
    let mut words = vec![format!("{} of {noun}", style.phrase())];
    words.extend(attributes.phrases().into_iter().map(str::to_owned));
    words.extend(object.map(|object| format!("holding {}", object.phrase())));
    words.push(scene.phrase().to_owned());
    let unasked = Factor::ALL.into_iter().filter(|factor| !factors.contains(factor) && factor.class(&sample).is_some());
    let unasked = unasked.filter_map(|factor| Some((factor, factor.usual()?))).collect();
    let expected = factors.into_iter().filter_map(|factor| Some((factor, factor.class(&sample)?)));
    Wish { prompt: words.join(" "), expected: expected.collect(), unasked }
}

fn extras() -> Vec<Extra> {
    let plain = Attributes::default();
    let being = |factor, attributes| Extra::Being(factor, attributes);
    let expressions = [Expression::Smiling, Expression::Laughing, Expression::Sad];
    let expressions = expressions.map(|expression| being(Factor::Expression, Attributes { expression, ..plain }));
    let eyes = [Eyes::Closed, Eyes::Sunglasses].map(|eyes| being(Factor::Eyes, Attributes { eyes, ..plain }));
    let headwear = [Headwear::Hat, Headwear::Cap];
    let headwear = headwear.map(|headwear| being(Factor::Headwear, Attributes { headwear, ..plain }));
    let dyes = [Dye::Blue, Dye::Pink, Dye::Green].map(|dye| being(Factor::Dye, Attributes { dye, ..plain }));
    let old = being(Factor::Old, Attributes { old: true, ..plain });
    let beard = being(Factor::Beard, Attributes { beard: true, ..plain });
    let objects = Object::ALL.map(Extra::Holding);
    objects.into_iter().chain(expressions).chain(eyes).chain(headwear).chain(dyes).chain([old, beard]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_class_is_asked_for_and_only_what_is_said_is_expected() {
        let wishes: Vec<Wish> = (0..500).map(wish).collect();
        let asked: HashSet<(usize, usize)> = wishes
            .iter()
            .flat_map(|wish| wish.expected.iter().map(|(factor, class)| (*factor as usize, *class)))
            .collect();
        // Objects but not "nothing", the scenes, the styles, and twelve attributes that are not as usual.
        assert_eq!(asked.len(), 6 + 18 + 6 + 12);
        for factor in Factor::ALL.into_iter().filter(|factor| !matches!(factor, Factor::Scene | Factor::Style)) {
            let photos = |photo: bool| {
                let of_factor = wishes.iter().filter(|wish| wish.expected.iter().any(|(of, _)| *of == factor));
                of_factor.filter(|wish| wish.prompt.starts_with("a photo") == photo).count()
            };
            let asked = factor != Factor::Shirt;
            assert!(!asked || (photos(true) > 8 && photos(false) > 8), "{factor:?} in every sort of style");
        }
        let distinct: HashSet<&str> = wishes.iter().map(|wish| wish.prompt.as_str()).collect();
        assert!(distinct.len() > 450, "{}", distinct.len());
        for Wish { prompt, expected, unasked } in &wishes {
            assert!(unasked.iter().all(|(factor, _)| expected.iter().all(|(asked, _)| asked != factor)), "{prompt}");
            let coloured = !prompt.contains("sketch") && !prompt.contains("black and white");
            let dye = expected.iter().chain(unasked).any(|(factor, _)| *factor == Factor::Dye);
            assert_eq!(dye, coloured, "{prompt}");
            assert!((1..=3).contains(&expected.len()), "{prompt}");
            let object = expected.iter().find(|(factor, _)| *factor == Factor::Object);
            assert_eq!(object.is_some(), prompt.contains("holding"), "{prompt}");
            assert!(!prompt.contains("woman") || !prompt.contains("beard"), "{prompt}");
        }
        assert!(wishes.iter().any(|wish| wish.prompt == "a photo of a man holding a basketball at the beach"));
    }
}
