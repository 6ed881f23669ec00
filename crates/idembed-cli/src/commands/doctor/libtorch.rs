//! libtorch, the processor and the GPUs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use idembed_diffusion::{Compute, DeviceChoice, DtypeChoice};
use serde_json::{Value, json};
use tch::{Cuda, Device, Kind, Tensor};

use crate::output;

/// The libtorch that this program was written for.
const EXPECTED_VERSION: &str = "2.11.0";
/// Side of the matrices that are multiplied to see whether and how fast a number format works.
const SIDE: i64 = 512;

/// What was found.
pub(super) struct Libtorch {
    version: Option<String>,
    folder: Option<PathBuf>,
    threads: i32,
    cores: usize,
    cpu_features: Vec<&'static str>,
    has_cuda_part: bool,
    cuda_devices: usize,
    trials: Vec<Trial>,
}

/// One number format on one device.
struct Trial {
    device: String,
    dtype: &'static str,
    /// Billions of multiplications and additions per second, or why it does not work.
    outcome: Result<f64, String>,
}

/// Looks at everything.
pub(super) fn examine() -> Libtorch {
    // Loads the CUDA part of libtorch, where there is one.
    let _ = Compute::resolve(DeviceChoice::Auto, DtypeChoice::Auto);
    let folder = library_folder();
    let cuda_devices = if Cuda::is_available() { usize::try_from(Cuda::device_count()).unwrap_or(0) } else { 0 };
    let devices = std::iter::once(Device::Cpu).chain((0..cuda_devices).map(Device::Cuda));
    let kinds = [("f32", Kind::Float), ("bf16", Kind::BFloat16), ("f16", Kind::Half)];
    let trials = devices.flat_map(|device| kinds.map(|(dtype, kind)| Trial::run(device, dtype, kind))).collect();
    Libtorch {
        version: folder.as_deref().and_then(version),
        has_cuda_part: folder.as_deref().is_some_and(|folder| folder.join("libtorch_cuda.so").exists()),
        folder,
        threads: tch::get_num_threads(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu_features: cpu_features(),
        cuda_devices,
        trials,
    }
}

impl Libtorch {
    /// Lines of the report.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let version = self.version.as_deref().unwrap_or("of unknown version");
        let place = self.folder.as_ref().map(|folder| format!(", from {}", folder.display())).unwrap_or_default();
        let cuda = match (self.cuda_devices, self.has_cuda_part) {
            (0, true) => "this libtorch has CUDA, but no GPU was found".to_owned(),
            (0, false) => "none: this libtorch has the CPU part only".to_owned(),
            (count, _) => format!("{count} {}", if count == 1 { "GPU" } else { "GPUs" }),
        };
        let mut rows = vec![
            ("libtorch".to_owned(), format!("{version}{place}")),
            ("processor".to_owned(), format!("{} threads on {} cores", self.threads, self.cores)),
            ("features".to_owned(), self.cpu_features.join(" ")),
            ("cuda".to_owned(), cuda),
        ];
        for trial in &self.trials {
            let outcome = match &trial.outcome {
                Ok(speed) => format!("works, {speed:.0} GFLOP/s"),
                Err(why) => format!("does not work: {why}"),
            };
            rows.push((format!("{} {}", trial.device, trial.dtype), outcome));
        }
        rows
    }

    /// What could be better, and how.
    pub(super) fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if let Some(version) = self.version.as_deref().filter(|version| !version.starts_with(EXPECTED_VERSION)) {
            advice.push(format!("libtorch is {version}, expected {EXPECTED_VERSION}: `cargo xtask setup` fetches it"));
        }
        if self.cuda_devices == 0 && !self.has_cuda_part {
            advice.push("for an NVIDIA GPU: `cargo xtask setup --cuda` fetches libtorch with CUDA".to_owned());
        } else if self.cuda_devices == 0 {
            advice.push("no GPU was found: check that the NVIDIA driver is there (`nvidia-smi`)".to_owned());
        }
        advice
    }

    pub(super) fn to_json(&self) -> Value {
        let trials = self.trials.iter().map(|trial| {
            let (speed, error) = (trial.outcome.as_ref().ok(), trial.outcome.as_ref().err());
            json!({ "device": trial.device, "dtype": trial.dtype, "works": speed.is_some(), "gflops": speed, "error": error })
        });
        json!({
            "version": self.version,
            "expected_version": EXPECTED_VERSION,
            "folder": self.folder.as_deref().map(output::shown),
            "threads": self.threads,
            "cores": self.cores,
            "cpu_features": self.cpu_features,
            "cuda": self.has_cuda_part,
            "cuda_devices": self.cuda_devices,
            "dtypes": trials.collect::<Vec<_>>(),
        })
    }
}

impl Trial {
    fn run(device: Device, dtype: &'static str, kind: Kind) -> Trial {
        let multiply = || -> Result<f64, tch::TchError> {
            let matrix = Tensor::f_ones([SIDE, SIDE], (kind, device))?;
            let product = || matrix.f_matmul(&matrix)?.f_get(0)?.f_get(0)?.f_double_value(&[]);
            product()?;
            let started = Instant::now();
            product()?;
            Ok(2.0 * (SIDE as f64).powi(3) / started.elapsed().as_secs_f64() / 1e9)
        };
        let outcome = multiply().map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned());
        let device = match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        Trial { device, dtype, outcome }
    }
}

/// Where the system found the library that this process runs on.
fn library_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library =
        maps.lines().find_map(|line| line.find('/').map(|at| &line[at..]).filter(|path| is_libtorch(path)))?;
    Path::new(library).parent().map(Path::to_path_buf)
}

fn is_libtorch(path: &str) -> bool {
    Path::new(path).file_name().is_some_and(|name| name == "libtorch_cpu.so")
}

/// The version that stands in a file beside the library: `build-version`, or `version.py` in a Python package.
fn version(folder: &Path) -> Option<String> {
    let root = folder.parent()?;
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(line.trim_matches(['\'', '"']).to_owned())
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let features = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512fp16", is_x86_feature_detected!("avx512fp16")),
        ("amx-bf16", has_flag("amx_bf16")),
    ];
    features.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    ["bf16", "fphp", "asimdhp", "i8mm", "sve"].into_iter().filter(|flag| has_flag(flag)).collect()
}

/// Whether Linux lists a feature of the processor.
fn has_flag(flag: &str) -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
}
