//! `cargo xtask setup --for DIR`: what programs in another folder need that import crates of this repository.
//!
//! A crate that is a dependency cannot tell cargo how to link the program, and the configuration of this repository holds
//! here only. So `DIR/.cargo/config.toml` gets two settings: `LIBTORCH`, with which the crates compile, and the run path,
//! with which the program starts.

mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use toml_edit::DocumentMut;

use crate::hint::Hinted;
use crate::{atomic, workspace};
use settings::Settings;

/// A folder with a program, or several, that import crates of this repository.
#[derive(Debug)]
pub(crate) struct Importer {
    folder: PathBuf,
}

impl Importer {
    /// Looks at the folder; nothing is written yet.
    ///
    /// # Errors
    /// When it is no folder, or one of this repository.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        if !folder.exists() {
            let hint = format!("`cargo new {shown}` makes a program there");
            return Err(Hinted::new(format!("there is no folder `{shown}`"), hint).into());
        }
        if !folder.is_dir() {
            let hint = "give the folder of the program, in which its Cargo.toml is";
            return Err(Hinted::new(format!("`{shown}` is not a folder"), hint).into());
        }
        let folder = folder.canonicalize().with_context(|| format!("cannot open the folder `{shown}`"))?;
        let root = workspace::root().canonicalize().context("cannot open the folder of the repository")?;
        ensure!(!folder.starts_with(root), "`{shown}` is in this repository, which has its own settings already");
        Ok(Self { folder })
    }

    /// Writes what is missing of the settings that name the libtorch in the folder `libtorch`; what else is in the file
    /// stays as it is.
    ///
    /// # Errors
    /// When there is no libtorch, or the settings that are there contradict it or cannot be understood.
    pub(crate) fn write(&self, libtorch: &Path) -> Result<()> {
        ensure!(holds_libtorch(libtorch), "there is no libtorch in `{}`", libtorch.display());
        let path = config_file(&self.folder.join(".cargo"));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.with_context(|| format!("cannot read `{}`", path.display()))?),
        };
        let mut settings = Settings {
            own: parse(text.as_deref().unwrap_or_default(), &path)?,
            outer: self.outer(),
            host: host()?,
            folder: self.folder.clone(),
        };
        settings.add(libtorch).with_context(|| format!("cannot add libtorch to `{}`", path.display()))?;
        let new = settings.own.to_string();
        if text.as_deref() == Some(new.as_str()) {
            eprintln!("`{}` is as it should be", path.display());
        } else {
            let new = if text.is_none() { format!("{INTRODUCTION}{new}") } else { new };
            create_folder(&path)?;
            atomic::write(&path, new.as_bytes())?;
            eprintln!("`{}` names libtorch to the programs in `{}`", path.display(), self.folder.display());
        }
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            if std::env::var_os(variable).is_some() {
                eprintln!("note: {variable} is set; where it is, cargo ignores the run path in the file");
            }
        }
        Ok(())
    }

    /// The other files from which cargo takes settings for the folder. What is wrong in them, cargo says itself.
    fn outer(&self) -> Vec<DocumentMut> {
        let parents = self.folder.ancestors().skip(1).map(|parent| parent.join(".cargo"));
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let texts = parents.chain(home).filter_map(|folder| fs::read_to_string(config_file(&folder)).ok());
        texts.filter_map(|text| text.parse().ok()).collect()
    }
}

const INTRODUCTION: &str =
    "# Written by `cargo xtask setup --for`: where libtorch is, to compile with and to run with.\n\n";

/// Whether the header is there with which everything begins, as the crates look for it.
fn holds_libtorch(folder: &Path) -> bool {
    folder.join("include/torch/csrc/api/include/torch/torch.h").exists()
}

/// The file that cargo reads in a folder `.cargo`: if both are there, the one with the old name.
fn config_file(folder: &Path) -> PathBuf {
    let old = folder.join("config");
    let path = if old.is_file() { old } else { folder.join("config.toml") };
    // A link stays one; what it leads to is rewritten.
    path.canonicalize().unwrap_or(path)
}

fn parse(text: &str, path: &Path) -> Result<DocumentMut> {
    text.parse().with_context(|| format!("cannot understand `{}`", path.display()))
}

fn create_folder(file: &Path) -> Result<()> {
    let folder = file.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// The target that cargo compiles for when none is named.
fn host() -> Result<String> {
    let output = workspace::cargo().arg("-vV").output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("cargo does not say for which target it compiles")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint;

    /// A folder for programs beside one with what passes for a libtorch.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let (program, libtorch) = (place.path().join("program"), place.path().join("lib torch"));
        fs::create_dir(&program).unwrap();
        let header = libtorch.join("include/torch/csrc/api/include/torch/torch.h");
        create_folder(&header).unwrap();
        fs::write(header, "").unwrap();
        (place, program, libtorch)
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let (_place, program, libtorch) = place();
        let importer = Importer::new(&program).unwrap();
        importer.write(&libtorch).unwrap();
        let path = program.join(".cargo/config.toml");
        let written = fs::read_to_string(&path).unwrap();
        let settings: DocumentMut = written.parse().unwrap();
        assert_eq!(settings["env"]["LIBTORCH"].as_str(), libtorch.to_str());
        assert!(written.starts_with("# Written by") && written.contains("/lib torch/lib\""), "{written}");
        let modified = || fs::metadata(&path).unwrap().modified().unwrap();
        let before = modified();
        importer.write(&libtorch).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), modified()), (written, before));
        assert_eq!(fs::read_dir(program.join(".cargo")).unwrap().count(), 1);
    }

    #[test]
    fn the_file_that_cargo_reads_is_written_even_behind_a_link() {
        let (place, program, libtorch) = place();
        fs::create_dir(program.join(".cargo")).unwrap();
        let shared = place.path().join("shared.toml");
        fs::write(&shared, "[net]\noffline = true\n").unwrap();
        std::os::unix::fs::symlink(&shared, program.join(".cargo/config")).unwrap();
        Importer::new(&program).unwrap().write(&libtorch).unwrap();
        let written = fs::read_to_string(&shared).unwrap();
        assert!(written.starts_with("[net]\noffline = true\n") && written.contains("LIBTORCH"), "{written}");
        assert!(program.join(".cargo/config").is_symlink() && !program.join(".cargo/config.toml").exists());
    }

    #[test]
    fn what_is_no_folder_for_programs_is_refused() {
        let (place, program, libtorch) = place();
        let fails = |folder: &Path, expected: &str| {
            let error = hint::render(&Importer::new(folder).unwrap_err());
            assert!(error.contains(expected), "no `{expected}` in {error}");
        };
        fails(&place.path().join("nowhere"), "hint: `cargo new ");
        fs::write(program.join("Cargo.toml"), "").unwrap();
        fails(&program.join("Cargo.toml"), "Cargo.toml` is not a folder");
        fails(&workspace::root(), "is in this repository");
        fails(&workspace::root().join("xtask/../tests"), "is in this repository");

        let importer = Importer::new(&program).unwrap();
        let error = importer.write(&libtorch.join("lib")).unwrap_err();
        assert!(error.to_string().starts_with("there is no libtorch in `"), "{error}");
        assert!(!program.join(".cargo").exists());
    }

    #[test]
    fn a_file_that_cannot_be_understood_stays_as_it_is() {
        let (_place, program, libtorch) = place();
        let path = program.join(".cargo/config.toml");
        create_folder(&path).unwrap();
        for (text, expected) in [("[env\n", "cannot understand `"), ("env = 3\n", "`env` is not a table")] {
            fs::write(&path, text).unwrap();
            let error = hint::render(&Importer::new(&program).unwrap().write(&libtorch).unwrap_err());
            assert!(error.contains(expected), "no `{expected}` in {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
