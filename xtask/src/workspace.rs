//! Where things are in the repository, and how to call cargo there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result};

use crate::hint::Hinted;

/// The folder of the repository.
pub fn root() -> PathBuf {
    // The variable is set by `cargo run`; the constant serves a binary started by hand.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap_or(&package).to_path_buf()
}

/// The option of cargo for packages that are compiled without libtorch, before it is there: leaves out the look for it.
pub const WITHOUT_LIBTORCH: &str = "--config=build.rustc-wrapper=''";

/// A cargo command in the repository with the environment of a plain shell; what it runs computes with
/// [one thread](one_thread).
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // `cargo run` put it there from `.cargo/config.toml`; the inner cargo does that again by itself.
    if own_libtorch().is_none() {
        command.env_remove("LIBTORCH");
    }
    one_thread(&mut command);
    command
}

/// Gives a program one thread of libtorch, unless the user chose another number.
///
/// More would wait for each other in every layer, and on cores that others keep busy they wait long.
pub fn one_thread(command: &mut Command) {
    const THREADS: &str = "OMP_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        command.env(THREADS, "1");
    }
}

/// Runs a command that shares this terminal.
///
/// # Errors
/// When the program cannot be started; a failed run is in the status.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot start `{}`", command.get_program().display()))
}

/// The folder of the libtorch in use.
///
/// # Errors
/// When only Python knows it.
pub fn libtorch() -> Result<PathBuf> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        let hint = "set LIBTORCH instead, to what `python3 -c 'import torch; print(torch.__path__[0])'` prints";
        return Err(Hinted::new("LIBTORCH_USE_PYTORCH does not say where libtorch is", hint).into());
    }
    let own = std::env::var_os("LIBTORCH").filter(|_| own_libtorch().is_some());
    let folder = own.map_or_else(|| root().join(".libtorch/torch"), PathBuf::from);
    std::path::absolute(&folder).with_context(|| format!("not a path: `{}`", folder.display()))
}

/// What the user chose instead of the libtorch in `.libtorch`, as `NAME=value`.
pub fn own_libtorch() -> Option<String> {
    own_choice(std::env::var_os("LIBTORCH").as_deref(), std::env::var_os("LIBTORCH_USE_PYTORCH").as_deref(), &root())
}

/// [`own_libtorch`] of the given environment. The default that cargo sets is not a choice of the user.
fn own_choice(libtorch: Option<&OsStr>, use_pytorch: Option<&OsStr>, root: &Path) -> Option<String> {
    if let Some(value) = use_pytorch {
        return Some(format!("LIBTORCH_USE_PYTORCH={}", value.display()));
    }
    let value = libtorch?;
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let path = Path::new(value);
    let is_default = path.ends_with(".libtorch/torch")
        && path.ancestors().nth(2).is_some_and(|folder| canonical(folder) == canonical(root));
    (!is_default).then(|| format!("LIBTORCH={}", value.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_cargo_is_not_a_choice_of_the_user() {
        let root = root();
        let default = root.join(".libtorch/torch");
        assert_eq!(own_choice(Some(default.as_os_str()), None, &root), None);
        assert_eq!(own_choice(None, None, &root), None);
    }

    #[test]
    fn programs_get_one_thread_unless_the_user_chose() {
        let command = cargo();
        let given = command.get_envs().find(|(name, _)| *name == "OMP_NUM_THREADS").map(|(_, value)| value);
        let chosen = std::env::var_os("OMP_NUM_THREADS").is_some();
        assert_eq!(given, (!chosen).then_some(Some(OsStr::new("1"))));
    }

    #[test]
    fn another_folder_or_the_use_of_pytorch_is_a_choice() {
        let root = root();
        let elsewhere = own_choice(Some(OsStr::new("/opt/libtorch")), None, &root);
        assert_eq!(elsewhere.as_deref(), Some("LIBTORCH=/opt/libtorch"));
        let other_clone = own_choice(Some(OsStr::new("/opt/.libtorch/torch")), None, &root);
        assert_eq!(other_clone.as_deref(), Some("LIBTORCH=/opt/.libtorch/torch"));
        let default = root.join(".libtorch/torch");
        let pytorch = own_choice(Some(default.as_os_str()), Some(OsStr::new("1")), &root);
        assert_eq!(pytorch.as_deref(), Some("LIBTORCH_USE_PYTORCH=1"));
    }
}
