//! The text of a drawing as a network's cross-attention layers read it, at every timestep.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::Result;
use crate::conditioning::{Conditioning, TextStates};
use crate::unet::ProjectedContext;

/// What the pictures of one batch are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    /// The prompt.
    pub(crate) prompt: &'a Conditioning,
    /// The negative prompt, if there is guidance.
    pub(crate) negative: Option<&'a Conditioning>,
    /// How many pictures there are.
    pub(crate) pictures: i64,
}

/// The projected text of every timestep range, each computed once per drawing and kept. With guidance, the first half of the
/// rows has the negative prompt.
#[derive(Debug)]
pub(crate) struct Contexts<'a> {
    texts: Texts<'a>,
    prompt: Vec<ProjectedContext>,
    /// For each region of the prompt.
    regions: Vec<Vec<ProjectedContext>>,
    negative: Vec<ProjectedContext>,
    /// By the pieces of the negative prompt, the prompt, and its regions.
    joined: HashMap<(usize, usize, Vec<usize>), ProjectedContext>,
}

impl<'a> Contexts<'a> {
    /// `project` is that of the network.
    pub(crate) fn new(texts: Texts<'a>, project: impl Fn(&TextStates) -> Result<ProjectedContext>) -> Result<Self> {
        let project = |conditioning: &Conditioning| -> Result<Vec<ProjectedContext>> {
            conditioning.pieces().iter().map(|piece| project(&piece.states)).collect()
        };
        let negative = texts.negative.map(project).transpose()?.unwrap_or_default();
        let regions = texts.prompt.regions().iter().map(|(_, text)| project(text)).collect::<Result<_>>()?;
        Ok(Contexts { texts, prompt: project(texts.prompt)?, regions, negative, joined: HashMap::new() })
    }

    pub(crate) fn at(&mut self, timestep: f64) -> Result<&ProjectedContext> {
        let prompt = self.texts.prompt.piece_at(timestep);
        if self.texts.negative.is_none() && self.regions.is_empty() {
            return Ok(&self.prompt[prompt]);
        }
        let negative = self.texts.negative.map_or(0, |negative| negative.piece_at(timestep));
        let regions: Vec<usize> = self.texts.prompt.regions().iter().map(|(_, text)| text.piece_at(timestep)).collect();
        match self.joined.entry((negative, prompt, regions)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let rows = |context: &ProjectedContext| context.repeat_rows(self.texts.pictures);
                let joined = |context: &ProjectedContext| match self.negative.get(negative) {
                    Some(negative) => rows(negative)?.concat(&rows(context)?),
                    None => rows(context),
                };
                let regions = entry.key().2.iter().zip(&self.regions).zip(self.texts.prompt.regions());
                let regions = regions.map(|((&piece, contexts), (area, _))| Ok((*area, joined(&contexts[piece])?)));
                let regions = regions.collect::<Result<Vec<_>>>()?;
                Ok(entry.insert(joined(&self.prompt[prompt])?.with_regions(regions)))
            }
        }
    }
}
