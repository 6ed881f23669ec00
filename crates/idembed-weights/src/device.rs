//! Where and in which number format the networks compute.

use std::fmt;
use std::str::FromStr;

use tch::{Device, Kind};

use crate::{Result, UnknownName, cuda};

/// The device and the number format of a loaded model.
///
/// To learn whether there is a GPU, ask [`Compute::resolve`]: `tch::Cuda` knows of none before libtorch's CUDA half was
/// loaded, and when it was asked too early it knows of none ever after.
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
        let device = match device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Auto if cuda::device_count() == 0 => Device::Cpu,
            DeviceChoice::Auto => Device::Cuda(0),
            DeviceChoice::Cuda(index) => Device::Cuda(index),
        };
        cuda::check(device)?;
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
