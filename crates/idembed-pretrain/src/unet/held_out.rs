//! How well noise is predicted, and where words look, on pictures that are never trained on.

use idembed_world::Sample;
use tch::Kind;

use super::album::{Album, THINGS, Thing};
use super::batch::Source;
use super::{Networks, UNetStage};
use crate::{Check, Result, seeds};

/// Pictures that are measured.
pub(super) const COUNT: usize = 128;
/// How many of them are looked at for the log.
const GLANCE: usize = 32;
/// Pictures in one pass.
const BATCH: usize = 32;
/// The timesteps, by turns: from little noise to much.
const TIMESTEPS: [i64; 4] = [100, 300, 500, 700];

/// What the words of a thing are called in the log.
const NAMES: [(&[Thing], &str); 3] = [
    (&[Thing::First, Thing::Second], "attention of class words and names on their faces"),
    (&[Thing::Object], "attention of held objects"),
    (&[Thing::Background], "attention of scenes"),
];

/// The held-out picture of this number.
pub(super) fn sample(index: usize) -> Sample {
    Sample::training(seeds::held_out(index as u64))
}

impl UNetStage {
    /// The loss and the maps on the first `count` held-out pictures, the same noise every time.
    pub(super) fn measure(&self, networks: &Networks, count: usize) -> Result<Vec<Check>> {
        let (mut loss, mut ratios) = (0.0, Vec::new());
        for first in (0..count).step_by(BATCH) {
            let pictures: Vec<usize> = (first..count.min(first + BATCH)).collect();
            let timesteps: Vec<i64> = pictures.iter().map(|picture| TIMESTEPS[picture % TIMESTEPS.len()]).collect();
            let source = Source { album: &self.held_out, ..self.source() };
            let batch = source.batch(&pictures, sample, Some(&timesteps), seeds::held_out(first as u64))?;
            let (error, of_words) = networks.look(&batch.to_device(self.compute.device)?)?;
            loss += error.f_sum(Kind::Float)?.f_double_value(&[])?;
            ratios.extend(of_words);
        }
        let mut checks = vec![Check { name: "held-out loss", value: loss / count as f64, unit: "" }];
        for (things, name) in NAMES {
            let of_things: Vec<f64> =
                ratios.iter().filter(|(thing, _)| things.contains(&THINGS[*thing])).map(|(_, ratio)| *ratio).collect();
            if !of_things.is_empty() {
                let value = of_things.iter().sum::<f64>() / of_things.len() as f64;
                checks.push(Check { name, value, unit: "x its area" });
            }
        }
        Ok(checks)
    }

    pub(super) fn glance_at(&self, networks: &Networks) -> Result<Vec<Check>> {
        self.measure(networks, GLANCE)
    }
}

/// The held-out pictures, encoded.
pub(super) fn album(vae: &idembed_diffusion::vae::Vae) -> Result<Album> {
    Album::make(vae, &(0..COUNT).map(sample).collect::<Vec<_>>())
}
