//! Text states for every timestep: what a prompt becomes before the U-Net reads it.

use idembed_clip::EncodedText;
use tch::Tensor;

use crate::area::Area;

use crate::Result;

/// What a prompt becomes for the U-Net: states that feed the cross-attention layers, one tensor for the keys and one for the
/// values, and the pooled state of models that take one.
///
/// An ordinary prompt gives the same tensor twice.
///
/// # Shapes
/// - `key`, `value`: `[batch, tokens, hidden]`; of texts that differ from layer to layer `[layers, batch, tokens, hidden]`
/// - `pooled`: `[batch, width]`
#[derive(Debug)]
pub struct TextStates {
    /// Context that `to_k` projects.
    pub key: Tensor,
    /// Context that `to_v` projects.
    pub value: Tensor,
    /// The whole prompt's state.
    pub pooled: Option<Tensor>,
}

impl TextStates {
    /// The same states for keys and values, and nothing pooled.
    pub fn shared(states: Tensor) -> Self {
        TextStates { key: states.shallow_clone(), value: states, pooled: None }
    }

    /// Keys of one text and values of another. What is pooled is the values' text: like them, and unlike keys, it says what
    /// to draw and not where.
    pub fn split(key: EncodedText, value: EncodedText) -> Self {
        TextStates { key: key.states, value: value.states, pooled: value.pooled }
    }

    /// Zeros in their place.
    ///
    /// # Errors
    /// libtorch refused.
    pub fn zeros_like(&self) -> Result<Self> {
        let pooled = self.pooled.as_ref().map(Tensor::f_zeros_like).transpose()?;
        Ok(TextStates { key: self.key.f_zeros_like()?, value: self.value.f_zeros_like()?, pooled })
    }
}

impl From<EncodedText> for TextStates {
    fn from(text: EncodedText) -> Self {
        TextStates { pooled: text.pooled, ..TextStates::shared(text.states) }
    }
}

impl Clone for TextStates {
    fn clone(&self) -> Self {
        TextStates {
            key: self.key.shallow_clone(),
            value: self.value.shallow_clone(),
            pooled: self.pooled.as_ref().map(Tensor::shallow_clone),
        }
    }
}

/// Text states that hold from `from_timestep` up to the piece before it.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The lowest timestep (inclusive) that these states serve.
    pub from_timestep: f64,
    /// The states.
    pub states: TextStates,
}

/// One prompt's text states over all timesteps, the noisiest first.
#[derive(Debug, Clone)]
pub struct Conditioning {
    pieces: Vec<Piece>,
    regions: Vec<(Area, Conditioning)>,
}

impl Conditioning {
    /// The same states at every timestep: an ordinary prompt.
    pub fn constant(states: TextStates) -> Self {
        Conditioning { pieces: vec![Piece { from_timestep: 0.0, states }], regions: Vec::new() }
    }

    /// Different states in different timestep ranges.
    ///
    /// `cleanest` serves from timestep 0 on, and `noisier` pieces, in any order, from their own timesteps on.
    pub fn staged(cleanest: TextStates, noisier: impl IntoIterator<Item = Piece>) -> Self {
        let mut conditioning = Conditioning::constant(cleanest);
        conditioning.pieces.extend(noisier);
        conditioning.pieces.sort_by(|a, b| b.from_timestep.total_cmp(&a.from_timestep));
        conditioning
    }

    /// The same with other texts in parts of the picture: there, cross-attention reads these. What is pooled, and what a
    /// ControlNet reads, is the text of the whole picture.
    #[must_use]
    pub fn with_regions(self, regions: Vec<(Area, Conditioning)>) -> Self {
        Conditioning { regions, ..self }
    }

    /// The parts of the picture that read other texts, with those.
    pub fn regions(&self) -> &[(Area, Conditioning)] {
        &self.regions
    }

    /// The pieces, noisiest first.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Index into [`Conditioning::pieces`] of the piece that serves `timestep`.
    pub fn piece_at(&self, timestep: f64) -> usize {
        self.pieces.iter().position(|piece| timestep >= piece.from_timestep).unwrap_or(self.pieces.len() - 1)
    }
}

/// The stage of a timestep, 0 being the first in generation (the noisiest).
///
/// Timesteps `0..train_timesteps` are split into `stages` equal ranges: `floor(t * stages / train_timesteps)` counted
/// from the noisy end, as in ProSpect (arXiv 2305.16225). Fractional timesteps (Euler, Karras) are allowed.
pub fn stage_of(timestep: f64, stages: usize, train_timesteps: usize) -> usize {
    let from_clean_end = (timestep * stages as f64 / train_timesteps as f64).floor().max(0.0) as usize;
    stages - 1 - from_clean_end.min(stages - 1)
}
