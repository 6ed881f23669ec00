//! Results on the standard output, and files that are not overwritten by accident.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::failure::Hinted;
use crate::logging;

/// Prints one line of the result.
///
/// A reader that went away (`| head`) is no error.
pub(crate) fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    match logging::bars().suspend(|| writeln!(io::stdout(), "{text}")) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the result"),
        _ => Ok(()),
    }
}

/// Prints the result as one JSON object, its keys in the order of the alphabet.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_value(value)?)
}

/// A path as JSON can hold it: what is not Unicode in it is replaced.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Prints names and values below each other, the values aligned.
pub(crate) fn table<K: AsRef<str>, V: AsRef<str>>(rows: &[(K, V)]) -> anyhow::Result<()> {
    let width = rows.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0);
    rows.iter().try_for_each(|(name, value)| line(format_args!("{:width$}  {}", name.as_ref(), value.as_ref())))
}

/// Checks that a folder can be made or written to, without making it.
pub(crate) fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let nearest = folder.ancestors().map(or_here).find(|folder| folder.exists());
    match nearest {
        Some(nearest) if nearest.is_dir() => Ok(()),
        Some(file) => Err(Hinted::new(
            format!("`{}` cannot be a folder: `{}` is a file", folder.display(), file.display()),
            "give another place with --out",
        )
        .into()),
        None => Ok(()),
    }
}

/// Makes a folder with all above it.
pub(crate) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// Checks that a file can be written at `path`: its folder exists, and nothing is in the way unless `force`.
pub(crate) fn check_new_file(path: &Path, force: bool) -> anyhow::Result<()> {
    let shown = path.display();
    let folder = or_here(path.parent().unwrap_or(Path::new("")));
    if !folder.is_dir() {
        let message = format!("cannot write `{shown}`: there is no folder `{}`", folder.display());
        return Err(Hinted::new(message, "make the folder first").into());
    }
    if path.is_dir() {
        return Err(Hinted::new(format!("cannot write `{shown}`: it is a folder"), "name a file in it").into());
    }
    if path.exists() && !force {
        return Err(Hinted::new(format!("`{shown}` is there already"), "use --force to replace it").into());
    }
    Ok(())
}

/// Checks that no file that is to be written is one that is read, whatever their paths say.
pub(crate) fn check_inputs_stay<O: AsRef<Path>, I: AsRef<Path>>(
    outputs: impl IntoIterator<Item = O>,
    inputs: &[I],
) -> anyhow::Result<()> {
    for output in outputs {
        let output = output.as_ref();
        // A file that is not there yet is no input.
        let lost = inputs.iter().find(|input| same_file::is_same_file(output, input.as_ref()).unwrap_or(false));
        if let Some(input) = lost {
            let message = format!(
                "`{}` would be replaced, but it is read: it is the same file as `{}`",
                output.display(),
                input.as_ref().display()
            );
            return Err(Hinted::new(message, "write to another file").into());
        }
    }
    Ok(())
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    idembed_files::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

/// The path with something added to its file name.
pub(crate) fn with_added(path: &Path, added: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(added);
    PathBuf::from(name)
}

/// `.` for an empty path.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// The most memory that this process has used so far, in MiB; `None` where the system does not tell.
pub(crate) fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_needs_a_folder_and_a_free_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        check_new_file(&file, false).unwrap();
        std::fs::write(&file, b"").unwrap();
        assert!(check_new_file(&file, false).is_err());
        check_new_file(&file, true).unwrap();
        assert!(check_new_file(folder.path(), true).is_err());
        assert!(check_new_file(&folder.path().join("missing/file"), true).is_err());
        check_new_file(Path::new("no-such-file-here"), false).unwrap();
    }

    #[test]
    fn a_folder_cannot_be_below_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        check_folder(&folder.path().join("a/b/c")).unwrap();
        assert!(check_folder(&file).is_err());
        assert!(check_folder(&file.join("below")).is_err());
        check_folder(Path::new("out")).unwrap();
        assert!(!folder.path().join("a").exists());
    }

    #[cfg(unix)]
    #[test]
    fn an_input_is_no_output_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("photo"), b"").unwrap();
        std::fs::write(at("other"), b"").unwrap();
        std::fs::create_dir(at("below")).unwrap();
        std::os::unix::fs::symlink(at("photo"), at("link")).unwrap();
        std::fs::hard_link(at("photo"), at("second")).unwrap();
        for output in ["photo", "link", "second", "below/../photo"].map(at) {
            let error = check_inputs_stay([&output], &[at("other"), at("photo")]).unwrap_err();
            assert!(error.to_string().contains("the same file as"), "{error}");
        }
        check_inputs_stay([at("new"), at("other")], &[at("photo"), at("missing")]).unwrap();
    }

    #[test]
    fn something_is_added_to_a_name() {
        assert_eq!(with_added(Path::new("a/me.safetensors"), ".ckpt"), Path::new("a/me.safetensors.ckpt"));
    }
}
