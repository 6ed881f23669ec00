//! Recorded attention: each word's maps, averaged over steps, heads and layers as asked.

use std::collections::BTreeMap;

use idembed_diffusion::hook::Site;
use tch::{Device, Tensor};

use crate::check;
use crate::error::{AttentionError, Result};
use crate::leakage::leakage;
use crate::mask::Mask;
use crate::resize::resize_bicubic;
use crate::word::Word;

/// A layer that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLayer {
    /// Its position among the cross-attention layers, in the order of the forward pass.
    pub index: usize,
    /// The checkpoint's name of it.
    pub name: String,
    /// Rows of its maps.
    pub height: i64,
    /// Columns of its maps.
    pub width: i64,
}

impl RecordedLayer {
    pub(crate) fn at(site: &Site<'_>) -> Self {
        RecordedLayer { index: site.index, name: site.name.to_owned(), height: site.height, width: site.width }
    }
}

/// Which part of the record to average over; `None` means all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    /// One layer, by its index.
    pub layer: Option<usize>,
    /// One stage.
    pub stage: Option<usize>,
    /// One watched row of the batch, counted from the first watched one.
    pub row: Option<usize>,
}

/// The maps of one layer in one stage, added up.
#[derive(Debug)]
pub(crate) struct Sum {
    /// `[words, rows, height, width]`, f32, summed over steps and averaged over heads.
    pub(crate) total: Tensor,
    pub(crate) steps: u32,
}

impl Sum {
    pub(crate) fn add(&mut self, maps: &Tensor) -> Result<()> {
        if maps.size() != self.total.size() {
            return Err(check::shape_error("the recorded map", maps, format!("{:?} as before", self.total.size())));
        }
        let _ = self.total.f_add_(maps)?;
        self.steps += 1;
        Ok(())
    }
}

/// What a [`crate::MapRecorder`] saw.
///
/// A map's value is the share of a pixel's attention that the word gets, from 0 to 1.
#[derive(Debug)]
pub struct AttentionMaps {
    words: Vec<Word>,
    layers: Vec<RecordedLayer>,
    stages: Vec<usize>,
    rows: usize,
    /// By layer and stage; on the CPU, finite.
    sums: BTreeMap<(usize, usize), Sum>,
}

impl AttentionMaps {
    pub(crate) fn new(
        words: Vec<Word>,
        layers: BTreeMap<usize, RecordedLayer>,
        mut sums: BTreeMap<(usize, usize), Sum>,
    ) -> Result<Self> {
        let Some(rows) = sums.values().next().map(|sum| sum.total.size()[1] as usize) else {
            return Err(AttentionError::NotRecorded("any layer".to_owned()));
        };
        for sum in sums.values_mut() {
            sum.total = sum.total.f_to_device(Device::Cpu)?;
            check::finite("a recorded map", &sum.total)?;
            if sum.total.size()[1] as usize != rows {
                return Err(check::shape_error(
                    "a recorded map",
                    &sum.total,
                    format!("{rows} rows, as in other layers"),
                ));
            }
        }
        let mut stages: Vec<usize> = sums.keys().map(|&(_, stage)| stage).collect();
        stages.sort_unstable();
        stages.dedup();
        Ok(AttentionMaps { words, layers: layers.into_values().collect(), stages, rows, sums })
    }

    /// The recorded words.
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// The recorded layers, in the order of the forward pass.
    pub fn layers(&self) -> &[RecordedLayer] {
        &self.layers
    }

    /// The recorded stages, in order.
    pub fn stages(&self) -> &[usize] {
        &self.stages
    }

    /// Number of watched rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A word's map, averaged over the steps, rows and layers of the selection.
    ///
    /// Layers weigh the same; maps of different resolution are first brought to the largest height and width among
    /// them, bicubic and never below 0.
    ///
    /// # Shapes
    /// - `word`: index into [`AttentionMaps::words`]
    /// - returns: `[height, width]`, f32 on the CPU
    ///
    /// # Errors
    /// A word, row, layer or stage that was not recorded.
    pub fn word_map(&self, word: usize, selection: &Selection) -> Result<Tensor> {
        if word >= self.words.len() {
            return Err(AttentionError::NotRecorded(format!("word {word} (there are {})", self.words.len())));
        }
        if let Some(row) = selection.row.filter(|&row| row >= self.rows) {
            return Err(AttentionError::NotRecorded(format!("row {row} (there are {})", self.rows)));
        }
        let mut maps = Vec::new();
        for layer in &self.layers {
            if selection.layer.is_none_or(|wanted| wanted == layer.index)
                && let Some(map) = self.layer_map(layer.index, word, selection)?
            {
                maps.push(map);
            }
        }
        let height = maps.iter().map(|map| map.size()[0]).max();
        let width = maps.iter().map(|map| map.size()[1]).max();
        let (Some(height), Some(width)) = (height, width) else {
            return Err(AttentionError::NotRecorded(describe(selection)));
        };
        let resized: Vec<Tensor> = maps.iter().map(|map| resize_bicubic(map, height, width)).collect::<Result<_>>()?;
        Ok(Tensor::f_stack(&resized, 0)?.f_mean_dim(0i64, false, tch::Kind::Float)?)
    }

    /// The share of a word's attention outside a mask, on the map of the same selection; `None` if it has none at all.
    ///
    /// # Errors
    /// As [`AttentionMaps::word_map`] and [`leakage`].
    pub fn leakage(&self, word: usize, selection: &Selection, mask: &Mask) -> Result<Option<f64>> {
        leakage(&self.word_map(word, selection)?, mask)
    }

    /// The word's map at one layer, averaged over the selected steps and rows; `None` if no step was recorded.
    fn layer_map(&self, layer: usize, word: usize, selection: &Selection) -> Result<Option<Tensor>> {
        let mut steps = 0;
        let mut total: Option<Tensor> = None;
        for (_, sum) in self
            .sums
            .range((layer, 0)..=(layer, usize::MAX))
            .filter(|((_, stage), _)| selection.stage.is_none_or(|wanted| wanted == *stage))
        {
            let rows = sum.total.f_select(0, word as i64)?;
            let map = match selection.row {
                Some(row) => rows.f_select(0, row as i64)?,
                None => rows.f_mean_dim(0i64, false, tch::Kind::Float)?,
            };
            total = Some(match total {
                Some(total) => total.f_add(&map)?,
                None => map,
            });
            steps += sum.steps;
        }
        total.map(|total| Ok(total.f_div_scalar(f64::from(steps))?)).transpose()
    }
}

fn describe(selection: &Selection) -> String {
    match (selection.layer, selection.stage) {
        (Some(layer), Some(stage)) => format!("layer {layer} in stage {stage}"),
        (Some(layer), None) => format!("layer {layer}"),
        (None, Some(stage)) => format!("stage {stage}"),
        (None, None) => "any layer".to_owned(),
    }
}
