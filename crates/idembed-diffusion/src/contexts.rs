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
    negative: Vec<ProjectedContext>,
    joined: HashMap<(usize, usize), ProjectedContext>,
}

impl<'a> Contexts<'a> {
    /// `project` is that of the network.
    pub(crate) fn new(texts: Texts<'a>, project: impl Fn(&TextStates) -> Result<ProjectedContext>) -> Result<Self> {
        let project = |conditioning: &Conditioning| -> Result<Vec<ProjectedContext>> {
            conditioning.pieces().iter().map(|piece| project(&piece.states)).collect()
        };
        let negative = texts.negative.map(project).transpose()?.unwrap_or_default();
        Ok(Contexts { texts, prompt: project(texts.prompt)?, negative, joined: HashMap::new() })
    }

    pub(crate) fn at(&mut self, timestep: f64) -> Result<&ProjectedContext> {
        let prompt = self.texts.prompt.piece_at(timestep);
        let Some(negative) = self.texts.negative else { return Ok(&self.prompt[prompt]) };
        let negative = negative.piece_at(timestep);
        match self.joined.entry((negative, prompt)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let rows = |context: &ProjectedContext| context.repeat_rows(self.texts.pictures);
                Ok(entry.insert(rows(&self.negative[negative])?.concat(&rows(&self.prompt[prompt])?)?))
            }
        }
    }
}
