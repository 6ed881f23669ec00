//! The CUDA half of libtorch.

use std::sync::OnceLock;

use tch::{Cuda, Device};

use crate::{Error, Result};

/// Makes libtorch's CUDA half register itself, where it is installed. To be called before a tensor is put on a GPU.
///
/// No symbol of `libtorch_cuda` is referenced by name, so the linker leaves it out of the program; a libtorch without
/// CUDA has no such file, and then there is nothing to do.
pub(crate) fn load() {
    static LOADED: OnceLock<Option<libloading::Library>> = OnceLock::new();
    LOADED.get_or_init(|| {
        // SAFETY: the library's initialisers only register libtorch's own CUDA operators.
        unsafe { libloading::Library::new(libloading::library_filename("torch_cuda")) }.ok()
    });
}

/// How many CUDA devices there are.
pub(crate) fn device_count() -> usize {
    load();
    if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 }
}

/// Fails if this is a CUDA device that is not there; otherwise tensors can be put on it from now on.
pub(crate) fn check(device: Device) -> Result<()> {
    let Device::Cuda(index) = device else { return Ok(()) };
    let available = device_count();
    if index < available {
        return Ok(());
    }
    Err(Error::Device(format!("device cuda:{index} was asked for, but this libtorch sees {available} CUDA devices")))
}
