//! `cargo xtask setup`: libtorch from the wheels of PyTorch, into `.libtorch`, and the face detector's weights from
//! the wheel of facenet-pytorch, into `models/mtcnn`, once.
//!
//! `.libtorch` has the layout of Python's site-packages, because the libraries find each other by it. For the CPU three
//! wheels are fetched and a tenth of their files unpacked; `--cuda` lets pip install the whole set.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::disk::GIB;
use crate::hint::Hinted;
use crate::importing::Importer;
use crate::python::Python;
use crate::wheel::{self, Wheel, target_options, unpack};
use crate::{disk, lock, models, pypi, stamp, workspace};

/// The version that the pinned `tch` is made for; the other two are those that it requires.
const TORCH: Wheel<'_> = Wheel { package: "torch", version: "2.11.0" };
const CUDA_RUNTIME: Wheel<'_> = Wheel { package: "nvidia-cuda-runtime", version: "13.0.96" };
const CUDA_CUPTI: Wheel<'_> = Wheel { package: "nvidia-cuda-cupti", version: "13.0.85" };

/// The face detector, by its name in the manifest.
const DETECTOR: &str = "mtcnn";

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch the CUDA libraries too (about 3 GB to download, 5 GB on disk)
    #[arg(long)]
    cuda: bool,
    /// Install again, even if it is there or LIBTORCH names another one; without --cuda, go back to the CPU
    #[arg(long)]
    force: bool,
    /// Set libtorch up for the programs in another folder that import crates of this repository: write what they need
    /// into DIR/.cargo/config.toml
    #[arg(long = "for", value_name = "DIR")]
    importer: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Variant {
    Cpu,
    Cuda,
}

impl Display for Variant {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
        })
    }
}

/// What `.libtorch/setup.json` vouches for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Installed {
    torch: String,
    variant: Variant,
}

/// Runs the command.
///
/// # Errors
/// When Python, pip, the network or the disk fails, or the folder of an importer cannot be set up.
pub(crate) fn run(args: &Args) -> Result<()> {
    let importer = args.importer.as_deref().map(Importer::new).transpose()?;
    set_libtorch_up(args)?;
    if let Some(importer) = importer {
        return importer.write(&workspace::libtorch()?);
    }
    ensure_detector()?;
    eprintln!("the face detector is in `{}`", models::folder().join(DETECTOR).display());
    Ok(())
}

/// Sets up what is missing of libtorch and the face detector.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure() -> Result<()> {
    ensure_libtorch()?;
    ensure_detector()
}

fn ensure_detector() -> Result<()> {
    pypi::install(&models::folder(), DETECTOR)
        .context("libtorch is ready, but the weights of the face detector are not")
}

fn set_libtorch_up(args: &Args) -> Result<()> {
    if let Some(own) = workspace::own_libtorch().filter(|_| !args.force) {
        eprintln!("{own} is set: that libtorch is used (--force installs one in `.libtorch` all the same)");
        return Ok(());
    }
    let folder = workspace::root().join(".libtorch");
    if let Some(installed) = installed(&folder).filter(|installed| serves(installed, args)) {
        eprintln!("libtorch {} ({}) is in `{}`", installed.torch, installed.variant, folder.display());
        return Ok(());
    }
    install(&folder, if args.cuda { Variant::Cuda } else { Variant::Cpu })
}

/// Sets libtorch up if neither it nor one of the user's own is there.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure_libtorch() -> Result<()> {
    let folder = workspace::root().join(".libtorch");
    if workspace::own_libtorch().is_some() || installed(&folder).is_some() {
        return Ok(());
    }
    install(&folder, Variant::Cpu)
}

/// Whether the libtorch in use may know CUDA; one of the user's own may.
pub(crate) fn has_cuda() -> bool {
    let cpu_only = installed(&workspace::root().join(".libtorch")).is_some_and(|it| it.variant == Variant::Cpu);
    workspace::own_libtorch().is_some() || !cpu_only
}

/// The finished installation of the wanted version in `folder`.
fn installed(folder: &Path) -> Option<Installed> {
    let installed: Installed = stamp::read(&folder.join("setup.json"))?;
    let whole = ["include/torch/csrc/api/include/torch/torch.h", "lib/libtorch_cpu.so", "lib/libtorch.so"]
        .iter()
        .all(|file| folder.join("torch").join(file).exists());
    (whole && installed.torch == TORCH.version).then_some(installed)
}

/// Whether what is installed is what the arguments ask for; the CUDA set serves the CPU too.
fn serves(installed: &Installed, args: &Args) -> bool {
    !args.force && (!args.cuda || installed.variant == Variant::Cuda)
}

fn install(folder: &Path, variant: Variant) -> Result<()> {
    let arch = supported_arch(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "gnu"))?;
    create(folder)?;
    // Two commands at once would unpack over each other.
    let _lock = lock::take(&folder.join("lock"))?;
    let new = folder.join("unfinished");
    remove(&new)?;
    create(&new)?;
    let unpacked = match variant {
        Variant::Cpu => install_cpu(arch, &new),
        Variant::Cuda => install_cuda(arch, &new),
    };
    if let Err(error) = unpacked {
        remove(&new)?;
        return Err(error);
    }
    fs::write(new.join("torch/build-version"), TORCH.version).context("cannot write `build-version`")?;

    let before: Option<Installed> = stamp::read(&folder.join("setup.json"));
    let replaces_other = folder.join("torch").exists() && before.is_none_or(|before| before.variant != variant);
    stamp::remove(&folder.join("setup.json"))?;
    for part in ["torch", "nvidia"] {
        remove(&folder.join(part))?;
        fs::rename(new.join(part), folder.join(part))
            .with_context(|| format!("cannot put `{part}` into `.libtorch`"))?;
    }
    remove(&new)?;
    if replaces_other {
        relink()?;
    }
    stamp::write(&folder.join("setup.json"), &Installed { torch: TORCH.version.to_owned(), variant })?;
    eprintln!("libtorch {} ({variant}) is ready in `{}`", TORCH.version, folder.display());
    Ok(())
}

fn install_cpu(arch: &str, folder: &Path) -> Result<()> {
    let cache = wheel::cache()?;
    let wheels = [TORCH, CUDA_RUNTIME, CUDA_CUPTI];
    disk::require(folder, GIB / 2 + GIB / 10, "unpacking libtorch")?;
    if wheels.iter().any(|wheel| wheel.cached(&cache, arch).is_none()) {
        // pip writes a download to a temporary file and then to its place.
        disk::require(&cache, GIB + GIB / 10, "fetching libtorch")?;
        let python = Python::find()?;
        eprintln!("fetching libtorch {} (about 540 MB, once) with pip into `{}`", TORCH.version, cache.display());
        for wheel in &wheels {
            wheel.fetch(&python, &cache, arch)?;
        }
    }
    for wheel in &wheels {
        let path =
            wheel.cached(&cache, arch).with_context(|| format!("the wheel of {} is gone", wheel.requirement()))?;
        unpack(&path, folder, wanted).map_err(|error| disk::explain(error, folder))?;
    }
    // The wheel's own `libtorch.so` only names its parts, the CUDA part among them; this names what is there.
    let path = folder.join("torch/lib/libtorch.so");
    fs::write(&path, "INPUT ( libtorch_cpu.so )\n").with_context(|| format!("cannot write `{}`", path.display()))
}

fn install_cuda(arch: &str, folder: &Path) -> Result<()> {
    disk::require(folder, 9 * GIB, "installing libtorch with CUDA")?;
    let python = Python::find()?;
    eprintln!("fetching libtorch {} with CUDA (about 3 GB) with pip; this takes a while", TORCH.version);
    let temporary = tempfile::tempdir_in(folder)?;
    let mut arguments = vec!["install".to_owned(), "--target".to_owned(), folder.display().to_string()];
    arguments.extend(target_options(arch));
    arguments.push(TORCH.requirement());
    python.pip(&arguments, temporary.path())?;
    ensure!(folder.join("torch/lib/libtorch_cuda.so").exists(), "the wheel that pip installed has no CUDA part");
    Ok(())
}

/// The entries of the three wheels that a program without CUDA needs to be compiled and to run.
fn wanted(entry: &str) -> bool {
    const LEFT_OUT: [&str; 7] = [
        "libtorch.so",
        "libtorch_cuda",
        "libtorch_nvshmem",
        "libtorch_python",
        "libtorch_global_deps",
        "libshm",
        "libcaffe2_nvrtc",
    ];
    if let Some(library) = entry.strip_prefix("torch/lib/") {
        let is_library = library.contains(".so") && !library.contains('/') && !library.starts_with("libc10_cuda");
        return is_library && !LEFT_OUT.iter().any(|name| library.starts_with(name));
    }
    entry.starts_with("torch/include/")
        || entry.starts_with("nvidia/cu13/lib/libcudart.so")
        || entry.starts_with("nvidia/cu13/lib/libcupti.so")
}

/// The machine's name in wheels, where PyTorch has wheels that fit.
fn supported_arch(os: &str, arch: &'static str, gnu: bool) -> Result<&'static str> {
    if os == "linux" && gnu && matches!(arch, "x86_64" | "aarch64") {
        return Ok(arch);
    }
    let libc = if os == "linux" && !gnu { " without glibc" } else { "" };
    let message = format!("`setup` knows libtorch for Linux on x86_64 and aarch64; this is {os}{libc} on {arch}");
    let hint = format!(
        "install libtorch {} yourself and set LIBTORCH to its folder, or LIBTORCH_USE_PYTORCH=1 to use the PyTorch of your Python",
        TORCH.version
    );
    Err(Hinted::new(message, hint).into())
}

/// Makes cargo run the build script of `torch-sys` again, which looked at the libraries that were there before.
fn relink() -> Result<()> {
    for profile in ["dev", "release"] {
        let status =
            workspace::status(workspace::cargo().args(["clean", "--package", "torch-sys", "--profile", profile]))?;
        ensure!(status.success(), "`cargo clean --package torch-sys` failed");
    }
    Ok(())
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_parts_are_taken_and_no_others() {
        for entry in [
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libc10.so",
            "torch/lib/libgomp.so.1",
            "torch/lib/libarm_compute.so",
            "torch/include/torch/csrc/api/include/torch/torch.h",
            "nvidia/cu13/lib/libcudart.so.13",
            "nvidia/cu13/lib/libcupti.so.13",
        ] {
            assert!(wanted(entry), "{entry}");
        }
        for entry in [
            "torch/lib/libtorch.so",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libtorch_cuda_linalg.so",
            "torch/lib/libtorch_python.so",
            "torch/lib/libc10_cuda.so",
            "torch/lib/libshm/core.h",
            "torch/bin/protoc",
            "torch/__init__.py",
            "nvidia/cu13/lib/libcupti_static.a",
            "nvidia/cu13/include/cupti.h",
        ] {
            assert!(!wanted(entry), "{entry}");
        }
    }

    #[test]
    fn machines_without_wheels_are_told_about_libtorch() {
        assert_eq!(supported_arch("linux", "aarch64", true).unwrap(), "aarch64");
        let error = supported_arch("macos", "aarch64", false).unwrap_err();
        assert!(crate::hint::render(&error).contains("set LIBTORCH to its folder"));
        let error = supported_arch("linux", "x86_64", false).unwrap_err();
        assert!(error.to_string().ends_with("this is linux without glibc on x86_64"));
        assert!(supported_arch("linux", "riscv64", true).is_err());
    }

    #[test]
    fn an_installation_counts_only_with_its_stamp_its_version_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for file in ["include/torch/csrc/api/include/torch/torch.h", "lib/libtorch_cpu.so", "lib/libtorch.so"] {
            let file = path.join("torch").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(installed(path), None);
        let old = Installed { torch: "2.10.0".to_owned(), variant: Variant::Cpu };
        stamp::write(&path.join("setup.json"), &old).unwrap();
        assert_eq!(installed(path), None);
        let new = Installed { torch: TORCH.version.to_owned(), variant: Variant::Cpu };
        stamp::write(&path.join("setup.json"), &new).unwrap();
        assert_eq!(installed(path).as_ref(), Some(&new));
        fs::remove_file(path.join("torch/lib/libtorch_cpu.so")).unwrap();
        assert_eq!(installed(path), None);
    }

    #[test]
    fn the_cuda_set_serves_the_cpu_but_not_the_other_way_round() {
        let args = |cuda, force| Args { cuda, force, importer: None };
        let has = |variant| Installed { torch: TORCH.version.to_owned(), variant };
        assert!(serves(&has(Variant::Cpu), &args(false, false)));
        assert!(serves(&has(Variant::Cuda), &args(false, false)));
        assert!(serves(&has(Variant::Cuda), &args(true, false)));
        assert!(!serves(&has(Variant::Cpu), &args(true, false)));
        assert!(!serves(&has(Variant::Cuda), &args(false, true)));
    }
}
