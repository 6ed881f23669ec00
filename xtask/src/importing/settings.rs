//! The two settings in cargo's configuration, beside whatever else is there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::holds_libtorch;
use crate::hint::Hinted;

/// Cargo's configuration of a folder.
pub(super) struct Settings {
    /// The file that is to be changed.
    pub(super) own: DocumentMut,
    /// The files with which cargo merges it.
    pub(super) outer: Vec<DocumentMut>,
    /// The target that cargo compiles for when none is named.
    pub(super) host: String,
    /// The folder to which relative paths in the file belong.
    pub(super) folder: PathBuf,
}

impl Settings {
    /// Adds what is missing of `LIBTORCH` and the run path.
    ///
    /// A libtorch that is named already stays, and the run path leads to it.
    ///
    /// # Errors
    /// When what is there contradicts it or is no setting that cargo understands.
    pub(super) fn add(&mut self, libtorch: &Path) -> Result<()> {
        let libtorch = self.add_variable(text(libtorch)?)?;
        self.add_run_path(&format!("-Clink-arg=-Wl,-rpath,{libtorch}/lib"))
    }

    /// Sets `LIBTORCH` if it is not set; gives the folder that it names.
    fn add_variable(&mut self, libtorch: &str) -> Result<String> {
        let env = table(self.own.as_table_mut(), "env", false)?;
        let Some(there) = env.get("LIBTORCH") else {
            env.insert("LIBTORCH", toml_edit::value(libtorch));
            return Ok(libtorch.to_owned());
        };
        let field = |key| there.as_table_like().and_then(|table| table.get(key));
        let value = there.as_str().or_else(|| field("value")?.as_str()).context("`env.LIBTORCH` names no folder")?;
        let is_relative = field("relative").and_then(Item::as_bool).unwrap_or(false);
        let folder = if is_relative { self.folder.join(value) } else { PathBuf::from(value) };
        if folder == Path::new(libtorch) || folder.is_absolute() && holds_libtorch(&folder) {
            return Ok(text(&folder)?.to_owned());
        }
        let message = format!("`env.LIBTORCH` is set to `{value}`, where no libtorch is");
        Err(Hinted::new(message, "remove that setting, and the same command writes it anew").into())
    }

    /// Adds `flag` to the list of flags that cargo takes.
    fn add_run_path(&mut self, flag: &str) -> Result<()> {
        let path = self.list_in_use()?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = format!("`{}.rustflags`", path.join("."));
        let is_text = |document: &DocumentMut| rustflags(document, &path).is_some_and(Item::is_str);
        if rustflags(&self.own, &path).is_none() && self.outer.iter().any(is_text) {
            let message = format!("{name} is a text in another file of cargo's");
            return Err(Hinted::new(message, "make it a list there: cargo joins lists, but not texts").into());
        }
        let mut at: &mut dyn TableLike = self.own.as_table_mut();
        for (depth, key) in path.iter().enumerate() {
            at = table(at, key, depth + 1 < path.len())?;
        }
        match at.get_mut("rustflags") {
            None => {
                at.insert("rustflags", toml_edit::value(Array::from_iter([flag])));
            }
            Some(Item::Value(Value::Array(flags))) => push(flags, flag),
            Some(item) => {
                let there = item.as_str().with_context(|| format!("{name} is no list"))?;
                if there.split_whitespace().any(|word| word == flag) {
                    return Ok(());
                }
                if flag.contains(char::is_whitespace) {
                    let message = format!("{name} is a text, and the path of libtorch has spaces");
                    return Err(Hinted::new(message, "make it a list").into());
                }
                *item = toml_edit::value(format!("{there} {flag}"));
            }
        }
        Ok(())
    }

    /// Where cargo takes flags from: `target.<host>`, joined with each `target.'cfg(...)'` that fits, or, if neither has
    /// any, `build`.
    fn list_in_use(&self) -> Result<Vec<String>> {
        let documents = || std::iter::once(&self.own).chain(&self.outer);
        let for_host = documents().any(|document| rustflags(document, &["target", &self.host]).is_some());
        let for_all = documents().any(|document| rustflags(document, &["build"]).is_some());
        if for_host || !for_all {
            return Ok(vec!["target".to_owned(), self.host.clone()]);
        }
        // Whether a condition fits, only the compiler knows.
        let mut targets = documents().filter_map(|document| document.get("target")?.as_table_like());
        if targets
            .any(|table| table.iter().any(|(key, item)| key.starts_with("cfg(") && item.get("rustflags").is_some()))
        {
            let message = "there are `rustflags` for `[build]` and for a `cfg(...)`, of which cargo takes one";
            let hint = format!(
                "move those of `[build]` to `[target.{}]`: cargo joins these with those of `cfg(...)`",
                self.host
            );
            return Err(Hinted::new(message, hint).into());
        }
        Ok(vec!["build".to_owned()])
    }
}

/// The flags of a table.
fn rustflags<'a>(document: &'a DocumentMut, path: &[&str]) -> Option<&'a Item> {
    path.iter().try_fold(document.as_item(), |item, key| item.get(key))?.get("rustflags")
}

/// The table of this name, made if it is missing; a `bare` one without a header of its own.
fn table<'a>(parent: &'a mut dyn TableLike, name: &str, bare: bool) -> Result<&'a mut dyn TableLike> {
    let mut new = Table::new();
    new.set_implicit(bare);
    match parent.entry(name).or_insert(Item::Table(new)).as_table_like_mut() {
        Some(table) => Ok(table),
        None => bail!("`{name}` is not a table"),
    }
}

/// Appends a flag, set like the one before it, unless it is there.
fn push(flags: &mut Array, flag: &str) {
    if flags.iter().any(|there| there.as_str() == Some(flag)) {
        return;
    }
    let before = flags.iter().last().and_then(|last| last.decor().prefix()?.as_str()).unwrap_or_default();
    let prefix = match before.rsplit_once('\n') {
        Some((_, indent)) => format!("\n{indent}"),
        None => String::from(if flags.is_empty() { "" } else { " " }),
    };
    flags.push_formatted(Value::from(flag).decorated(prefix, ""));
}

/// Cargo's files are Unicode.
fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path `{}` is not Unicode", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint;

    const FLAG: &str = "-Clink-arg=-Wl,-rpath,/lt/lib";

    /// The file `own` among `outer` ones after both settings were added.
    fn added(own: &str, outer: &[&str]) -> Result<String> {
        let mut settings = Settings {
            own: own.parse().unwrap(),
            outer: outer.iter().map(|text| text.parse().unwrap()).collect(),
            host: "x86_64-unknown-linux-gnu".to_owned(),
            folder: PathBuf::from("/program"),
        };
        settings.add(Path::new("/lt"))?;
        let once = settings.own.to_string();
        settings.add(Path::new("/lt"))?;
        assert_eq!(settings.own.to_string(), once, "a second time adds nothing");
        Ok(once)
    }

    fn refused(own: &str, outer: &[&str], expected: &[&str]) {
        let error = hint::render(&added(own, outer).unwrap_err());
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }

    const ENV: &str = "[env]\nLIBTORCH = \"/lt\"\n";

    #[test]
    fn an_empty_file_gets_both() {
        let expected = format!("{ENV}\n[target.x86_64-unknown-linux-gnu]\nrustflags = [\"{FLAG}\"]\n");
        assert_eq!(added("", &[]).unwrap(), expected);
    }

    #[test]
    fn what_is_there_is_kept() {
        let own = "# mine\n[alias]\nb = \"build\" # short\n\n[env]\nA = { value = \"x\", relative = true }\n\n\
            [target.x86_64-unknown-linux-gnu]\nlinker = \"clang\"\nrustflags = [\n  # fast\n  \"-Clink-arg=-fuse-ld=mold\",\n]\n";
        let expected = "# mine\n[alias]\nb = \"build\" # short\n\n[env]\nA = { value = \"x\", relative = true }\nLIBTORCH = \"/lt\"\n\n\
            [target.x86_64-unknown-linux-gnu]\nlinker = \"clang\"\nrustflags = [\n  # fast\n  \"-Clink-arg=-fuse-ld=mold\",\n  \"FLAG\",\n]\n";
        assert_eq!(added(own, &[]).unwrap(), expected.replace("FLAG", FLAG));
    }

    #[test]
    fn the_run_path_joins_the_flags_that_cargo_takes() {
        let build = "[build]\nrustflags = [\"-Ctarget-cpu=native\"]\n";
        let for_host = "[target.x86_64-unknown-linux-gnu]\nrustflags = []\n";
        let for_other = "[target.aarch64-unknown-none]\nrustflags = []\n";
        let in_build = format!("rustflags = [\"-Ctarget-cpu=native\", \"{FLAG}\"]");
        let alone = format!("rustflags = [\"{FLAG}\"]");
        let has = |own: &str, outer: &[&str], table: &str, line: &str| {
            let text = added(own, outer).unwrap();
            assert!(text.contains(&format!("[{table}]\n{line}\n")), "{text}");
        };
        has(build, &[], "build", &in_build);
        has(&format!("{build}{for_other}"), &[], "build", &in_build);
        has(&format!("{build}{for_host}"), &[], "target.x86_64-unknown-linux-gnu", &alone);
        has("", &[for_host, build], "target.x86_64-unknown-linux-gnu", &alone);
        // The outer list of `[build]` would count no more beside one for the host.
        has("", &["", build], "build", &alone);
        has("[build]\nrustflags = \"-g -O\"\n", &[], "build", &format!("rustflags = \"-g -O {FLAG}\""));
        has("env.A = \"1\"\nbuild = { jobs = 2 }\n", &[], "target.x86_64-unknown-linux-gnu", &alone);
    }

    #[test]
    fn flags_that_would_not_be_taken_are_refused() {
        let build = "[build]\nrustflags = \"-g\"\n";
        let expected =
            ["of which cargo takes one", "hint: move those of `[build]` to `[target.x86_64-unknown-linux-gnu]`"];
        refused(build, &["[target.'cfg(unix)']\nrustflags = []\n"], &expected);
        refused("", &[build], &["`build.rustflags` is a text in another file", "hint: make it a list there"]);
        refused("[build]\nrustflags = 3\n", &[], &["`build.rustflags` is no list"]);
        refused("target = []\n", &[], &["`target` is not a table"]);
    }

    #[test]
    fn another_libtorch_is_kept_if_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let header = folder.path().join("lib torch/include/torch/csrc/api/include/torch/torch.h");
        std::fs::create_dir_all(header.parent().unwrap()).unwrap();
        std::fs::write(&header, "").unwrap();
        let own = "[env]\nLIBTORCH = { value = \"lib torch\", relative = true }\n";
        let settings = |own: &str| Settings {
            own: own.parse().unwrap(),
            outer: Vec::new(),
            host: "host".to_owned(),
            folder: folder.path().to_path_buf(),
        };
        let mut with_one = settings(own);
        with_one.add(Path::new("/lt")).unwrap();
        let text = with_one.own.to_string();
        let run_path = format!(
            "[target.host]\nrustflags = [\"-Clink-arg=-Wl,-rpath,{}/lib torch/lib\"]\n",
            folder.path().display()
        );
        assert_eq!(text, format!("{own}\n{run_path}"));

        // A text cannot hold a path with a space.
        let error = settings(&format!("{own}[build]\nrustflags = \"-g\"\n")).add(Path::new("/lt")).unwrap_err();
        assert!(hint::render(&error).ends_with("has spaces\n\nhint: make it a list\n"), "{error}");
        let expected = ["is set to `/gone`, where no libtorch is", "hint: remove that setting"];
        refused("[env]\nLIBTORCH = \"/gone\"\n", &[], &expected);
        refused("[env]\nLIBTORCH = 3\n", &[], &["`env.LIBTORCH` names no folder"]);
    }
}
