//! Text states as the cross-attention layers of a network read them.

use idembed_weights::Compute;
use tch::Tensor;

use super::transformer::{CrossAttention, KeyValue};
use crate::area::Area;
use crate::conditioning::TextStates;
use crate::{Error, Result};

/// Keys and values of one prompt in all cross-attention layers, ready for any number of steps.
#[derive(Debug)]
pub struct ProjectedContext {
    pub(crate) layers: Vec<KeyValue>,
    pooled: Option<Tensor>,
    pub(crate) regions: Vec<RegionContext>,
}

/// What is read in a part of the picture instead.
#[derive(Debug)]
pub(crate) struct RegionContext {
    pub(super) area: Area,
    pub(super) layers: Vec<KeyValue>,
}

/// How a network reads text states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextInput {
    /// Their width.
    pub(crate) width: i64,
    /// Where and in which format.
    pub(crate) compute: Compute,
}

impl TextInput {
    pub(super) fn check(self, what: &'static str, states: &Tensor) -> Result<Tensor> {
        let (got, Self { width, compute }) = (states.size(), self);
        if got.len() != 3 || got[2] != width {
            return Err(Error::Shape { what, got, expected: format!("[batch, tokens, {width}]") });
        }
        Ok(states.f_to_device(compute.device)?.f_to_kind(compute.kind)?)
    }

    /// What each of `count` cross-attention layers reads.
    fn of_layers(self, what: &'static str, states: &Tensor, count: usize) -> Result<Vec<Tensor>> {
        let got = states.size();
        if got.len() != 4 {
            let states = self.check(what, states)?;
            return Ok((0..count).map(|_| states.shallow_clone()).collect());
        }
        if got[0] != count as i64 {
            let expected = format!("[{count}, batch, tokens, {}]", self.width);
            return Err(Error::Shape { what, got, expected });
        }
        states.f_unbind(0)?.iter().map(|states| self.check(what, states)).collect()
    }
}

impl ProjectedContext {
    /// By these cross-attention layers, in the order of the forward pass.
    pub(crate) fn new(layers: &[&CrossAttention], states: &TextStates, input: TextInput) -> Result<Self> {
        let keys = input.of_layers("key states", &states.key, layers.len())?;
        let values = input.of_layers("value states", &states.value, layers.len())?;
        let projected = layers.iter().zip(keys.iter().zip(&values));
        let projected = projected.map(|(layer, (key, value))| layer.project(key, value)).collect::<Result<_>>()?;
        let Compute { device, kind } = input.compute;
        let pooled = states.pooled.as_ref().map(|pooled| pooled.f_to_device(device)?.f_to_kind(kind)).transpose()?;
        Ok(ProjectedContext { layers: projected, pooled, regions: Vec::new() })
    }

    /// The pooled text state, `[batch, width]`, of which [`super::UNetInput::added`] is made in models that have one.
    pub fn pooled(&self) -> Option<&Tensor> {
        self.pooled.as_ref()
    }

    /// The same with other contexts, of as many rows, in parts of the picture.
    pub(crate) fn with_regions(self, regions: impl IntoIterator<Item = (Area, ProjectedContext)>) -> Self {
        let regions = regions.into_iter().map(|(area, context)| RegionContext { area, layers: context.layers });
        ProjectedContext { regions: regions.collect(), ..self }
    }

    /// One context whose batch holds the first's rows and then the second's, as guidance needs.
    ///
    /// Regions are left out.
    ///
    /// # Errors
    /// Contexts of different models.
    pub fn concat(&self, other: &ProjectedContext) -> Result<ProjectedContext> {
        let join = |a: &Tensor, b: &Tensor| Tensor::f_cat(&[a, b], 0);
        let layers = self
            .layers
            .iter()
            .zip(&other.layers)
            .map(|(a, b)| Ok(KeyValue { key: join(&a.key, &b.key)?, value: join(&a.value, &b.value)? }));
        let pooled = match (&self.pooled, &other.pooled) {
            (Some(a), Some(b)) => Some(join(a, b)?),
            (None, None) => None,
            (a, b) => {
                let got = vec![i64::from(a.is_some()), i64::from(b.is_some())];
                let expected = "as many of the one as of the other context".to_owned();
                return Err(Error::Shape { what: "list of pooled text states", got, expected });
            }
        };
        Ok(ProjectedContext { layers: layers.collect::<Result<_>>()?, pooled, regions: Vec::new() })
    }

    /// The context for a batch in which every row stands `times` times in a row. Regions are left out.
    pub fn repeat_rows(&self, times: i64) -> Result<ProjectedContext> {
        let repeat = |x: &Tensor| x.f_repeat_interleave_self_int(times, 0, None);
        let layers =
            self.layers.iter().map(|layer| Ok(KeyValue { key: repeat(&layer.key)?, value: repeat(&layer.value)? }));
        let pooled = self.pooled.as_ref().map(repeat).transpose()?;
        Ok(ProjectedContext { layers: layers.collect::<Result<_>>()?, pooled, regions: Vec::new() })
    }
}
