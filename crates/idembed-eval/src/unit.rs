//! One unit: a person learned by one method, drawn and scored.

use std::path::{Path, PathBuf};
use std::time::Instant;

use idembed_attention::{AttentionMaps, HeatMap, Mask, Scale, Selection};
use idembed_metrics::{Instruments, Person, Scored};
use idembed_studio::{Drawing, Drawn, Model, NamedIdentity, Studio, Watch, picture_file};
use image::{GrayImage, RgbImage};
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::files::{Line, Lines, write_json};
use crate::learning::{self, LearnedRecord};
use crate::memory;
use crate::people::Portrait;
use crate::protocol::{Prompt, Protocol};
use crate::variant::Variant;
use crate::{EvalError, Result};

/// The finished unit.
const UNIT: &str = "unit.json";
/// How opaque a heat map lies over its picture.
const OPACITY: f64 = 0.6;

/// All that the units of a run have in common.
#[derive(Debug)]
pub(crate) struct Shop<'a> {
    pub(crate) model: &'a Model,
    /// All methods of the run.
    pub(crate) variants: &'a [Variant],
    pub(crate) studio: &'a Studio,
    pub(crate) instruments: &'a Instruments,
    pub(crate) protocol: &'a Protocol,
    pub(crate) prompts: &'a [Prompt],
    pub(crate) seeds: &'a [u64],
    /// After every how many training steps pictures are drawn and scored, if at all.
    pub(crate) curve: Option<usize>,
    pub(crate) out: &'a Path,
}

/// A person as the units need them.
#[derive(Debug)]
pub(crate) struct Sitter {
    pub(crate) name: String,
    pub(crate) portrait: Portrait,
    pub(crate) person: Person,
}

/// A method and a person, and who stands beside them where a prompt has two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit<'a> {
    pub(crate) variant: &'a Variant,
    pub(crate) sitter: &'a Sitter,
    pub(crate) partner: Option<&'a Sitter>,
}

/// What a finished unit took.
#[derive(Debug, Serialize)]
struct UnitRecord<'a> {
    method: &'a str,
    identity: &'a str,
    #[serde(flatten)]
    learned: LearnedRecord,
    draw_seconds: f64,
    score_seconds: f64,
    peak_memory_bytes: Option<u64>,
}

/// The time that drawing and scoring took.
#[derive(Debug, Default)]
struct Spent {
    drawing: f64,
    scoring: f64,
}

impl Unit<'_> {
    /// Its folder.
    pub(crate) fn folder(&self, out: &Path) -> PathBuf {
        learning::folder(out, self.variant, self.sitter)
    }

    /// Whether all of it is done.
    pub(crate) fn is_finished(&self, out: &Path) -> bool {
        self.folder(out).join(UNIT).is_file()
    }

    /// The prompts that it draws: those of two people only where two identities can be drawn together.
    fn prompts<'b>(&self, shop: &'b Shop<'_>) -> impl Iterator<Item = &'b Prompt> {
        let pairs = self.partner.is_some() && self.variant.method.spec().unet.is_none();
        shop.prompts.iter().filter(move |prompt| pairs || !prompt.is_of_two())
    }

    /// Does what is left of it; `tell` is told what is being done.
    ///
    /// # Errors
    /// What learning, drawing, scoring or the disk reports. What is done stays.
    pub(crate) fn run(&self, shop: &Shop<'_>, tell: &mut dyn FnMut(&str)) -> Result<()> {
        memory::forget_peak();
        let folder = self.folder(shop.out);
        let (own, learned) = learning::identity(shop, self.variant, self.sitter, tell)?;
        let partner = match self.partner.filter(|_| self.prompts(shop).any(Prompt::is_of_two)) {
            Some(partner) => Some((partner, learning::identity(shop, self.variant, partner, tell)?.0)),
            None => None,
        };
        let lines_of = |number: usize| {
            let is_of_two = shop.prompts.iter().any(|prompt| prompt.number == number && prompt.is_of_two());
            shop.seeds.len() * if is_of_two { 2 } else { 1 }
        };
        let mut lines = Lines::open(folder.join("pictures.jsonl"), lines_of)?;
        let mut spent = Spent::default();
        for prompt in self.prompts(shop) {
            if lines.has(prompt.number) {
                continue;
            }
            tell(&prompt.prompt);
            let made = match (&partner, prompt.is_of_two()) {
                (Some((partner, other)), true) => {
                    let mut made = self.draw_pair(shop, prompt, [&own, other], partner, false, &mut spent)?;
                    made.extend(self.draw_pair(shop, prompt, [&own, other], partner, true, &mut spent)?);
                    made
                }
                _ => self.draw_one(shop, prompt, &own, &mut spent)?,
            };
            lines.add(prompt.number, &made)?;
        }
        let record = UnitRecord {
            method: &self.variant.label,
            identity: &self.sitter.name,
            learned,
            draw_seconds: spent.drawing,
            score_seconds: spent.scoring,
            peak_memory_bytes: memory::peak(),
        };
        write_json(&folder.join(UNIT), &record)
    }

    /// The pictures of a prompt for one person.
    fn draw_one(
        &self,
        shop: &Shop<'_>,
        prompt: &Prompt,
        identity: &NamedIdentity,
        spent: &mut Spent,
    ) -> Result<Vec<Line>> {
        let started = Instant::now();
        let text = prompt.with_identities(&self.sitter.name, "");
        let plan = |seeds: &[u64]| -> Result<Drawing> {
            let wish = shop.protocol.draw(seeds.to_vec())?;
            Ok(Drawing::plan(shop.model, &text, vec![identity.clone()], &wish)?)
        };
        let Some((first, rest)) = shop.seeds.split_first() else { return Ok(Vec::new()) };
        let watch = Watch { words: vec![format!("<{}>", self.sitter.name)], stages: 1 };
        let watched = shop.studio.start_watching(plan(&[*first])?, watch).wait()?;
        let mut drawn = vec![watched.drawn];
        if !rest.is_empty() {
            drawn.extend(shop.studio.draw_all(plan(rest)?)?);
        }
        spent.drawing += started.elapsed().as_secs_f64();

        let started = Instant::now();
        let pictures: Vec<RgbImage> = drawn.iter().map(|drawn| drawn.picture.clone()).collect();
        let request = prompt.request(&shop.protocol.class);
        let mut scored = shop.instruments.score(&self.sitter.person, &request, &pictures)?;
        let mut attention = None;
        if let Some(first) = scored.first_mut() {
            first.scores.extend(leakage(&watched.maps, first)?.map(|share| ("leakage".to_owned(), share)));
            let over =
                HeatMap::over(&pictures[0], &watched.maps.word_map(0, &Selection::default())?, Scale::PerMap, OPACITY)?;
            attention = Some(over.picture);
        }
        spent.scoring += started.elapsed().as_secs_f64();

        let mut lines = Vec::with_capacity(drawn.len());
        for ((drawn, scored), seed) in drawn.iter().zip(scored).zip(shop.seeds) {
            let stem = format!("{:03}-{seed}", prompt.number);
            let attention = attention.take().map(|picture| {
                let name = format!("{stem}-attention.png");
                picture_file::write(&self.folder(shop.out).join(&name), &picture, None)?;
                Ok::<_, EvalError>(self.relative(shop.out, &name))
            });
            lines.push(Line {
                path: self.save(shop.out, &stem, drawn)?,
                attention: attention.transpose()?,
                ..self.line(prompt, *seed, scored)
            });
        }
        Ok(lines)
    }

    /// The pictures of a prompt for two people, in one order.
    fn draw_pair(
        &self,
        shop: &Shop<'_>,
        prompt: &Prompt,
        identities: [&NamedIdentity; 2],
        partner: &Sitter,
        swapped: bool,
        spent: &mut Spent,
    ) -> Result<Vec<Line>> {
        let started = Instant::now();
        let people = if swapped { [partner, self.sitter] } else { [self.sitter, partner] };
        let text = prompt.with_identities(&people[0].name, &people[1].name);
        let wish = shop.protocol.draw(shop.seeds.to_vec())?;
        let identities = identities.map(NamedIdentity::clone).to_vec();
        let drawn = shop.studio.draw_all(Drawing::plan(shop.model, &text, identities, &wish)?)?;
        spent.drawing += started.elapsed().as_secs_f64();

        let started = Instant::now();
        let pictures: Vec<RgbImage> = drawn.iter().map(|drawn| drawn.picture.clone()).collect();
        let request = prompt.request(&shop.protocol.class);
        let scored = shop.instruments.score_pair(people.map(|sitter| &sitter.person), &request, &pictures)?;
        spent.scoring += started.elapsed().as_secs_f64();
        let lines = drawn.iter().zip(scored).zip(shop.seeds).map(|((drawn, scored), seed)| {
            let stem = format!("{:03}-{seed}{}", prompt.number, if swapped { "-swapped" } else { "" });
            Ok(Line {
                path: self.save(shop.out, &stem, drawn)?,
                partner: Some(partner.name.clone()),
                swapped,
                ..self.line(prompt, *seed, scored)
            })
        });
        lines.collect()
    }

    fn line(&self, prompt: &Prompt, seed: u64, scored: Scored) -> Line {
        Line {
            method: self.variant.label.clone(),
            identity: self.sitter.name.clone(),
            partner: None,
            swapped: false,
            category: prompt.category.clone(),
            prompt: prompt.prompt.clone(),
            number: prompt.number,
            seed,
            path: String::new(),
            attention: None,
            scores: scored.scores,
            seen: scored.seen,
        }
    }

    /// Writes a picture, and gives its path below the evaluation's folder.
    fn save(&self, out: &Path, stem: &str, drawn: &Drawn) -> Result<String> {
        let name = format!("{stem}.png");
        drawn.save(self.folder(out).join(&name))?;
        Ok(self.relative(out, &name))
    }

    fn relative(&self, out: &Path, name: &str) -> String {
        let path = self.folder(out).join(name);
        path.strip_prefix(out).unwrap_or(&path).to_string_lossy().into_owned()
    }
}

/// The share of the identity's attention outside the drawn head, where there is one.
fn leakage(maps: &AttentionMaps, scored: &Scored) -> Result<Option<f64>> {
    let Some(Some(head)) = scored.heads.first() else { return Ok(None) };
    if head.pixels().all(|pixel| pixel[0] == 0) {
        return Ok(None);
    }
    Ok(maps.leakage(0, &Selection::default(), &Mask::new(&as_tensor(head)?)?)?)
}

/// `[1, 1, height, width]` in 0..1.
fn as_tensor(mask: &GrayImage) -> Result<Tensor> {
    let values = Tensor::f_from_slice(mask.as_raw())?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
    Ok(values.f_view([1, 1, i64::from(mask.height()), i64::from(mask.width())])?)
}
