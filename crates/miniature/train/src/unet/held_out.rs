//! How well noise is predicted, and where words look, on pictures that are never trained on.

use idembed_clip::Tokenizer;
use idembed_diffusion::schedulers::NoiseSchedule;
use idembed_diffusion::vae::Vae;
use idembed_world::Sample;
use tch::{Device, Kind};

use super::album::{Album, Thing};
use super::batch::{Source, min_snr_weight};
use super::grounding::Ratio;
use super::{EMPTY, Networks};
use crate::{Check, Result, seeds};

/// Pictures that are measured.
const COUNT: usize = 128;
/// How many of them are looked at for the log.
const GLANCE: usize = 32;
/// Pictures in one pass.
const BATCH: usize = 32;
/// The timesteps, by turns: from little noise to much.
const TIMESTEPS: [i64; 4] = [100, 300, 500, 700];

/// Words of one sort: how well they are to look at their things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort {
    pub(crate) things: &'static [Thing],
    /// What they are called in the log and the report.
    pub(crate) name: &'static str,
}

/// The sorts of words.
pub(crate) const SORTS: [Sort; 3] = [
    Sort { things: &[Thing::First, Thing::Second], name: "attention of class words and names" },
    Sort { things: &[Thing::Object], name: "attention of held objects" },
    Sort { things: &[Thing::Background], name: "attention of scenes" },
];

impl Sort {
    /// The mean ratio of these words; `None` if there are none.
    pub(crate) fn mean<'a>(&self, ratios: impl IntoIterator<Item = &'a Ratio>) -> Option<f64> {
        let own = ratios.into_iter().filter(|ratio| self.things.contains(&ratio.thing));
        let (count, sum) = own.fold((0usize, 0.0), |(count, sum), ratio| (count + 1, sum + ratio.value));
        (count > 0).then(|| sum / count as f64)
    }
}

/// The pictures, encoded.
#[derive(Debug)]
pub(crate) struct HeldOut(Album);

/// What was measured on them.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The mean weighed error of the noise.
    pub(crate) loss: f64,
    /// Of every word at every layer.
    pub(crate) ratios: Vec<Ratio>,
}

impl HeldOut {
    pub(crate) fn draw(vae: &Vae) -> Result<Self> {
        Ok(HeldOut(Album::make(vae, &(0..COUNT).map(sample).collect::<Vec<_>>())?))
    }

    /// Loss and maps on all pictures, the same noise every time.
    pub(crate) fn measure(
        &self,
        networks: &Networks,
        tokenizer: &Tokenizer,
        schedule: &NoiseSchedule,
        device: Device,
    ) -> Result<Measured> {
        let source = Source { album: &self.0, tokenizer, schedule, empty: EMPTY, weight: min_snr_weight };
        self.measure_some(networks, &source, COUNT, device)
    }

    /// The same on a few of them, and as checks for the log.
    pub(super) fn checks(
        &self,
        networks: &Networks,
        source: Source<'_>,
        glance: bool,
        device: Device,
    ) -> Result<Vec<Check>> {
        let count = if glance { GLANCE } else { COUNT };
        let measured = self.measure_some(networks, &Source { album: &self.0, ..source }, count, device)?;
        let of_sort = |sort: &Sort| {
            let value = sort.mean(&measured.ratios)?;
            Some(Check { name: sort.name, value, unit: "x" })
        };
        let loss = Check { name: "held-out loss", value: measured.loss, unit: "" };
        Ok([loss].into_iter().chain(SORTS.iter().filter_map(of_sort)).collect())
    }

    fn measure_some(&self, networks: &Networks, source: &Source<'_>, count: usize, device: Device) -> Result<Measured> {
        let (mut loss, mut ratios) = (0.0, Vec::new());
        for first in (0..count).step_by(BATCH) {
            let pictures: Vec<usize> = (first..count.min(first + BATCH)).collect();
            let timesteps: Vec<i64> = pictures.iter().map(|picture| TIMESTEPS[picture % TIMESTEPS.len()]).collect();
            let batch = source.batch(&pictures, sample, Some(&timesteps), seeds::held_out(first as u64))?;
            let (errors, of_words) = networks.look(&batch.to_device(device)?)?;
            loss += errors.f_sum(Kind::Float)?.f_double_value(&[])?;
            ratios.extend(of_words);
        }
        Ok(Measured { loss: loss / count as f64, ratios })
    }
}

/// The held-out picture of this number.
pub(crate) fn sample(index: usize) -> Sample {
    Sample::training(seeds::held_out(index as u64))
}
