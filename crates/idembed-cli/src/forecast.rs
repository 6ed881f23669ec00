//! What work will need of memory, said before it begins, and refused where the machine has not got it.

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::device::Compute;
use idembed_diffusion::memory::Extent;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::failure::Hinted;
use crate::size::{Size, UNIT};

const MIB: u64 = 1 << 20;
/// What the program and libtorch take before any weight is touched.
const PROGRAM: u64 = 120 * MIB;

/// Work at some size, and how its memory grows.
pub(crate) struct Work<'a> {
    /// What is done, as in `drawing`.
    pub(crate) what: &'static str,
    /// The size of the pictures.
    pub(crate) size: Size,
    /// How many at the same time.
    pub(crate) batch: usize,
    /// Bytes that some extent needs beside the weights.
    pub(crate) bytes: &'a dyn Fn(Extent) -> u64,
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
    /// Says what the work needs, and gives it in MiB.
    ///
    /// # Errors
    /// More than the machine has. A GPU's memory is not known beforehand: there it is only said.
    pub(crate) fn announce(&self, model: &StableDiffusion, compute: Compute) -> anyhow::Result<u64> {
        let fixed = model.weight_bytes() + if compute.device.is_cuda() { 0 } else { PROGRAM };
        let needed = self.needed(fixed, self.size, self.batch);
        let Work { what, size, batch, .. } = self;
        let at_once = if *batch == 1 { String::new() } else { format!(", {batch} at a time,") };
        tracing::info!("{what} at {size}{at_once} takes about {} of memory", shown(needed));
        let machine = Machine::here().filter(|_| !compute.device.is_cuda());
        let Some(machine) = machine else { return Ok(needed / MIB) };
        if needed > machine.total {
            let message = format!(
                "{what} at {size}{at_once} takes about {} of memory, and this machine has {}",
                shown(needed),
                shown(machine.total)
            );
            return Err(Hinted::new(message, self.what_fits(fixed, machine.total)).into());
        }
        if needed > machine.available {
            tracing::warn!("only {} of memory are free: this may become very slow", shown(machine.available));
        }
        Ok(needed / MIB)
    }

    fn needed(&self, fixed: u64, size: Size, batch: usize) -> u64 {
        fixed + (self.bytes)(Extent { width: i64::from(size.width), height: i64::from(size.height), batch })
    }

    /// The largest batch at this size, or else the largest size of this shape, that fits into `limit` bytes.
    fn what_fits(&self, fixed: u64, limit: u64) -> String {
        let batch = (1..self.batch).rev().find(|&batch| self.needed(fixed, self.size, batch) <= limit);
        if let Some(batch) = batch {
            return format!("--batch {batch} would fit");
        }
        const PARTS: u32 = 64;
        let side = |side: u32, parts: u32| side * parts / PARTS / UNIT * UNIT;
        let mut smaller = (1..PARTS)
            .rev()
            .map(|parts| Size { width: side(self.size.width, parts), height: side(self.size.height, parts) })
            .filter(|size| size.width > 0 && size.height > 0);
        match smaller.find(|&size| self.needed(fixed, size, 1) <= limit) {
            Some(size) => format!("--size {size} would fit{}", if self.batch > 1 { " with --batch 1" } else { "" }),
            None => "the weights alone are too large; --dtype bf16 halves them".to_owned(),
        }
    }
}

/// Bytes as people read them.
fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / MIB as f64;
    if mib < 1000.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred bytes for each pixel.
    fn hint(size: Size, batch: usize, limit: u64) -> String {
        let bytes = |extent: Extent| 100 * (extent.width * extent.height) as u64 * extent.batch as u64;
        Work { what: "drawing", size, batch, bytes: &bytes }.what_fits(1000, limit)
    }

    #[test]
    fn what_fits_is_named() {
        let size = Size { width: 640, height: 320 };
        let one = 100 * 640 * 320;
        assert_eq!(hint(size, 4, 1000 + 3 * one), "--batch 3 would fit");
        assert_eq!(hint(size, 1, 1000 + one - 1), "--size 624x312 would fit");
        assert_eq!(hint(size, 2, one / 2), "--size 456x224 would fit with --batch 1");
        assert!(hint(size, 1, 500).contains("the weights alone"));
    }

    #[test]
    fn this_machine_has_memory() {
        let Some(machine) = Machine::here() else { return };
        assert!(machine.available > 0 && machine.available <= machine.total, "{machine:?}");
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!([shown(400 * MIB), shown(3 << 30)], ["400 MiB", "3.0 GiB"]);
    }
}
