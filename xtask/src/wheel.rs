//! Python wheels as a source of shared libraries: fetched by pip by package name, kept for other clones, unpacked in
//! part.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use zip::ZipArchive;

use crate::hint::Hinted;
use crate::python::Python;
use crate::{lock, workspace};

/// How the folders of downloads under way are called.
const UNFINISHED: &str = "unfinished-";

/// The wheel of one package version.
#[derive(Clone, Copy)]
pub struct Wheel<'a> {
    /// Name in the package index.
    pub package: &'a str,
    /// Exact version.
    pub version: &'a str,
}

impl Wheel<'_> {
    /// `torch==2.11.0`
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }

    /// The finished wheel in the cache, if it is there.
    pub fn cached(&self, cache: &Path, arch: &str) -> Option<PathBuf> {
        let files = fs::read_dir(cache).ok()?;
        files.flatten().map(|file| file.path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.is_named(&name, arch) && open(path).is_ok()
        })
    }

    /// Fetches the wheel into the cache unless it is there. A download appears under its own name only when complete.
    ///
    /// # Errors
    /// When pip fails.
    pub fn fetch(&self, python: &Python, cache: &Path, arch: &str) -> Result<()> {
        let download = Download { requirement: &self.requirement(), options: &target_options(arch), cache };
        download.run(python, || self.cached(cache, arch).is_some(), |file| self.is_named(file, arch))
    }

    fn is_named(&self, file: &str, arch: &str) -> bool {
        let start = format!("{}-{}-", self.package.replace('-', "_"), self.version);
        file.starts_with(&start)
            && [format!("_{arch}.whl"), "-none-any.whl".to_owned()].iter().any(|end| file.ends_with(end))
    }
}

/// One file that pip downloads into the cache.
pub(crate) struct Download<'a> {
    /// As in a file of requirements.
    pub(crate) requirement: &'a str,
    /// Of `pip download`.
    pub(crate) options: &'a [String],
    /// The folder of the cache.
    pub(crate) cache: &'a Path,
}

impl Download<'_> {
    /// Fetches the file unless it is there. It appears under its own name, which `is_named` knows, only when complete.
    ///
    /// # Errors
    /// When pip fails.
    pub(crate) fn run(
        &self,
        python: &Python,
        is_there: impl Fn() -> bool,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let Self { requirement, options, cache } = self;
        let context = || format!("cannot write to the cache `{}`", cache.display());
        // Clones that set up at once wait for each other, so what lies unfinished here was left by a run that was cut.
        let _lock = lock::take(&cache.join("lock"))?;
        if is_there() {
            return Ok(());
        }
        remove_unfinished(cache);
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(cache).with_context(context)?;
        let requirements = unfinished.path().join("requirements.txt");
        fs::write(&requirements, requirement).with_context(context)?;
        let mut arguments = vec!["download".to_owned(), "--no-deps".to_owned(), "--no-cache-dir".to_owned()];
        arguments.extend(["--dest".to_owned(), unfinished.path().display().to_string()]);
        arguments.extend(options.iter().cloned());
        arguments.extend(["--requirement".to_owned(), requirements.display().to_string()]);
        python.pip(&arguments, unfinished.path()).with_context(|| format!("cannot fetch {requirement}"))?;
        for file in fs::read_dir(unfinished.path()).with_context(context)?.flatten() {
            let name = file.file_name();
            if is_named(&name.to_string_lossy()) {
                return fs::rename(file.path(), cache.join(name)).with_context(context);
            }
        }
        bail!("pip left no fitting file of {requirement}")
    }
}

/// Where wheels are kept for other clones: `$XDG_CACHE_HOME/idembed/wheels` or `~/.cache/idembed/wheels`.
///
/// # Errors
/// When the folder cannot be made.
pub fn cache() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| workspace::root().join(".libtorch/cache"));
    let cache = base.join("idembed/wheels");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make the folder `{}`", cache.display()))?;
    Ok(cache)
}

/// Removes the downloads that a cut run left behind.
fn remove_unfinished(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The options that make pip choose wheels for this kind of machine, whatever Python runs pip.
pub fn target_options(arch: &str) -> Vec<String> {
    let mut options: Vec<String> = [
        "--only-binary=:all:",
        "--implementation=cp",
        "--python-version=3.11",
        "--abi=cp311",
        "--abi=abi3",
        "--abi=none",
    ]
    .map(str::to_owned)
    .into();
    // pip takes a platform name literally, so each one that a wheel may bear is listed, the newest first.
    options.extend((5..=28).rev().map(|minor| format!("--platform=manylinux_2_{minor}_{arch}")));
    options.extend(["2014", "2010", "1"].map(|year| format!("--platform=manylinux{year}_{arch}")));
    options
}

/// Unpacks the entries that `wanted` accepts below `folder`.
///
/// # Errors
/// When the disk is full, or the wheel is damaged; a damaged one is removed, so that it is fetched again.
pub fn unpack(wheel: &Path, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let started = Instant::now();
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut archive = open(wheel)?;
    let names = archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<Vec<String>>>()?;
    let names: Vec<String> = names.into_iter().filter(|name| wanted(name) && !name.ends_with('/')).collect();
    let mut total = 0;
    for name in &names {
        total += archive.by_name(name)?.size();
    }
    let bar = ProgressBar::new(total);
    bar.set_style(ProgressStyle::with_template("unpacking [{bar:40}] {bytes}/{total_bytes}")?);
    for entry in &names {
        if let Err(error) = unpack_entry(&mut archive, entry, folder, &bar) {
            if error.chain().any(is_damage) {
                let _ = fs::remove_file(wheel);
                return Err(error.context(Hinted::new(
                    format!("`{name}` was damaged and is removed"),
                    "run the same command again",
                )));
            }
            return Err(error);
        }
    }
    bar.finish_and_clear();
    let (count, seconds) = (names.len(), started.elapsed().as_secs_f64());
    eprintln!("unpacked {name}: files {count}, {:.1} MiB, {seconds:.1} s", total as f64 / f64::from(1 << 20));
    Ok(())
}

fn open(wheel: &Path) -> Result<ZipArchive<File>> {
    let context = || format!("cannot read the wheel `{}`", wheel.display());
    ZipArchive::new(File::open(wheel).with_context(context)?).with_context(context)
}

fn unpack_entry(archive: &mut ZipArchive<File>, name: &str, folder: &Path, bar: &ProgressBar) -> Result<()> {
    let mut entry = archive.by_name(name)?;
    let relative =
        entry.enclosed_name().with_context(|| format!("the wheel holds a path that leads outside: `{name}`"))?;
    let path = folder.join(relative);
    let context = || format!("cannot write `{}`", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    let mut file = File::create(&path).with_context(context)?;
    io::copy(&mut entry, &mut bar.wrap_write(&mut file)).with_context(context)?;
    Ok(())
}

/// Whether a cause is a broken archive: a checksum or a compressed stream that does not fit.
fn is_damage(cause: &(dyn std::error::Error + 'static)) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    cause.is::<zip::result::ZipError>()
        || cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const WHEEL: Wheel<'_> = Wheel { package: "nvidia-cuda-cupti", version: "13.0.85" };
    const FILE: &str = "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl";

    fn write_wheel(path: &Path) {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        for name in ["nvidia/lib/libcupti.so.13", "nvidia/include/cupti.h"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(name.repeat(100).as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn only_a_whole_wheel_of_the_same_version_and_machine_counts_as_cached() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(WHEEL.cached(cache.path(), "x86_64"), None);
        write_wheel(&cache.path().join(FILE));
        assert_eq!(WHEEL.cached(cache.path(), "x86_64"), Some(cache.path().join(FILE)));
        assert_eq!(WHEEL.cached(cache.path(), "aarch64"), None);
        let newer = Wheel { version: "13.0.8", ..WHEEL };
        assert_eq!(newer.cached(cache.path(), "x86_64"), None);
        let length = fs::metadata(cache.path().join(FILE)).unwrap().len();
        File::options().write(true).open(cache.path().join(FILE)).unwrap().set_len(length - 30).unwrap();
        assert_eq!(WHEEL.cached(cache.path(), "x86_64"), None);
    }

    #[test]
    fn a_wheel_without_machine_code_serves_every_machine() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("facenet_pytorch-2.6.0-py3-none-any.whl");
        write_wheel(&path);
        let wheel = Wheel { package: "facenet-pytorch", version: "2.6.0" };
        assert_eq!(wheel.cached(cache.path(), "riscv64"), Some(path));
    }

    #[test]
    fn unpacking_takes_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join(FILE);
        write_wheel(&wheel);
        unpack(&wheel, folder.path(), |name| name.ends_with(".so.13")).unwrap();
        let text = fs::read_to_string(folder.path().join("nvidia/lib/libcupti.so.13")).unwrap();
        assert_eq!(text, "nvidia/lib/libcupti.so.13".repeat(100));
        assert!(!folder.path().join("nvidia/include").exists());
    }

    #[test]
    fn a_damaged_wheel_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join(FILE);
        write_wheel(&wheel);
        let mut bytes = fs::read(&wheel).unwrap();
        bytes[60] ^= 0xff;
        fs::write(&wheel, bytes).unwrap();
        let error = unpack(&wheel, folder.path(), |_| true).unwrap_err();
        assert_eq!(error.to_string(), format!("`{FILE}` was damaged and is removed"));
        assert!(!wheel.exists());
    }
}
