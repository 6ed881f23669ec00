//! What work will need of memory, known before it begins, and refused where the machine has not got it.

use std::fmt;

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::memory::Extent;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::size::{Size, UNIT};

const MIB: u64 = 1 << 20;
/// What the program and libtorch take beside weights and feature maps. Measured.
const PROGRAM: u64 = 170 * MIB;
/// What loaded weights take beside their numbers, such as holes that conversions left, as a share of them. Measured at SDXL's
/// size.
const BESIDE_WEIGHTS: f64 = 0.04;

/// Work at some size, and how its memory grows.
pub(crate) struct Work<'a> {
    /// What is done, as in `drawing`.
    pub what: &'static str,
    /// The size of the pictures.
    pub size: Size,
    /// How many at the same time.
    pub batch: usize,
    /// Bytes that some extent needs beside the weights.
    pub(crate) bytes: &'a dyn Fn(Extent) -> u64,
}

/// How much memory work will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What is done, as in `drawing`.
    pub what: &'static str,
    /// The size of the pictures.
    pub size: Size,
    /// How many at the same time.
    pub batch: usize,
    /// Bytes that it will take, weights included.
    pub needed: u64,
    /// Bytes that are free now, where they are fewer than needed and known.
    pub free: Option<u64>,
}

impl Forecast {
    /// What it will take, in MiB.
    pub fn needed_mib(&self) -> u64 {
        self.needed / MIB
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forecast { what, size, batch, needed, .. } = self;
        let at_once = if *batch == 1 { String::new() } else { format!(", {batch} at a time,") };
        write!(f, "{what} at {size}{at_once} takes about {} of memory", bytes(*needed))
    }
}

/// Work that the machine has not got the memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{forecast}, and this machine has {}", bytes(*machine))]
pub struct TooLarge {
    /// What it would take.
    pub forecast: Forecast,
    /// What the machine has, in bytes.
    pub machine: u64,
    /// What would fit.
    pub fits: Fits,
}

/// The nearest work that a machine has the memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// The same size, fewer at a time.
    Batch(usize),
    /// A smaller size of this shape, one at a time.
    Size(Size),
    /// Nothing: the weights alone are too large.
    Nothing,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Main memory and swap, or what this process may use of it.
    total: u64,
    /// What is free of it now.
    available: u64,
}

impl Machine {
    /// This machine, if it tells.
    fn here() -> Option<Machine> {
        let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
        let system = System::new_with_specifics(kinds).ok()?;
        let total = system.total_memory() + system.total_swap();
        let available = system.available_memory() + system.free_swap();
        // A container may be allowed less.
        Some(match system.cgroup_limits() {
            Some(limits) => {
                Machine { total: total.min(limits.total_memory), available: available.min(limits.free_memory) }
            }
            None => Machine { total, available },
        })
    }
}

impl Work<'_> {
    /// What the work will need.
    ///
    /// # Errors
    /// More than the machine has. A GPU's memory is not known beforehand: there it is only said.
    pub(crate) fn forecast(&self, model: &StableDiffusion) -> Result<Forecast, TooLarge> {
        let on_gpu = model.compute.device.is_cuda();
        let weights = model.weight_bytes();
        let beside = if on_gpu { 0 } else { PROGRAM + (weights as f64 * BESIDE_WEIGHTS) as u64 };
        let fixed = weights + beside;
        let needed = self.needed(fixed, self.size, self.batch);
        let forecast = Forecast { what: self.what, size: self.size, batch: self.batch, needed, free: None };
        let Some(machine) = Machine::here().filter(|_| !on_gpu) else { return Ok(forecast) };
        if needed > machine.total {
            return Err(TooLarge { forecast, machine: machine.total, fits: self.what_fits(fixed, machine.total) });
        }
        Ok(Forecast { free: (needed > machine.available).then_some(machine.available), ..forecast })
    }

    fn needed(&self, fixed: u64, size: Size, batch: usize) -> u64 {
        fixed + (self.bytes)(Extent { width: i64::from(size.width), height: i64::from(size.height), batch })
    }

    /// The largest batch at this size, or else the largest size of this shape, that fits into `limit` bytes.
    fn what_fits(&self, fixed: u64, limit: u64) -> Fits {
        let batch = (1..self.batch).rev().find(|&batch| self.needed(fixed, self.size, batch) <= limit);
        if let Some(batch) = batch {
            return Fits::Batch(batch);
        }
        const PARTS: u32 = 64;
        let side = |side: u32, parts: u32| side * parts / PARTS / UNIT * UNIT;
        let mut smaller = (1..PARTS)
            .rev()
            .map(|parts| Size { width: side(self.size.width, parts), height: side(self.size.height, parts) })
            .filter(|size| size.width > 0 && size.height > 0);
        smaller.find(|&size| self.needed(fixed, size, 1) <= limit).map_or(Fits::Nothing, Fits::Size)
    }
}

/// Bytes as people read them.
pub fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / MIB as f64;
    if mib < 1000.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred bytes for each pixel.
    fn fits(size: Size, batch: usize, limit: u64) -> Fits {
        let bytes = |extent: Extent| 100 * (extent.width * extent.height) as u64 * extent.batch as u64;
        Work { what: "drawing", size, batch, bytes: &bytes }.what_fits(1000, limit)
    }

    #[test]
    fn what_fits_is_named() {
        let size = Size { width: 640, height: 320 };
        let one = 100 * 640 * 320;
        assert_eq!(fits(size, 4, 1000 + 3 * one), Fits::Batch(3));
        assert_eq!(fits(size, 1, 1000 + one - 1), Fits::Size(Size { width: 624, height: 312 }));
        assert_eq!(fits(size, 2, one / 2), Fits::Size(Size { width: 456, height: 224 }));
        assert_eq!(fits(size, 1, 500), Fits::Nothing);
    }

    #[test]
    fn this_machine_has_memory() {
        let Some(machine) = Machine::here() else { return };
        assert!(machine.available > 0 && machine.available <= machine.total, "{machine:?}");
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!([bytes(400 * MIB), bytes(3 << 30)], ["400 MiB", "3.0 GiB"]);
    }
}
