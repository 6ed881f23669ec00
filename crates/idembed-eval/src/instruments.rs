//! Which networks score the pictures of a model.

use std::path::PathBuf;

use idembed_clip::ClipScorer;
use idembed_face::detect::Mtcnn;
use idembed_face::recognise::{self, Recogniser};
use idembed_metrics::Instruments;
use idembed_metrics::judge::Judge;
use idembed_studio::{Model, Network, models};
use idembed_weights::Compute;
use tch::Kind;

use crate::files::Judges;
use crate::{EvalError, Result};

/// CLIP networks that `cargo xtask download` fetches, the main one first.
const CLIPS: [&str; 2] = ["clip-vit-b-32", "clip-vit-l-14"];

/// Opens what scores: a model's own networks, or those that are there; further recognisers by name.
///
/// # Errors
/// A network is missing or damaged.
pub(crate) fn open(model: &Model, more: &[String], tau: f64, compute: Compute) -> Result<(Instruments, Judges)> {
    let compute = Compute { kind: Kind::Float, ..compute };
    let detector = models::weights(models::DETECTOR, "pnet.safetensors")
        .ok_or(EvalError::Missing { what: "the face detector", hint: "`cargo xtask setup` fetches it" })?;
    let own = model.settings.evaluation.clone();
    let mut recognisers: Vec<(String, Box<dyn Recogniser>)> = Vec::new();
    let main = match Network::of_model(model)? {
        Some(network) => network,
        None => Network::choose(None, &PathBuf::new(), &[])?,
    };
    let further = more.iter().map(|name| Network::choose(Some(name), &PathBuf::new(), &[]));
    for network in std::iter::once(Ok(main)).chain(further) {
        let Network { name, file, .. } = network?;
        recognisers.push((name, recognise::load(&file, compute)?));
    }

    let mut clips = Vec::new();
    match &own.clip {
        Some(folder) => clips.push((model.name.clone(), ClipScorer::load(&model.folder.join(folder), compute)?)),
        None => {
            for name in CLIPS {
                let Some(folder) = models::weights(name, "config.json") else { continue };
                clips.push((name.to_owned(), ClipScorer::load(&folder, compute)?));
            }
        }
    }
    if clips.is_empty() {
        let hint = "`cargo xtask download clip-vit-b-32` fetches one";
        return Err(EvalError::Missing { what: "a CLIP that tells how well pictures follow their prompts", hint });
    }
    let judge = own.judge.map(|folder| Judge::load(&model.folder.join(folder), compute)).transpose()?;
    let judges = Judges {
        id: recognisers.iter().map(|(name, _)| name.clone()).collect(),
        prompt: clips.iter().map(|(name, _)| name.clone()).collect(),
        wishes: judge.as_ref().map(|_| model.name.clone()),
    };
    let instruments = Instruments::new(Mtcnn::load(&detector, compute)?, recognisers, clips, judge, tau)?;
    Ok((instruments, judges))
}
