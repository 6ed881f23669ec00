//! The host's Python: found, and its pip run with failures explained.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::hint::Hinted;

/// A Python interpreter.
pub struct Python {
    program: OsString,
}

impl Python {
    /// The interpreter named by the variable `PYTHON`, else `python3`, else `python`.
    ///
    /// # Errors
    /// When none can be started.
    pub fn find() -> Result<Self> {
        let chosen = std::env::var_os("PYTHON").filter(|program| !program.is_empty());
        let candidates =
            chosen.clone().map_or_else(|| vec!["python3".into(), "python".into()], |program| vec![program]);
        for program in candidates {
            let python = Self { program };
            if python.version().is_ok() {
                return Ok(python);
            }
        }
        let message = chosen.map_or_else(
            || "no Python was found: neither `python3` nor `python` runs".to_owned(),
            |program| format!("the Python named by PYTHON does not run: `{}`", program.display()),
        );
        Err(Hinted::new(message, "install Python 3 with pip (Debian, Ubuntu: `apt install python3-pip python3-venv`), or set PYTHON to an interpreter").into())
    }

    /// The interpreter at a known place.
    pub fn at(program: impl Into<OsString>) -> Self {
        Self { program: program.into() }
    }

    /// The program to start.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Major and minor version.
    ///
    /// # Errors
    /// When the interpreter does not run.
    pub fn version(&self) -> Result<(u32, u32)> {
        let output = Command::new(&self.program)
            .args(["-c", "import sys; print(*sys.version_info[:2])"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
        numbers
            .next()
            .zip(numbers.next())
            .with_context(|| format!("`{}` is not a working Python", self.program.display()))
    }

    /// Runs `pip` with the temporary folder `temporary`; its output is shown as it comes.
    ///
    /// # Errors
    /// When pip is missing or fails, with a hint where the cause is known.
    pub fn pip<S: AsRef<OsStr>>(&self, arguments: &[S], temporary: &Path) -> Result<()> {
        let mut command = Command::new(&self.program);
        command
            .args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
            .args(arguments)
            // pip keeps whole wheels there, and the system's own folder for temporary files is often small.
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                said.push_str(&line);
                said.push('\n');
            }
        }
        let status = child.wait().context("cannot wait for pip")?;
        if status.success() {
            return Ok(());
        }
        let verb = arguments.first().map(AsRef::as_ref).unwrap_or_default();
        let (message, hint) = explain(&said);
        let message = format!("`{} -m pip {}` failed ({status}): {message}", self.program.display(), verb.display());
        Err(Hinted::new(message, hint).into())
    }
}

/// What went wrong, judged by what pip wrote to its error stream, and what to do.
fn explain(said: &str) -> (&'static str, &'static str) {
    const NETWORK: [&str; 12] = [
        "NewConnectionError",
        "Failed to establish a new connection",
        "NameResolutionError",
        "name resolution",
        "ConnectTimeout",
        "ReadTimeout",
        "Read timed out",
        "ProxyError",
        "SSLError",
        "Connection broken",
        "ConnectionResetError",
        "IncompleteRead",
    ];
    if said.contains("No module named pip") {
        return (
            "this Python has no pip",
            "install it (`apt install python3-pip`, or `python3 -m ensurepip --user`), or set PYTHON to a Python that has pip",
        );
    }
    if said.contains("No space left on device") || said.contains("Errno 28") {
        return ("the disk is full", "free some space and run the same command again; finished downloads are kept");
    }
    if NETWORK.iter().any(|needle| said.contains(needle)) {
        return (
            "the package index cannot be reached",
            "check the network (and HTTPS_PROXY, PIP_INDEX_URL if you use them) and run the same command again; finished downloads are kept",
        );
    }
    if said.contains("no such option") || said.contains("can only be specified once") {
        return (
            "this pip is too old",
            "upgrade it: `python3 -m pip install --upgrade pip`, or set PYTHON to a newer Python",
        );
    }
    if said.contains("DO NOT MATCH THE HASHES") {
        return ("a download arrived damaged", "run the same command again");
    }
    if said.contains("(from versions: none)") {
        return (
            "the package index has no fitting wheel, or cannot be reached",
            "check the network; if pip uses an index of your own (`pip config list`), see that it offers the wheels named above",
        );
    }
    if said.contains("No matching distribution found") {
        return (
            "the package index has no fitting wheel",
            "if pip uses an index of your own (`pip config list`), see that it offers the wheels named above",
        );
    }
    ("see its message above", "run the same command again; finished downloads are kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_from_the_words_of_pip() {
        assert_eq!(explain("/usr/bin/python3: No module named pip").0, "this Python has no pip");
        assert_eq!(explain("ERROR: Could not install: [Errno 28] No space left on device").0, "the disk is full");
        let offline = "WARNING: Retrying ... NewConnectionError(...): [Errno -3] Temporary failure in name resolution\n\
            ERROR: No matching distribution found for torch==2.11.0";
        assert_eq!(explain(offline).0, "the package index cannot be reached");
        assert_eq!(
            explain("ERROR: No matching distribution found for torch==2.11.0").0,
            "the package index has no fitting wheel"
        );
        let empty =
            "ERROR: Could not find a version that satisfies the requirement torch==2.11.0 (from versions: none)";
        assert_eq!(explain(empty).0, "the package index has no fitting wheel, or cannot be reached");
        assert_eq!(explain("no such option: --implementation").0, "this pip is too old");
        assert_eq!(explain("Killed").0, "see its message above");
    }
}
