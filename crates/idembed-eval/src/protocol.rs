//! What is drawn: prompts in categories, seeds, and how to sample.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_metrics::{OTHER_PLACEHOLDER, PLACEHOLDER, Request};
use idembed_studio::Draw;
use serde::{Deserialize, Serialize};

use crate::{EvalError, Result};

/// The protocols that come with the program.
const BUNDLED: [(&str, &str); 5] = [
    ("miniature", include_str!("../protocols/miniature.json")),
    ("several-wishes", include_str!("../protocols/several-wishes.json")),
    ("celeb-basis", include_str!("../protocols/celeb-basis.json")),
    ("paper", include_str!("../protocols/paper.json")),
    ("fastcomposer", include_str!("../protocols/fastcomposer.json")),
];

/// A protocol, as its file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// Where its prompts come from.
    pub source: String,
    /// The word that stands for an identity where CLIP reads the prompt.
    pub class: String,
    /// What should not be in the pictures, the same for every method.
    #[serde(default)]
    pub negative: String,
    /// The first picture's seed; further ones take the seeds after it.
    pub seed: u64,
    /// Pictures for each prompt.
    pub pictures: usize,
    /// How to sample; as the model likes if `None`.
    #[serde(default)]
    pub sampler: Option<Sampler>,
    /// The least CLIP cosine of a picture that follows its prompt, where there is no judge to tell.
    pub tau: f64,
    /// The prompts by category.
    pub sets: Vec<PromptSet>,
}

/// How pictures are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampler {
    /// The sampler's name.
    pub scheduler: String,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f64,
}

/// Prompts of one category.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSet {
    /// What they have in common, such as `scene`.
    pub category: String,
    /// The prompts.
    pub prompts: Vec<Entry>,
}

/// A prompt in a protocol's file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// The prompt alone.
    Text(String),
    /// With what a judge should see.
    Judged {
        /// The prompt.
        prompt: String,
        /// Classes by factor.
        wishes: BTreeMap<String, String>,
    },
}

/// A prompt with its place in the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its place, from 0.
    pub number: usize,
    /// Its category.
    pub category: String,
    /// The text, with `{}` for the identity and, if there are two, `{other}`.
    pub prompt: String,
    /// What a judge should see.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wishes: BTreeMap<String, String>,
}

impl Prompt {
    /// Whether two people are in it.
    pub fn is_of_two(&self) -> bool {
        self.prompt.contains(OTHER_PLACEHOLDER)
    }

    /// What its pictures are scored for.
    pub fn request(&self, class: &str) -> Request {
        Request::new(&self.prompt, class, self.wishes.clone())
    }

    /// The prompt with identities in their places.
    pub fn with_identities(&self, identity: &str, other: &str) -> String {
        self.prompt.replace(PLACEHOLDER, &format!("<{identity}>")).replace(OTHER_PLACEHOLDER, &format!("<{other}>"))
    }
}

impl Protocol {
    /// Finds a protocol by its name, or reads the file of that path.
    ///
    /// # Errors
    /// There is none, or the file is no protocol.
    pub fn find(wanted: &str) -> Result<Protocol> {
        let bundled = BUNDLED.iter().find(|(name, _)| *name == wanted).map(|(_, text)| (*text).to_owned());
        let text = match bundled {
            Some(text) => text,
            None if Path::new(wanted).is_file() => crate::files::read_text(Path::new(wanted))?,
            None => {
                let known = BUNDLED.map(|(name, _)| name).join(", ");
                return Err(EvalError::NoProtocol { wanted: wanted.to_owned(), known });
            }
        };
        let refused = |what: String| EvalError::Protocol { name: wanted.to_owned(), what };
        let protocol: Protocol = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        protocol.check().map_err(refused)?;
        Ok(protocol)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let prompts = self.prompts();
        if prompts.is_empty() || self.pictures == 0 {
            return Err("there is nothing to draw".to_owned());
        }
        if !(-1.0..=1.0).contains(&self.tau) {
            return Err(format!("tau is {}, expected -1 to 1", self.tau));
        }
        for Prompt { prompt, .. } in &prompts {
            let (own, other) = (prompt.matches(PLACEHOLDER).count(), prompt.matches(OTHER_PLACEHOLDER).count());
            if own != 1 || other > 1 {
                return Err(format!("the prompt `{prompt}` must have one {{}} and at most one {{other}}"));
            }
        }
        Ok(())
    }

    /// Its prompts in order.
    pub fn prompts(&self) -> Vec<Prompt> {
        let entries = self.sets.iter().flat_map(|set| set.prompts.iter().map(|entry| (set.category.clone(), entry)));
        let prompts = entries.enumerate().map(|(number, (category, entry))| match entry.clone() {
            Entry::Text(prompt) => Prompt { number, category, prompt, wishes: BTreeMap::new() },
            Entry::Judged { prompt, wishes } => Prompt { number, category, prompt, wishes },
        });
        prompts.collect()
    }

    /// The seeds of each prompt's pictures.
    pub fn seeds(&self, pictures: usize) -> Vec<u64> {
        (0..pictures as u64).map(|index| self.seed.wrapping_add(index)).collect()
    }

    /// How to draw with these seeds.
    ///
    /// # Errors
    /// There is no sampler of that name.
    pub fn draw(&self, seeds: Vec<u64>) -> Result<Draw> {
        let mut draw = Draw { negative: self.negative.clone(), seeds, ..Draw::default() };
        if let Some(Sampler { scheduler, steps, guidance }) = &self.sampler {
            let unknown = |error: idembed_weights::UnknownName| EvalError::Protocol {
                name: self.name.clone(),
                what: error.to_string(),
            };
            draw.scheduler = Some(scheduler.parse().map_err(unknown)?);
            (draw.steps, draw.guidance) = (Some(*steps), Some(*guidance));
        }
        Ok(draw)
    }
}

/// Some prompts of each category, as evenly as their number allows: one of each category, then another of each.
pub(crate) fn some_of(prompts: Vec<Prompt>, count: usize) -> Vec<Prompt> {
    let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
    let mut placed: Vec<(usize, Prompt)> = prompts
        .into_iter()
        .map(|prompt| {
            let round = rounds.entry(prompt.category.clone()).or_default();
            *round += 1;
            (*round, prompt)
        })
        .collect();
    placed.sort_by_key(|(round, prompt)| (*round, prompt.number));
    let mut some: Vec<Prompt> = placed.into_iter().take(count).map(|(_, prompt)| prompt).collect();
    some.sort_by_key(|prompt| prompt.number);
    some
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_protocols_can_be_used() {
        for (name, _) in BUNDLED {
            let protocol = Protocol::find(name).unwrap();
            assert_eq!(protocol.name, name);
            let prompts = protocol.prompts();
            assert!(prompts.iter().enumerate().all(|(index, prompt)| prompt.number == index));
            assert_eq!(protocol.draw(protocol.seeds(3)).unwrap().seeds.len(), 3);
            assert!(prompts.iter().all(|prompt| !prompt.request(&protocol.class).with_class.contains('{')));
        }
        let miniature = Protocol::find("miniature").unwrap().prompts();
        assert!(miniature.iter().any(Prompt::is_of_two) && miniature.len() == 16);
        let several = Protocol::find("several-wishes").unwrap().prompts();
        assert!(several.iter().all(|prompt| prompt.wishes.len() > 1 && !prompt.is_of_two()) && several.len() == 16);
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.json");
        let whole = r#"{"name": "own", "source": "", "class": "person", "seed": 1, "pictures": 1, "tau": 0.2,
            "sets": [{"category": "scene", "prompts": ["a {}"]}]}"#;
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Protocol::find(path.to_str().unwrap())
        };
        assert_eq!(read(whole).unwrap().prompts().len(), 1);
        for (from, to, expected) in [
            ("\"a {}\"", "\"a person\"", "must have one {}"),
            ("\"a {}\"", "\"{} {other} {other}\"", "must have one {}"),
            ("\"a {}\"", "", "nothing to draw"),
            ("0.2", "2", "tau is 2"),
            ("\"seed\"", "\"sead\"", "sead"),
        ] {
            let error = read(&whole.replace(from, to)).unwrap_err();
            let EvalError::Protocol { what, .. } = error else { panic!("{error}") };
            assert!(what.contains(expected), "{what}");
        }
        assert!(matches!(Protocol::find("nobody"), Err(EvalError::NoProtocol { .. })));
    }

    #[test]
    fn few_prompts_are_of_many_categories() {
        let prompt = |number: usize, category: &str| Prompt {
            number,
            category: category.to_owned(),
            prompt: String::new(),
            wishes: BTreeMap::new(),
        };
        let prompts = vec![prompt(0, "a"), prompt(1, "a"), prompt(2, "a"), prompt(3, "b"), prompt(4, "b")];
        let numbers = |count| some_of(prompts.clone(), count).iter().map(|prompt| prompt.number).collect::<Vec<_>>();
        assert_eq!(numbers(2), [0, 3]);
        assert_eq!(numbers(3), [0, 1, 3]);
        assert_eq!(numbers(9), [0, 1, 2, 3, 4]);
    }
}
