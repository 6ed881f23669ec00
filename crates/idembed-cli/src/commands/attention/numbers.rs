//! What the maps of a word say in numbers, as it stands in JSON.

use std::path::Path;

use idembed_attention::{AttentionMaps, Mask, Selection};
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::output;

/// How much attention a word gets in one selection.
#[derive(Serialize)]
pub(super) struct Numbers {
    /// Of all pixels.
    pub(super) mean: f64,
    /// Of the pixel with most.
    peak: f64,
    /// The share outside the mask: absent without a mask, null where the word gets no attention at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    leakage: Option<Option<f64>>,
}

impl Numbers {
    /// Those of word number `word`.
    pub(super) fn of(
        maps: &AttentionMaps,
        mask: Option<&Mask>,
        word: usize,
        selection: &Selection,
    ) -> anyhow::Result<Numbers> {
        let map = maps.word_map(word, selection)?;
        Ok(Numbers {
            mean: map.f_mean(Kind::Double)?.f_double_value(&[])?,
            peak: map.f_max()?.f_double_value(&[])?,
            leakage: mask.map(|mask| maps.leakage(word, selection, mask)).transpose()?,
        })
    }

    /// The share of the attention outside the mask, if there is a mask and any attention.
    pub(super) fn leakage(&self) -> Option<f64> {
        self.leakage.flatten()
    }
}

/// All about one word.
#[derive(Serialize)]
pub(super) struct WordReport {
    /// The word.
    pub(super) word: String,
    /// The picture of its map.
    pub(super) map: String,
    /// In all layers and stages.
    #[serde(flatten)]
    pub(super) numbers: Numbers,
    layers: Vec<LayerReport>,
    stages: Vec<StageReport>,
}

#[derive(Serialize)]
struct LayerReport {
    layer: String,
    width: i64,
    height: i64,
    #[serde(flatten)]
    numbers: Numbers,
}

#[derive(Serialize)]
struct StageReport {
    /// Counted from 1.
    stage: usize,
    #[serde(flatten)]
    numbers: Numbers,
}

impl WordReport {
    /// About word number `word`, whose map is the picture in `path`.
    pub(super) fn of(
        maps: &AttentionMaps,
        mask: Option<&Mask>,
        word: usize,
        path: &Path,
    ) -> anyhow::Result<WordReport> {
        let numbers = |selection: &Selection| Numbers::of(maps, mask, word, selection);
        let layers = maps.layers().iter().map(|layer| {
            let numbers = numbers(&Selection { layer: Some(layer.index), ..Selection::default() })?;
            Ok(LayerReport { layer: layer.name.clone(), width: layer.width, height: layer.height, numbers })
        });
        let stages = maps.stages().iter().map(|&stage| {
            let numbers = numbers(&Selection { stage: Some(stage), ..Selection::default() })?;
            Ok(StageReport { stage: stage + 1, numbers })
        });
        Ok(WordReport {
            word: maps.words()[word].label.clone(),
            map: output::shown(path),
            numbers: numbers(&Selection::default())?,
            layers: layers.collect::<anyhow::Result<_>>()?,
            stages: stages.collect::<anyhow::Result<_>>()?,
        })
    }
}

/// The map of a word, row by row.
#[derive(Serialize)]
pub(super) struct Values {
    height: i64,
    width: i64,
    rows: Vec<Vec<f32>>,
}

impl Values {
    /// Those of a map `[height, width]`.
    pub(super) fn of(map: &Tensor) -> anyhow::Result<Values> {
        let (height, width) = map.size2()?;
        let values = Vec::<f32>::try_from(map.f_flatten(0, -1)?)?;
        let rows = values.chunks(usize::try_from(width)?).map(<[f32]>::to_vec).collect();
        Ok(Values { height, width, rows })
    }
}
