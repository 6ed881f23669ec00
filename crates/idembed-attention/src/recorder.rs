//! Records how much attention each word gets, while pictures are made or an identity is learned.

use std::collections::BTreeMap;
use std::ops::Range;

use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use tch::Kind;

use crate::check::{self, Sizes};
use crate::error::{AttentionError, Result};
use crate::layers::Layers;
use crate::maps::{AttentionMaps, RecordedLayer, Sum};
use crate::word::{Word, membership};

/// A hook that adds up the maps of some words; it serves all steps of one batch of pictures.
///
/// It keeps one sum per layer and stage, never a history, and no gradient.
#[derive(Debug)]
pub struct MapRecorder {
    words: Vec<Word>,
    layers: Layers,
    rows: Option<Range<i64>>,
    stage: usize,
    recorded: BTreeMap<usize, RecordedLayer>,
    /// By layer and stage.
    sums: BTreeMap<(usize, usize), Sum>,
}

impl MapRecorder {
    /// A recorder of these words at these layers, watching every row of the batch, in stage 0.
    ///
    /// # Errors
    /// No word, or a word without a token position.
    pub fn new(words: Vec<Word>, layers: Layers) -> Result<Self> {
        if words.is_empty() {
            return Err(AttentionError::Setting("there is no word to record".to_owned()));
        }
        if let Some(word) = words.iter().find(|word| word.positions.is_empty()) {
            return Err(AttentionError::Setting(format!("the word `{}` has no token position", word.label)));
        }
        Ok(MapRecorder { words, layers, rows: None, stage: 0, recorded: BTreeMap::new(), sums: BTreeMap::new() })
    }

    /// Watches only these rows of the batch: under guidance, the half that is conditioned on the prompt.
    ///
    /// # Errors
    /// An empty or negative range.
    pub fn watching(mut self, rows: Range<i64>) -> Result<Self> {
        if rows.start < 0 || rows.is_empty() {
            return Err(AttentionError::Setting(format!("rows {rows:?} of a batch cannot be watched")));
        }
        self.rows = Some(rows);
        Ok(self)
    }

    /// Says which stage the forward passes from here on belong to.
    pub fn begin_step(&mut self, stage: usize) {
        self.stage = stage;
    }

    /// What was recorded.
    ///
    /// # Errors
    /// Nothing was recorded, or the network gave NaN or infinity.
    pub fn finish(self) -> Result<AttentionMaps> {
        AttentionMaps::new(self.words, self.recorded, self.sums)
    }

    fn add(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> Result<()> {
        self.layers.downscale(site.index)?;
        let Sizes { batch, tokens } = check::sizes(site, observed)?;
        let probs = observed.probs;
        let rows = self.rows.clone().unwrap_or(0..batch);
        if rows.end > batch {
            return Err(AttentionError::Setting(format!("rows {rows:?} are watched, but the batch has {batch}")));
        }
        let positions: Vec<&[i64]> = self.words.iter().map(|word| word.positions.as_slice()).collect();
        let pick = membership(&positions, tokens, probs.device())?;
        // `[rows, heads, pixels, words]` to `[words, rows, height, width]`
        let maps = probs
            .f_narrow(0, rows.start, rows.end - rows.start)?
            .f_to_kind(Kind::Float)?
            .f_matmul(&pick)?
            .f_mean_dim(1i64, false, Kind::Float)?
            .f_permute([2, 0, 1])?
            .f_reshape([positions.len() as i64, rows.end - rows.start, site.height, site.width])?;
        let layer = self.recorded.entry(site.index).or_insert_with(|| RecordedLayer::at(site));
        if (layer.height, layer.width) != (site.height, site.width) {
            let expected = format!("{} x {} pixels as before; use one recorder per size", layer.height, layer.width);
            return Err(check::shape_error("the recorded map", &maps, expected));
        }
        match self.sums.get_mut(&(site.index, self.stage)) {
            Some(sum) => sum.add(&maps),
            None => {
                self.sums.insert((site.index, self.stage), Sum { total: maps, steps: 1 });
                Ok(())
            }
        }
    }
}

impl AttentionHook for MapRecorder {
    fn wants(&self, site: &Site<'_>) -> bool {
        self.layers.to_observe(site.index)
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        Ok(tch::no_grad(|| self.add(site, observed))?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Tensor};

    use super::*;
    use crate::layers::LayerChoice;
    use crate::maps::Selection;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn site(index: usize, height: i64, width: i64) -> Site<'static> {
        Site { index, name: "attn2", heads: 2, height, width }
    }

    fn recorder(positions: Vec<i64>) -> MapRecorder {
        MapRecorder::new(vec![Word::new("w", positions)], LayerChoice::All.resolve(&[1, 2]).unwrap()).unwrap()
    }

    /// Probabilities that give `share` to token 1, of three tokens.
    fn observe(recorder: &mut MapRecorder, site: &Site<'_>, share: f64) -> idembed_diffusion::Result<()> {
        let pixels = site.height * site.width;
        let probs = Tensor::zeros([1, 2, pixels, 3], CPU);
        let _ = probs.narrow(3, 1, 1).fill_(share);
        let (query, key) = (Tensor::zeros([1, 2, pixels, 4], CPU), Tensor::zeros([1, 2, 3, 4], CPU));
        recorder.observe(site, &Observed { query: &query, key: &key, probs: &probs })
    }

    #[test]
    fn averages_over_steps_then_layers() {
        let mut recorder = recorder(vec![1]);
        recorder.begin_step(0);
        observe(&mut recorder, &site(0, 3, 2), 0.1).unwrap();
        observe(&mut recorder, &site(1, 1, 1), 0.5).unwrap();
        recorder.begin_step(3);
        observe(&mut recorder, &site(0, 3, 2), 0.3).unwrap();
        observe(&mut recorder, &site(0, 3, 2), 0.8).unwrap();
        let maps = recorder.finish().unwrap();
        assert_eq!(maps.stages(), [0, 3]);
        let value = |layer, stage| {
            let map = maps.word_map(0, &Selection { layer, stage, row: None }).unwrap();
            (map.double_value(&[0, 0]) * 1e4).round() / 1e4
        };
        assert_eq!(value(Some(0), Some(0)), 0.1);
        assert_eq!(value(Some(0), Some(3)), 0.55);
        assert_eq!(value(Some(0), None), 0.4);
        assert_eq!(value(None, None), 0.45);
        assert_eq!(maps.word_map(0, &Selection::default()).unwrap().size(), [3, 2]);
        let absent = Selection { layer: Some(1), stage: Some(3), row: None };
        let error = maps.word_map(0, &absent).unwrap_err().to_string();
        assert_eq!(error, "nothing was recorded for layer 1 in stage 3");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        assert!(MapRecorder::new(Vec::new(), layers.clone()).is_err());
        assert!(MapRecorder::new(vec![Word::new("w", Vec::new())], layers).is_err());
        assert!(recorder(vec![1]).watching(2..2).is_err());
        assert!(recorder(vec![1]).watching(-1..2).is_err());
        assert!(recorder(vec![1]).finish().is_err(), "nothing was seen");

        assert!(observe(&mut recorder(vec![1]), &site(2, 3, 2), 0.1).is_err(), "unknown layer");
        assert!(observe(&mut recorder(vec![3]), &site(0, 3, 2), 0.1).is_err(), "position outside");
        assert!(observe(&mut recorder(vec![1]).watching(1..2).unwrap(), &site(0, 3, 2), 0.1).is_err(), "row outside");

        let mut changing = recorder(vec![1]);
        observe(&mut changing, &site(0, 3, 2), 0.1).unwrap();
        assert!(observe(&mut changing, &site(0, 2, 3), 0.1).is_err(), "another size");
    }

    #[test]
    fn a_network_gone_wrong_is_noticed() {
        let mut recorder = recorder(vec![1]);
        observe(&mut recorder, &site(0, 3, 2), f64::NAN).unwrap();
        assert!(matches!(recorder.finish(), Err(AttentionError::Values { .. })));
    }
}
