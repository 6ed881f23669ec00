//! Seeded noise, the same as `torch.randn` with a CPU generator of that seed gives.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::Result;

/// libtorch has one CPU generator per process here; whoever seeds it holds this until the numbers are drawn.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Draws `draws` tensors of standard normal noise in a row from a generator seeded with `seed`.
///
/// Equal to `draws` calls of `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))` with one
/// generator. Always f32 on the CPU, so that a seed means the same on every device and in every dtype.
pub fn seeded_noise(seed: u64, shape: &[i64], draws: usize) -> Result<Vec<Tensor>> {
    with_seed(seed, || (0..draws).map(|_| Ok(Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?)).collect())
}

/// Runs `draw` with libtorch's CPU generator seeded; no other thread can draw through this module meanwhile.
pub fn with_seed<T>(seed: u64, draw: impl FnOnce() -> Result<T>) -> Result<T> {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    draw()
}
