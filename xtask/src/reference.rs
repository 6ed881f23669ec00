//! The Python reference: PyTorch, diffusers, transformers and dlib at pinned versions, in `.python`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::disk::GIB;
use crate::hint::Hinted;
use crate::python::Python;
use crate::{disk, lock, stamp, workspace};

/// The interpreter of the reference, installed first when it is missing. The variable `IDEMBED_PYTHON` names one of
/// the user's own.
///
/// # Errors
/// When Python, pip, the network or the disk fails.
pub(crate) fn python() -> Result<OsString> {
    if let Some(own) = std::env::var_os("IDEMBED_PYTHON").filter(|program| !program.is_empty()) {
        let own = if Path::new(&own).components().count() > 1 { std::path::absolute(own)?.into() } else { own };
        check_imports(&Python::at(own.clone()))?;
        return Ok(own);
    }
    let root = workspace::root();
    let folder = root.join(".python");
    let program = folder.join("env/bin/python");
    let requirements = Requirements::read(&root.join("tests/fixtures"))?;
    let wanted = requirements.text.clone();
    let is_ready = || stamp::read(&folder.join("installed.json")).as_ref() == Some(&wanted) && program.exists();
    if is_ready() {
        return Ok(program.into());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let _lock = lock::take(&folder.join("lock"))?;
    if !is_ready() {
        install(&folder, &program, &requirements)?;
        stamp::write(&folder.join("installed.json"), &wanted)?;
    }
    Ok(program.into())
}

/// The pinned packages.
struct Requirements {
    /// With all that they need.
    whole: PathBuf,
    /// Without: what their pins ask for is older than everything else here, and not needed.
    alone: PathBuf,
    /// What both files say.
    text: String,
}

impl Requirements {
    fn read(folder: &Path) -> Result<Self> {
        let [whole, alone] = ["requirements.txt", "requirements-alone.txt"].map(|name| folder.join(name));
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()));
        let text = read(&whole)? + &read(&alone)?;
        Ok(Self { whole, alone, text })
    }
}

fn install(folder: &Path, program: &Path, requirements: &Requirements) -> Result<()> {
    disk::require(folder, 9 * GIB, "the Python reference")?;
    eprintln!("installing the Python reference (about 3 GB to download, 5 GB on disk, once) in `{}`", folder.display());
    stamp::remove(&folder.join("installed.json"))?;
    let host = Python::find()?;
    let version = host.version()?;
    require_version(version)?;
    // An environment that a cut run left behind is kept: pip goes on with what is missing.
    let python = Python::at(program);
    if python.version().ok() != Some(version) {
        make_environment(&host, &folder.join("env"))?;
    }
    let temporary = tempfile::Builder::new().prefix("tmp-").tempdir_in(folder)?;
    let install = ["install", "--requirement"].map(OsStr::new);
    python.pip(&[install[0], install[1], requirements.whole.as_os_str()], temporary.path())?;
    let alone = [install[0], OsStr::new("--no-deps"), install[1], requirements.alone.as_os_str()];
    python.pip(&alone, temporary.path())?;
    check_imports(&python)
}

/// The pinned packages have wheels for these versions of Python.
fn require_version(version: (u32, u32)) -> Result<()> {
    let (major, minor) = version;
    if major == 3 && (11..=14).contains(&minor) {
        return Ok(());
    }
    let message = format!("the Python reference needs Python 3.11 to 3.14, this is {major}.{minor}");
    Err(Hinted::new(message, "set PYTHON to a fitting interpreter, or IDEMBED_PYTHON to one that has the packages of `tests/fixtures/requirements*.txt`").into())
}

fn make_environment(host: &Python, folder: &Path) -> Result<()> {
    let status = workspace::status(
        Command::new(host.program()).args(["-m", "venv", "--clear"]).arg(folder).stdin(Stdio::null()),
    )?;
    if !status.success() {
        let message = format!("`{} -m venv` failed ({status})", host.program().display());
        return Err(Hinted::new(message, "on Debian and Ubuntu: `apt install python3-venv`").into());
    }
    Ok(())
}

fn check_imports(python: &Python) -> Result<()> {
    let output = Command::new(python.program())
        .args(["-c", "import torch, diffusers, transformers, facenet_pytorch, dlib"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", python.program().display()))?;
    ensure!(
        output.status.success(),
        "`{}` cannot import torch, diffusers, transformers, facenet_pytorch and dlib: {}",
        python.program().display(),
        String::from_utf8_lossy(&output.stderr).trim_end().lines().last().unwrap_or("no message")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_without_wheels_are_refused() {
        require_version((3, 11)).unwrap();
        require_version((3, 14)).unwrap();
        for version in [(2, 7), (3, 10), (3, 15)] {
            assert!(require_version(version).is_err(), "{version:?}");
        }
    }
}
