//! Text states of prompts with identities: per-stage K and V rows through the frozen text encoders.

use idembed_clip::EncodedText;
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::{Conditioning, Piece, TextStates, stage_of};
use idembed_diffusion::text_encoders::{TextEncoders, TokenEmbeds};
use std::borrow::Cow;
use tch::Tensor;

use crate::identities::Identities;
use crate::layout::Layout;
use crate::prompt::{Placeholder, Prompt};
use crate::prompt_chunks::Chunks;
use crate::{Identity, Result, TokensError};

/// How many prompts go through the text encoders at the same time.
const ENCODER_BATCH: usize = 16;

/// Puts rows at token positions of one prompt's input embeddings for one text encoder. Gradients flow to the rows.
///
/// # Shapes
/// - `embeds`: `[1, tokens, hidden]`
/// - `placements`: token positions, each with rows `[batch, hidden]`; no position twice
/// - returns: `[batch, tokens, hidden]` (a batch of 1 without placements)
pub fn place_rows(embeds: &Tensor, placements: &[(i64, Tensor)]) -> Result<Tensor> {
    let (_, tokens, hidden) = embeds.size3()?;
    let batch = match placements.first() {
        Some((_, rows)) => rows.size2()?.0,
        None => return Ok(embeds.shallow_clone()),
    };
    let mut ordered: Vec<&(i64, Tensor)> = placements.iter().collect();
    ordered.sort_by_key(|(position, _)| *position);
    let mut parts = Vec::with_capacity(2 * ordered.len() + 1);
    let mut from = 0;
    let between = |from: i64, to: i64| embeds.f_narrow(1, from, to - from)?.f_expand([batch, to - from, hidden], false);
    for (position, rows) in ordered {
        parts.push(between(from, *position)?);
        parts.push(rows.f_unsqueeze(1)?);
        from = position + 1;
    }
    parts.push(between(from, tokens)?);
    Ok(Tensor::f_cat(&parts, 1)?)
}

/// One text that the encoders have to read: for each identity, the rows that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    cells: Vec<Cell>,
}

/// The place of rows among those of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    stage: usize,
    layer: usize,
    value: bool,
}

/// The number of the reading for keys or values, in each layer or in all.
type Readings = Vec<usize>;

/// The conditioning of a prompt with identities, without gradient.
///
/// Where identities have different numbers of stages, the timesteps are split wherever any of them changes. Texts that are
/// the same (an identity whose K and V rows agree, two stages that agree) are encoded once.
///
/// `force` lets identities of another model pass where the shapes allow ([`Identity::check_base`]).
///
/// # Errors
/// The prompt names an identity that is not given, or one that does not belong to this model.
pub fn condition(
    model: &StableDiffusion,
    prompt: &Prompt,
    identities: &Identities<'_>,
    force: bool,
) -> Result<Conditioning> {
    condition_as(model, prompt, identities, Conditions { force, ..Conditions::default() })
}

/// How a prompt is conditioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Lets identities of another model pass where the shapes allow ([`Identity::check_base`]).
    pub force: bool,
    /// Layers of the text encoders that are left out, before those whose states the model usually reads.
    pub skipped_layers: usize,
}

/// As [`condition`], otherwise than usual.
///
/// # Errors
/// As there; and a text encoder has not so many layers, or weights in the prompt cancel each other.
pub fn condition_as(
    model: &StableDiffusion,
    prompt: &Prompt,
    identities: &Identities<'_>,
    how: Conditions,
) -> Result<Conditioning> {
    identities.check(prompt)?;
    for placeholder in &prompt.placeholders {
        identities.get(&placeholder.name)?.check_base(model, how.force)?;
    }
    condition_by(model, prompt, how, |placeholder| identities.acting(placeholder, model))
}

/// The conditioning of a prompt in which `stands` says who stands at a placeholder.
pub(crate) fn condition_by<'a>(
    model: &StableDiffusion,
    prompt: &Prompt,
    how: Conditions,
    stands: impl Fn(&Placeholder) -> Result<Cow<'a, Identity>>,
) -> Result<Conditioning> {
    let used = prompt.placeholders.iter().map(|place| Ok((stands(place)?, place.positions.as_slice())));
    let used: Vec<(Cow<'_, Identity>, &[i64])> = used.collect::<Result<_>>()?;

    let changes = stage_changes(used.iter().map(|(identity, _)| (identity.stages(), identity.train_timesteps)));
    let layers = used.iter().map(|(identity, _)| identity.layers).max().unwrap_or(1);
    let mut readings: Vec<Reading> = Vec::new();
    let mut reading_at = |timestep: f64, layer: usize, value: bool| -> Result<usize> {
        let cells = used.iter().map(|(identity, _)| canonical_cell(identity, timestep, layer, value));
        let reading = Reading { cells: cells.collect::<Result<_>>()? };
        Ok(readings.iter().position(|known| *known == reading).unwrap_or_else(|| {
            readings.push(reading);
            readings.len() - 1
        }))
    };
    // The keys' and the values' readings between one change and the next.
    let mut between = |from: f64, to: Option<&f64>| -> Result<[Readings; 2]> {
        let inside = to.map_or(from + 0.5, |to| (from + to) / 2.0);
        let mut of_half = |value| (0..layers).map(|layer| reading_at(inside, layer, value)).collect::<Result<_>>();
        Ok([of_half(false)?, of_half(true)?])
    };
    let cleanest = between(0.0, changes.first())?;
    let noisier = changes.iter().enumerate().map(|(index, &from)| Ok((from, between(from, changes.get(index + 1))?)));
    let noisier: Vec<(f64, [Readings; 2])> = noisier.collect::<Result<_>>()?;

    let encoded = tch::no_grad(|| encode_readings(model, prompt, &used, &readings, how.skipped_layers))?;
    let states = |[keys, values]: &[Readings; 2]| -> Result<TextStates> {
        Ok(TextStates::split(of_layers(&encoded, keys)?, of_layers(&encoded, values)?))
    };
    if encoded.len() == 1 {
        return Ok(Conditioning::constant(states(&cleanest)?));
    }
    let noisier =
        noisier.iter().map(|(from_timestep, pair)| Ok(Piece { from_timestep: *from_timestep, states: states(pair)? }));
    Ok(Conditioning::staged(states(&cleanest)?, noisier.collect::<Result<Vec<_>>>()?))
}

/// The states of a text for each layer, or of one text for all of them.
fn of_layers(encoded: &[EncodedText], readings: &[usize]) -> Result<EncodedText> {
    let first = encoded[readings[0]].clone();
    if readings.iter().all(|reading| *reading == readings[0]) {
        return Ok(first);
    }
    let states: Vec<&Tensor> = readings.iter().map(|&reading| &encoded[reading].states).collect();
    Ok(EncodedText { states: Tensor::f_stack(&states, 0)?, ..first })
}

/// Every timestep at which some identity changes its stage, ascending.
///
/// Takes each identity's number of stages and of training timesteps.
fn stage_changes(identities: impl Iterator<Item = (usize, usize)>) -> Vec<f64> {
    let mut changes = Vec::new();
    for (stages, train_timesteps) in identities {
        // Stage `stages - 1 - i` begins where `floor(t * stages / train_timesteps)` becomes `i`.
        changes.extend((1..stages).map(|index| (index * train_timesteps) as f64 / stages as f64));
    }
    changes.sort_by(f64::total_cmp);
    changes.dedup();
    changes
}

/// The first place in an identity whose rows equal those it has at a timestep in a layer, for all encoders; K rows before V rows.
fn canonical_cell(identity: &Identity, timestep: f64, layer: usize, value: bool) -> Result<Cell> {
    let stage = stage_of(timestep, identity.stages(), identity.train_timesteps);
    let own = Cell { stage, layer: layer.min(identity.layers - 1), value };
    let same = |candidate: Cell| -> Result<bool> {
        for encoder in 0..identity.encoders.len() {
            if !cell_rows(identity, encoder, candidate)?.f_equal(&cell_rows(identity, encoder, own)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    for value in [false, true] {
        for stage in 0..identity.stages() {
            for layer in 0..identity.layers {
                if same(Cell { stage, layer, value })? {
                    return Ok(Cell { stage, layer, value });
                }
            }
        }
    }
    Ok(own)
}

/// The rows of a place, `[words, hidden]`.
fn cell_rows(identity: &Identity, encoder: usize, cell: Cell) -> Result<Tensor> {
    identity.encoders[encoder].rows(identity.places(cell.stage, cell.layer), cell.value)
}

/// What the text encoders make of every reading, each a batch of 1.
fn encode_readings(
    model: &StableDiffusion,
    prompt: &Prompt,
    used: &[(Cow<'_, Identity>, &[i64])],
    readings: &[Reading],
    skipped_layers: usize,
) -> Result<Vec<EncodedText>> {
    let mut encoded = Vec::with_capacity(readings.len());
    for readings in readings.chunks(ENCODER_BATCH) {
        let rows_of = |encoder: usize, index: usize| -> Result<Tensor> {
            let rows = readings.iter().map(|reading| cell_rows(&used[index].0, encoder, reading.cells[index]));
            Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
        };
        let positions: Vec<&[i64]> = used.iter().map(|(_, positions)| *positions).collect();
        let texts = Chunks { prompt, positions: &positions, texts: readings.len() as i64, skipped_layers };
        let texts = texts.encode(&model.text_encoders, rows_of)?;
        for row in 0..readings.len() as i64 {
            encoded.push(texts.rows(&[row])?);
        }
    }
    Ok(encoded)
}

/// [`place_rows`] in the embeddings of every text encoder; `placements` says, for an encoder's number and embeddings, what
/// goes where.
pub(crate) fn place_in_all(
    prompt: &TokenEmbeds,
    placements: impl Fn(usize, &Tensor) -> Result<Vec<(i64, Tensor)>>,
) -> Result<TokenEmbeds> {
    let placed = prompt.embeds.iter().enumerate();
    let placed = placed.map(|(encoder, embeds)| place_rows(embeds, &placements(encoder, embeds)?));
    Ok(TokenEmbeds { embeds: placed.collect::<Result<_>>()?, ends: prompt.ends.clone() })
}

/// The rows of each word at its own position.
///
/// # Shapes
/// - `rows`: `[batch, words, hidden]`
pub(crate) fn words_at(first: i64, rows: &Tensor) -> Result<Vec<(i64, Tensor)>> {
    let (_, words, _) = rows.size3()?;
    (0..words).map(|word| Ok((first + word, rows.f_select(1, word)?))).collect()
}

/// The training prompt, ready to take the tokens being learned.
#[derive(Debug)]
pub struct TrainingPrompt {
    embeds: TokenEmbeds,
    position: i64,
    layout: Layout,
    train_timesteps: usize,
}

impl TrainingPrompt {
    /// A prompt with one placeholder that begins at `position`.
    ///
    /// # Shapes
    /// - `embeds`: a batch of 1
    pub fn new(embeds: TokenEmbeds, position: i64, layout: Layout, train_timesteps: usize) -> Self {
        TrainingPrompt { embeds, position, layout, train_timesteps }
    }

    /// The token positions of the placeholder.
    pub fn positions(&self) -> Vec<i64> {
        (self.position..).take(self.layout.words).collect()
    }

    /// The text states of every sample of a batch; gradients flow to the tokens.
    ///
    /// Only the stages that occur in the batch are encoded, each once, K and V in one call of each encoder.
    ///
    /// # Shapes
    /// - `tokens`: for each text encoder the whole table of the [`Layout`], `[rows, hidden]`
    /// - `timesteps`: one for each sample
    /// - returns: K and V states, each `[batch, tokens, sum of hidden]`, or with rows for each layer
    ///   `[layers, batch, tokens, sum of hidden]`
    ///
    /// # Errors
    /// Tokens for another number of encoders, or of another shape.
    pub fn states(&self, encoders: &TextEncoders, tokens: &[Tensor], timesteps: &[i64]) -> Result<TextStates> {
        let Layout { stages, layers, words, .. } = self.layout;
        // The stages that occur, and for each sample the place of its stage among them.
        let mut distinct: Vec<usize> = Vec::new();
        let places = timesteps.iter().map(|&timestep| {
            let stage = stage_of(timestep as f64, stages, self.train_timesteps);
            distinct.iter().position(|&known| known == stage).unwrap_or_else(|| {
                distinct.push(stage);
                distinct.len() - 1
            })
        });
        let places: Vec<usize> = places.collect();
        let halves = [false, true].into_iter().take(self.layout.halves());
        let rows = halves.flat_map(|value| {
            let cells = distinct.iter().flat_map(move |&stage| (0..layers).map(move |layer| (stage, layer)));
            cells.flat_map(move |(stage, layer)| {
                let first = self.layout.place(value, stage, layer);
                (first..first + words).map(|row| row as i64)
            })
        });
        let rows = Tensor::f_from_slice(&rows.collect::<Vec<_>>())?;
        let rows = tokens.iter().map(|tokens| {
            let rows = tokens.f_index_select(0, &rows.f_to_device(tokens.device())?)?;
            Ok(rows.f_view([-1, words as i64, tokens.size()[1]])?)
        });
        let encoded = self.encode(encoders, &rows.collect::<Result<Vec<_>>>()?)?;

        let of_half = |half: usize| -> Result<EncodedText> {
            let text = |place: usize, layer: usize| ((half * distinct.len() + place) * layers + layer) as i64;
            let texts = (0..layers).flat_map(|layer| places.iter().map(move |&place| text(place, layer)));
            let states = encoded.rows(&texts.collect::<Vec<_>>())?;
            if layers == 1 {
                return Ok(states);
            }
            let (_, tokens, hidden) = states.states.size3()?;
            let samples = places.len() as i64;
            let by_layer = states.states.f_view([layers as i64, samples, tokens, hidden])?;
            // What is pooled is no layer's own: it is the first one's, as in a drawing.
            let pooled = states.pooled.map(|pooled| pooled.f_narrow(0, 0, samples)).transpose()?;
            Ok(EncodedText { states: by_layer, pooled })
        };
        let key = of_half(0)?;
        if !self.layout.split_kv {
            return Ok(key.into());
        }
        Ok(TextStates::split(key, of_half(1)?))
    }

    /// The text states of the prompt with fixed vectors at the placeholder, without gradient.
    ///
    /// # Shapes
    /// - `vectors`: for each text encoder `[1 or words, hidden]`; one stands for all words
    /// - returns: `[1, tokens, sum of hidden]`
    ///
    /// # Errors
    /// As [`TrainingPrompt::states`].
    pub fn fixed_states(&self, encoders: &TextEncoders, vectors: &[Tensor]) -> Result<Tensor> {
        let words = self.layout.words as i64;
        let rows = vectors.iter().map(|vectors| Ok(vectors.f_expand([words, -1], false)?.f_unsqueeze(0)?));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(tch::no_grad(|| self.encode(encoders, &rows))?.states)
    }

    /// The texts with rows `[batch, words, hidden]` for each text encoder at the placeholder.
    fn encode(&self, encoders: &TextEncoders, rows: &[Tensor]) -> Result<EncodedText> {
        let (got, expected) = (rows.len(), self.embeds.embeds.len());
        if got != expected {
            let expected = format!("one for each of {expected} text encoders");
            return Err(TokensError::Shape { what: "list of tokens", got: vec![got as i64], expected });
        }
        let placed = place_in_all(&self.embeds, |encoder, _| words_at(self.position, &rows[encoder]))?;
        Ok(encoders.encode(&placed)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn rows_go_where_they_belong() {
        let embeds = Tensor::arange(10, (Kind::Float, tch::Device::Cpu)).view([1, 5, 2]);
        let rows = Tensor::from_slice(&[-1.0f32, -2.0, -3.0, -4.0]).view([2, 2]);
        let placed = place_rows(&embeds, &[(4, rows.shallow_clone()), (0, rows.neg()), (1, &rows * 2.0)]).unwrap();
        assert_eq!(placed.size(), [2, 5, 2]);
        let second: Vec<f32> = placed.get(1).flatten(0, -1).try_into().unwrap();
        assert_eq!(second, [3.0, 4.0, -6.0, -8.0, 4.0, 5.0, 6.0, 7.0, -3.0, -4.0]);
        assert!(place_rows(&embeds, &[]).unwrap().equal(&embeds));
    }

    #[test]
    fn pieces_agree_with_the_stages() {
        let empty = || TextStates::shared(Tensor::new());
        for stages in [1, 2, 3, 5, 6, 7, 9, 10, 31] {
            let changes = stage_changes([(stages, 1000)].into_iter());
            assert_eq!(changes.len(), stages - 1);
            let pieces = changes.into_iter().map(|from_timestep| Piece { from_timestep, states: empty() });
            let conditioning = Conditioning::staged(empty(), pieces);
            for timestep in 0..1000 {
                let timestep = f64::from(timestep);
                assert_eq!(conditioning.piece_at(timestep), stage_of(timestep, stages, 1000), "{stages} {timestep}");
            }
        }
    }

    #[test]
    fn several_identities_split_at_every_change() {
        assert_eq!(stage_changes([(2, 1000), (5, 1000), (1, 1000)].into_iter()), [200.0, 400.0, 500.0, 600.0, 800.0]);
        assert_eq!(stage_changes([(3, 1000), (6, 1000)].into_iter()).len(), 5);
        assert!(stage_changes(std::iter::empty()).is_empty());
    }
}
