//! A person learned by a method: once for all who ask, and further from where fewer steps of the same have ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idembed_files::IoError;
use idembed_metrics::Scores;
use idembed_studio::{Event, Learned, Lesson, NamedIdentity, Preview, PreviewWish, StudioError};
use idembed_tokens::{Decay, LearnConfig, TokensError};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::files::{read_json, write_json};
use crate::protocol::{Prompt, some_of};
use crate::unit::{Shop, Sitter};
use crate::variant::Variant;
use crate::{EvalError, Result};

/// The learned identity in a unit's folder.
const IDENTITY: &str = "identity.safetensors";
/// How it was learned.
const LEARNED: &str = "learned.json";
/// The state of the learning, while somebody may go on with it.
const CHECKPOINT: &str = "identity.ckpt";
/// How many prompts are drawn on the way, with the first seed.
const CURVE_PROMPTS: usize = 4;

/// What learning took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LearnedRecord {
    steps: usize,
    /// From the first step on, also where others had done the first.
    learn_seconds: f64,
    parameters: usize,
    file_bytes: u64,
    settings: BTreeMap<String, String>,
    /// Scores on the way, where they were asked for.
    curve: Vec<CurvePoint>,
}

/// What was learned after some steps, scored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CurvePoint {
    step: usize,
    /// Means over the prompts.
    scores: Scores,
}

/// The folder of what is made of a person by a method.
pub(crate) fn folder(out: &Path, variant: &Variant, sitter: &Sitter) -> PathBuf {
    out.join("units").join(&variant.label).join(&sitter.name)
}

/// A person's identity by a method: learned now, unless it was before. With what that took.
pub(crate) fn identity(
    shop: &Shop<'_>,
    variant: &Variant,
    sitter: &Sitter,
    tell: &mut dyn FnMut(&str),
) -> Result<(NamedIdentity, LearnedRecord)> {
    let folder = folder(shop.out, variant, sitter);
    std::fs::create_dir_all(&folder).map_err(IoError::writing(&folder))?;
    let (path, record) = (folder.join(IDENTITY), folder.join(LEARNED));
    if path.is_file() && record.is_file() {
        return Ok((NamedIdentity::read(&sitter.name, &path)?, read_json(&record)?));
    }
    tell("learning");
    let config = config(shop, variant, sitter);
    let others = OtherSteps::of(shop, &config, sitter);
    let checkpoint = folder.join(CHECKPOINT);
    let preview = shop.curve.map(|every| -> Result<PreviewWish> {
        let prompts = curve_prompts(shop).iter().map(|prompt| prompt.prompt.clone()).collect();
        let seeds = shop.seeds.iter().take(1).copied().collect();
        Ok(PreviewWish { every, prompts, draw: shop.protocol.draw(seeds)? })
    });
    let preview = preview.transpose()?;
    let lesson = |resume| Lesson {
        checkpoint: Some(checkpoint.clone()),
        resume,
        keep_state: others.more_will_come,
        preview: preview.clone(),
        ..Lesson::new(vec![sitter.portrait.cut.clone()], config.clone())
    };
    // What was scored on the way is not in a checkpoint: with a curve, learning begins anew.
    let mut states = std::iter::once(&checkpoint).chain(others.fewer.iter().rev());
    let resume = states.find(|state| state.is_file() && shop.curve.is_none()).cloned();
    if let Some(state) = &resume {
        tracing::debug!("{} of {} goes on from `{}`", variant.label, sitter.name, state.display());
    }
    let (learned, curve) = match learn(shop, sitter, lesson(resume.clone()), tell) {
        // A state that does not fit, such as one of another version, is of no use to anybody.
        Err(EvalError::Studio(error)) if resume.is_some() && is_of_another_run(&error) => {
            learn(shop, sitter, lesson(None), tell)?
        }
        learned => learned?,
    };
    let Learned { identity, seconds, steps_here, prepare_seconds, parameters, .. } = learned;
    identity.write(&path).map_err(StudioError::from)?;
    let fields = config.fields().map_err(StudioError::from)?;
    let record_of = LearnedRecord {
        steps: identity.steps,
        learn_seconds: prepare_seconds + seconds * identity.steps as f64 / steps_here.max(1) as f64,
        parameters,
        file_bytes: std::fs::metadata(&path).map_err(IoError::reading(&path))?.len(),
        settings: fields.into_iter().collect(),
        curve,
    };
    write_json(&record, &record_of)?;
    let own = (!others.more_will_come).then_some(checkpoint);
    for state in others.fewer.iter().chain(&own) {
        // It is of no use any more; if it cannot be removed, it does no harm.
        let _ = std::fs::remove_file(state);
    }
    Ok((NamedIdentity::read(&sitter.name, &path)?, record_of))
}

fn config(shop: &Shop<'_>, variant: &Variant, sitter: &Sitter) -> LearnConfig {
    let masked = sitter.portrait.cut.mask.is_some();
    shop.model.learn_config(&sitter.name, variant.method).where_masked(masked).with(&variant.wishes)
}

/// The methods of a run that differ from one in the number of steps alone: a run of more steps goes on where one of fewer has
/// ended, and is then what it would have been without.
struct OtherSteps {
    /// Where those of fewer steps keep their states, the fewest first.
    fewer: Vec<PathBuf>,
    /// Whether one of more steps is still to be learned.
    more_will_come: bool,
}

impl OtherSteps {
    fn of(shop: &Shop<'_>, own: &LearnConfig, sitter: &Sitter) -> Self {
        let mut others = OtherSteps { fewer: Vec::new(), more_will_come: false };
        // A falling rate falls to the last step; and what is scored on the way is not in a state.
        if own.decay != Decay::Constant || shop.curve.is_some() {
            return others;
        }
        let mut fewer = Vec::new();
        for variant in shop.variants {
            let config = config(shop, variant, sitter);
            let folder = folder(shop.out, variant, sitter);
            let steps = config.steps;
            if (LearnConfig { steps: own.steps, ..config }) != *own {
                continue;
            }
            if steps < own.steps {
                fewer.push((steps, folder.join(CHECKPOINT)));
            }
            others.more_will_come |= steps > own.steps && !folder.join(IDENTITY).is_file();
        }
        fewer.sort();
        others.fewer = fewer.into_iter().map(|(_, state)| state).collect();
        others
    }
}

/// Whether a checkpoint did not fit.
fn is_of_another_run(error: &StudioError) -> bool {
    matches!(error, StudioError::Tokens(TokensError::OtherRun { .. } | TokensError::File { .. }))
}

/// Learns, and scores what is drawn on the way.
fn learn(
    shop: &Shop<'_>,
    sitter: &Sitter,
    lesson: Lesson,
    tell: &mut dyn FnMut(&str),
) -> Result<(Learned, Vec<CurvePoint>)> {
    let mut curve = Vec::new();
    let job = shop.studio.start_learning(lesson);
    for event in job.events() {
        match event {
            Event::LearnStep { report, of } => tell(&format!("learning, step {} of {of}", report.step)),
            Event::ClassPicture { done, of } => tell(&format!("class picture {done} of {of}")),
            Event::Preview(preview) => {
                curve.push(CurvePoint { step: preview.step, scores: on_the_way(shop, sitter, &preview)? })
            }
            _ => {}
        }
    }
    Ok((job.wait()?, curve))
}

/// The prompts of one person that are drawn on the way.
fn curve_prompts<'a>(shop: &Shop<'a>) -> Vec<&'a Prompt> {
    let alone = shop.prompts.iter().filter(|prompt| !prompt.is_of_two()).cloned().collect();
    let numbers: Vec<usize> = some_of(alone, CURVE_PROMPTS).iter().map(|prompt| prompt.number).collect();
    shop.prompts.iter().filter(|prompt| numbers.contains(&prompt.number)).collect()
}

/// The mean scores of a preview.
fn on_the_way(shop: &Shop<'_>, sitter: &Sitter, preview: &Preview) -> Result<Scores> {
    let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for (prompt, drawn) in curve_prompts(shop).into_iter().zip(&preview.pictures) {
        let pictures: Vec<RgbImage> = drawn.iter().map(|drawn| drawn.picture.clone()).collect();
        for scored in shop.instruments.score(&sitter.person, &prompt.request(&shop.protocol.class), &pictures)? {
            for (name, value) in scored.scores {
                let (sum, count) = sums.entry(name).or_default();
                (*sum, *count) = (*sum + value, *count + 1);
            }
        }
    }
    Ok(sums.into_iter().map(|(name, (sum, count))| (name, sum / count as f64)).collect())
}
