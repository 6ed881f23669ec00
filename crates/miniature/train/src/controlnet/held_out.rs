//! How much of the noise the edges explain, on pictures that are never trained on.

use idembed_diffusion::vae::Vae;
use tch::{Device, Kind};

use super::{Steered, SteeredBatch};
use crate::unet::album::Album;
use crate::unet::batch::Source;
use crate::unet::held_out::sample;
use crate::{Check, Result, seeds};

/// Pictures that are measured.
const COUNT: usize = 128;
/// How many of them are looked at for the log.
const GLANCE: usize = 16;
/// The timesteps, by turns: from little noise to nothing else.
const TIMESTEPS: [i64; 4] = [200, 450, 700, 950];
/// Pictures in one pass.
const BATCH: usize = 32;

/// The pictures, encoded.
#[derive(Debug)]
pub(super) struct HeldOut(Album);

impl HeldOut {
    pub(super) fn draw(vae: &Vae) -> Result<Self> {
        Ok(HeldOut(Album::make(vae, &(0..COUNT).map(sample).collect::<Vec<_>>())?))
    }

    /// The loss with and without the ControlNet, with the same noise every time; on a few of them, if it is for the log.
    pub(super) fn checks(
        &self,
        networks: &Steered,
        source: Source<'_>,
        glance: bool,
        device: Device,
    ) -> Result<Vec<Check>> {
        let count = if glance { GLANCE } else { COUNT };
        let source = Source { album: &self.0, ..source };
        let (mut with, mut without) = (0.0, 0.0);
        for first in (0..count).step_by(BATCH) {
            let pictures: Vec<usize> = (first..count.min(first + BATCH)).collect();
            let timesteps: Vec<i64> = pictures.iter().map(|picture| TIMESTEPS[picture % TIMESTEPS.len()]).collect();
            let seed = seeds::held_out(first as u64);
            let batch = SteeredBatch::of(&source, &pictures, sample, Some(&timesteps), seed)?.to_device(device)?;
            with += networks.errors(&batch)?.f_sum(Kind::Float)?.f_double_value(&[])?;
            without += networks.errors_without(&batch)?.f_sum(Kind::Float)?.f_double_value(&[])?;
        }
        let check = |name, sum: f64| Check { name, value: 1e3 * sum / count as f64, unit: "thousandths" };
        Ok(vec![check("held-out loss", with), check("without the edges", without)])
    }
}
