//! Words are to look where their things are: what cross-attention is trained to do, and how well it does.
//!
//! Left to the noise prediction alone, attention gathers on the first and the last tokens, and no map shows anything.
//! The world knows where each thing is, so that its word's attention can be told. Source of the loss: TokenCompose
//! (arXiv 2312.03626), which learns the places from a segmentation network instead.

use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use tch::{Device, Kind, Tensor};

use super::album::{THINGS, Thing};
use super::caption::Caption;
use crate::Result;

/// Rows and columns of the coarsest maps that are told: on 4 x 4 pixels hardly anything has a place.
const COARSEST: i64 = 8;
/// Keeps a word without any attention from dividing by zero.
const NOTHING: f64 = 1e-6;

/// The placed words of a batch of captions: as many in each row, the last ones of which may be none. All f32.
#[derive(Debug)]
pub struct PlacedWords {
    /// Ones where a token belongs to a word, `[batch, tokens, words]`.
    pub tokens: Tensor,
    /// Where each word's thing is, `[batch, words, height, width]`, 0 to 1.
    pub places: Tensor,
    /// Whether each word counts, `[batch, words]`: 1, or 0 where there is none or its thing is nowhere to be seen.
    pub counts: Tensor,
    /// Which of the masks is each word's, row by row, as far as there are words.
    pub things: Vec<Vec<usize>>,
}

impl PlacedWords {
    /// # Shapes
    /// - `masks`: `[batch, things, height, width]`, 0 to 1
    pub(super) fn of(captions: &[Caption], masks: &Tensor, tokens: i64) -> Result<Self> {
        let most = captions.iter().map(|caption| caption.words.len()).max().unwrap_or(0).max(1);
        let (batch, words) = (captions.len() as i64, most as i64);
        let mut flags = vec![0.0f32; captions.len() * tokens as usize * most];
        let mut indices = vec![0i64; captions.len() * most];
        let mut there = vec![0.0f32; captions.len() * most];
        let mut things = Vec::with_capacity(captions.len());
        for (row, caption) in captions.iter().enumerate() {
            let mut of_row = Vec::with_capacity(caption.words.len());
            for (column, word) in caption.words.iter().enumerate() {
                for &position in &word.positions {
                    flags[(row * tokens as usize + position as usize) * most + column] = 1.0;
                }
                let thing = THINGS.iter().position(|thing| *thing == word.thing).unwrap_or(0);
                indices[row * most + column] = thing as i64;
                there[row * most + column] = 1.0;
                of_row.push(thing);
            }
            things.push(of_row);
        }
        let (_, _, height, width) = masks.size4()?;
        let indices = Tensor::f_from_slice(&indices)?.f_view([batch, words, 1, 1])?;
        let places = masks.f_to_kind(Kind::Float)?.f_gather(
            1,
            &indices.f_expand([batch, words, height, width], false)?,
            false,
        )?;
        let seen = places.f_flatten(2, -1)?.f_sum_dim_intlist(2, false, Kind::Float)?.f_gt(1.0)?;
        let counts = Tensor::f_from_slice(&there)?.f_view([batch, words])?.f_mul(&seen)?;
        Ok(PlacedWords {
            tokens: Tensor::f_from_slice(&flags)?.f_view([batch, tokens, words])?,
            places,
            counts,
            things,
        })
    }

    pub(super) fn to_device(&self, device: Device) -> Result<Self> {
        Ok(PlacedWords {
            tokens: self.tokens.f_to_device(device)?,
            places: self.places.f_to_device(device)?,
            counts: self.counts.f_to_device(device)?,
            things: self.things.clone(),
        })
    }

    /// Which of the batch's words count, and what they stand for: row, word, index of the thing.
    fn counted(&self) -> Result<Vec<(usize, usize, usize)>> {
        let counts = Vec::<Vec<f32>>::try_from(&self.counts.f_to_device(Device::Cpu)?)?;
        let rows = self.things.iter().enumerate();
        let words =
            rows.flat_map(|(row, things)| things.iter().enumerate().map(move |(word, &thing)| (row, word, thing)));
        Ok(words.filter(|&(row, word, _)| counts[row][word] > 0.0).collect())
    }
}

/// What was seen at one layer.
#[derive(Debug)]
struct Watched {
    /// Rows of its maps.
    height: i64,
    /// The share of each word's attention that lies on its thing, `[batch, words]`.
    shares: Tensor,
    /// The share of the picture that the thing covers, likewise.
    areas: Tensor,
}

/// How a word looks at one resolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// What it stands for.
    pub(crate) thing: Thing,
    /// Rows of the maps.
    pub(crate) height: i64,
    /// The share of its attention on the thing over the thing's share of the picture: 1 for a word that looks anywhere.
    pub(crate) value: f64,
}

/// Watches the maps of placed words during one forward call.
#[derive(Debug)]
pub(super) struct Grounding<'a> {
    words: &'a PlacedWords,
    layers: Vec<Watched>,
}

impl<'a> Grounding<'a> {
    pub(super) fn new(words: &'a PlacedWords) -> Self {
        Grounding { words, layers: Vec::new() }
    }

    /// The mean over layers and words of `(1 - share on its thing)^2`.
    ///
    /// # Shapes
    /// - `weights`: of each picture, `[batch]`
    pub(super) fn loss(&self, weights: &Tensor) -> Result<Tensor> {
        let counts = self.words.counts.f_mul(&weights.f_unsqueeze(1)?)?;
        let number = counts.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
        let mut total = Tensor::f_zeros([], (Kind::Float, counts.device()))?;
        for Watched { shares, .. } in &self.layers {
            let missed = shares.f_neg()?.f_add_scalar(1.0)?.f_square()?;
            total = total.f_add(&missed.f_mul(&counts)?.f_sum(Kind::Float)?.f_div(&number)?)?;
        }
        Ok(total.f_div_scalar(self.layers.len().max(1) as f64)?)
    }

    /// For each word that counts and each layer, how it looks there.
    pub(super) fn ratios(&self) -> Result<Vec<Ratio>> {
        let counted = self.words.counted()?;
        let mut ratios = Vec::with_capacity(self.layers.len() * counted.len());
        for Watched { height, shares, areas } in &self.layers {
            let of_layer = shares.f_div(&areas.f_clamp_min(NOTHING)?)?.f_detach()?.f_to_device(Device::Cpu)?;
            let of_layer = Vec::<Vec<f32>>::try_from(&of_layer)?;
            let ratio = |&(row, word, thing): &(usize, usize, usize)| Ratio {
                thing: THINGS[thing],
                height: *height,
                value: f64::from(of_layer[row][word]),
            };
            ratios.extend(counted.iter().map(ratio));
        }
        Ok(ratios)
    }

    fn watch(&mut self, site: &Site<'_>, probs: &Tensor) -> Result<()> {
        // `[batch, pixels, tokens]` times `[batch, tokens, words]`.
        let maps = probs.f_mean_dim(1, false, Kind::Float)?.f_bmm(&self.words.tokens)?;
        let places = self.words.places.f_adaptive_avg_pool2d([site.height, site.width])?.f_flatten(2, -1)?;
        let on_thing = maps.f_mul(&places.f_transpose(1, 2)?)?.f_sum_dim_intlist(1, false, Kind::Float)?;
        let everywhere = maps.f_sum_dim_intlist(1, false, Kind::Float)?.f_add_scalar(NOTHING)?;
        let (shares, areas) = (on_thing.f_div(&everywhere)?, places.f_mean_dim(2, false, Kind::Float)?);
        self.layers.push(Watched { height: site.height, shares, areas });
        Ok(())
    }
}

impl AttentionHook for Grounding<'_> {
    fn wants(&self, site: &Site<'_>) -> bool {
        site.height.min(site.width) >= COARSEST
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        self.watch(site, observed.probs).map_err(|error| match error {
            crate::PretrainError::Torch(error) => error.into(),
            other => idembed_diffusion::Error::Setting(other.to_string()),
        })
    }
}
