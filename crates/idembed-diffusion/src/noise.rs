//! Seeded noise, the same as `torch.randn` with a CPU generator of that seed gives. **Reseeds the process's generator.**
//!
//! libtorch's bindings know one generator, that of the process. After each draw here it goes on from a seed that it gave
//! itself before: a program's own random numbers stay a function of its own seed, but are others than without the draw.

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

/// Runs `draw` with libtorch's generator seeded; no other thread can draw through this module meanwhile.
///
/// Afterwards the generator has a seed that it drew before, so that what the program draws next does not depend on `seed`.
pub fn with_seed<T>(seed: u64, draw: impl FnOnce() -> Result<T>) -> Result<T> {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let next = Tensor::f_randint(i64::MAX, [1], (Kind::Int64, Device::Cpu))?.f_int64_value(&[0])?;
    tch::manual_seed(seed as i64);
    let drawn = draw();
    tch::manual_seed(next);
    drawn
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_program_draws_on_from_its_own_seed() {
        let own = |seed: u64| {
            tch::manual_seed(5);
            seeded_noise(seed, &[3], 1).unwrap();
            seeded_noise(seed + 1, &[3], 1).unwrap();
            Tensor::randn([4], (Kind::Float, Device::Cpu))
        };
        let of_the_noise = seeded_noise(9, &[4], 1).unwrap().remove(0);
        assert!(own(7).equal(&own(8)), "what the program draws depends on its own seed alone");
        assert!(!own(7).equal(&of_the_noise) && !own(8).equal(&of_the_noise));
        tch::manual_seed(5);
        let first = Tensor::randn([4], (Kind::Float, Device::Cpu));
        assert!(!own(7).equal(&first), "nothing is drawn twice");
    }
}
