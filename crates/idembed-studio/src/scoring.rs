//! Which networks score the pictures of a model.

use std::path::Path;

use idembed_clip::ClipScorer;
use idembed_diffusion::Compute;
use idembed_face::detect::Mtcnn;
use idembed_face::recognise::{self, Recogniser};
use idembed_metrics::Instruments;
use idembed_metrics::judge::Judge;
use serde::Serialize;
use tch::Kind;

use crate::error::{Result, StudioError};
use crate::model::Model;
use crate::models::{self, Part};
use crate::recognition::Network;

/// CLIP networks that `cargo xtask download` fetches, the main one first.
const CLIPS: [&str; 2] = ["clip-vit-b-32", "clip-vit-l-14"];

/// The names of the networks that score, the main ones first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judges {
    /// Those that recognise faces.
    pub id: Vec<String>,
    /// Those that compare pictures with prompts.
    pub prompt: Vec<String>,
    /// The one that says what a picture shows, if there is one.
    pub wishes: Option<String>,
}

/// Opens what scores the pictures of a model: its own networks, or those that are there; and further recognisers by name.
///
/// `tau` is the least CLIP cosine of a picture that follows its prompt, where there is no judge to tell.
///
/// # Errors
/// A network is missing or damaged.
pub fn instruments(model: &Model, more: &[String], tau: f64, compute: Compute) -> Result<(Instruments, Judges)> {
    let compute = Compute { kind: Kind::Float, ..compute };
    let missing = |part| StudioError::Missing { part };
    let detector = models::weights(models::DETECTOR, "pnet.safetensors").ok_or(missing(Part::Detector))?;
    let own = &model.settings.evaluation;
    let mut recognisers: Vec<(String, Box<dyn Recogniser>)> = Vec::new();
    let main = match Network::of_model(model)? {
        Some(network) => network,
        None => Network::choose(None, Path::new(""), &[])?,
    };
    let further = more.iter().map(|name| Network::choose(Some(name), Path::new(""), &[]));
    for network in std::iter::once(Ok(main)).chain(further) {
        let Network { name, file, .. } = network?;
        recognisers.push((name, recognise::load(&file, compute)?));
    }

    let clips = clips(Some(model), compute)?;
    if clips.is_empty() {
        return Err(missing(Part::Clip));
    }
    let judge = own.judge.as_ref().map(|folder| Judge::load(&model.folder.join(folder), compute)).transpose()?;
    let judges = Judges {
        id: recognisers.iter().map(|(name, _)| name.clone()).collect(),
        prompt: clips.iter().map(|(name, _)| name.clone()).collect(),
        wishes: judge.as_ref().map(|_| model.name.clone()),
    };
    let instruments = Instruments::new(Mtcnn::load(&detector, compute)?, recognisers, clips, judge, tau)?;
    Ok((instruments, judges))
}

/// The CLIPs for the pictures of a model, the main one first: its own, or those that are there.
///
/// # Errors
/// One is damaged.
pub(crate) fn clips(model: Option<&Model>, compute: Compute) -> Result<Vec<(String, ClipScorer)>> {
    let compute = Compute { kind: Kind::Float, ..compute };
    let own = model.and_then(|model| Some((model, model.settings.evaluation.clip.as_ref()?)));
    if let Some((model, folder)) = own {
        return Ok(vec![(model.name.clone(), ClipScorer::load(&model.folder.join(folder), compute)?)]);
    }
    let there = CLIPS.into_iter().filter_map(|name| Some((name, models::weights(name, "config.json")?)));
    there.map(|(name, folder)| Ok((name.to_owned(), ClipScorer::load(&folder, compute)?))).collect()
}
