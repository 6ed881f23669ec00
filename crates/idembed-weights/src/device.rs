//! Where and in which number format the networks compute.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use tch::{Cuda, Device, Kind};

use crate::{Error, Result, UnknownName};

/// The device and the number format of a loaded model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// Where the weights lie.
    pub device: Device,
    /// The format of weights and activations. Schedulers, losses and learned tokens are f32 whatever this says.
    pub kind: Kind,
}

impl Compute {
    /// The CPU in f32: the reference for every comparison.
    pub const CPU_F32: Compute = Compute { device: Device::Cpu, kind: Kind::Float };

    /// Turns the user's wishes into what this machine has.
    ///
    /// # Errors
    /// A CUDA device was asked for by name and is not there.
    pub fn resolve(device: DeviceChoice, dtype: DtypeChoice) -> Result<Self> {
        load_cuda_backend();
        let available = if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 };
        let device = match device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Auto if available == 0 => Device::Cpu,
            DeviceChoice::Auto => Device::Cuda(0),
            DeviceChoice::Cuda(index) if index < available => Device::Cuda(index),
            DeviceChoice::Cuda(index) => {
                return Err(Error::Device(format!(
                    "device cuda:{index} was asked for, but this libtorch sees {available} CUDA devices"
                )));
            }
        };
        let kind = match dtype {
            DtypeChoice::F32 => Kind::Float,
            DtypeChoice::Bf16 => Kind::BFloat16,
            DtypeChoice::F16 => Kind::Half,
            DtypeChoice::Auto if device.is_cuda() => Kind::BFloat16,
            DtypeChoice::Auto => Kind::Float,
        };
        Ok(Compute { device, kind })
    }

    /// The format's usual short name: `f32`, `bf16` or `f16`.
    pub fn dtype_name(&self) -> &'static str {
        match self.kind {
            Kind::BFloat16 => "bf16",
            Kind::Half => "f16",
            _ => "f32",
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Device::Cuda(index) => write!(f, "cuda:{index} {}", self.dtype_name()),
            _ => write!(f, "cpu {}", self.dtype_name()),
        }
    }
}

/// Lets the process keep freed memory for its next allocation instead of giving it back to the system.
///
/// The networks free and ask for the same large buffers at every step; getting each anew from the system costs more
/// than some of the layers (Linux hands out zeroed pages one by one). For programs to call once, at their start.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets two numbers of the C library's allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Makes libtorch's CUDA half register itself, where it is installed.
///
/// No symbol of `libtorch_cuda` is referenced by name, so the linker leaves it out of the program; a libtorch without
/// CUDA has no such file, and then there is nothing to do.
fn load_cuda_backend() {
    static LOADED: OnceLock<Option<libloading::Library>> = OnceLock::new();
    LOADED.get_or_init(|| {
        // SAFETY: the library's initialisers only register libtorch's own CUDA operators.
        unsafe { libloading::Library::new(libloading::library_filename("torch_cuda")) }.ok()
    });
}

/// A device as the user names it: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(DeviceChoice::Cuda)
                .ok_or_else(|| UnknownName { given: text.to_owned(), known: &["auto", "cpu", "cuda", "cuda:N"] }),
        }
    }
}

/// A number format as the user names it: `auto`, `f32`, `bf16` or `f16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
pub enum DtypeChoice {
    /// bf16 on CUDA, f32 on the CPU.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}
