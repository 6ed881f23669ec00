//! Running `idembed` in a folder of its own, and looking at what it said and left behind.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The portrait that the tests learn from.
pub(crate) fn portrait() -> PathBuf {
    mini().join("portraits/person3_a.png")
}

/// The face in [`portrait`].
pub(crate) fn portrait_mask() -> PathBuf {
    mini().join("portraits/person3_a_mask.png")
}

/// The bundled model.
pub(crate) fn mini() -> PathBuf {
    idembed_integration_tests::mini_model().canonicalize().unwrap()
}

/// The program, built before the first use: no test can ask cargo for a binary of another package.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let flags: &[&str] = match profile.file_name().and_then(OsStr::to_str) {
            Some("debug") => &[],
            Some("release") => &["--release"],
            other => panic!("tests run from the unknown profile {other:?}"),
        };
        let mut cargo = Command::new(env!("CARGO"));
        // The whole workspace is named because the tests were compiled so: with the same features, nothing is compiled twice.
        cargo.args(["build", "--quiet", "--workspace", "--bin", "idembed"]).args(flags);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        assert!(
            cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(),
            "the program does not build"
        );
        profile.join("idembed")
    })
}

/// A folder to run the program in.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, ready to run here. One thread: tests run beside each other.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, args: &[I]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("OMP_NUM_THREADS", "1").env_remove("IDEMBED_MODELS").env_remove("IDEMBED_LOG");
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<I: AsRef<OsStr>>(&self, args: &[I]) -> Said {
        Said::from(self.command(args).output().unwrap())
    }

    /// Runs the program and expects success; gives what it printed.
    pub(crate) fn succeeds<I: AsRef<OsStr>>(&self, args: &[I]) -> String {
        let said = self.run(args);
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        said.stdout
    }

    /// Runs the program with `--json` and expects exactly one object.
    pub(crate) fn json<I: AsRef<OsStr>>(&self, args: &[I]) -> Value {
        let mut args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        args.push(OsStr::new("--json"));
        let stdout = self.succeeds(&args);
        let value: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
        assert!(value.is_object(), "{stdout}");
        value
    }

    /// Runs the program and expects a clear error: this status, these texts, nothing on the standard output, and no
    /// file more or less than before.
    pub(crate) fn fails<I: AsRef<OsStr>>(&self, status: i32, args: &[I], expected: &[&str]) -> String {
        let before = self.files();
        let said = self.run(args);
        said.is_clear_error(status, expected);
        assert_eq!(said.stdout, "");
        assert_eq!(self.files(), before, "{}", said.stderr);
        said.stderr
    }

    /// All files and folders here, by their paths.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        fn add(folder: &Path, root: &Path, found: &mut BTreeSet<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    add(&path, root, found);
                }
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
        let mut found = BTreeSet::new();
        add(self.folder.path(), self.folder.path(), &mut found);
        found
    }
}

impl Said {
    /// Checks that this is an error as it should be.
    pub(crate) fn is_clear_error(&self, status: i32, expected: &[&str]) {
        let text = &self.stderr;
        assert_eq!(self.status, Some(status), "{text}");
        assert!(text.lines().any(|line| line.starts_with("error: ")), "{text}");
        assert!(!text.contains("panicked") && !text.contains("internal error"), "{text}");
        for part in expected {
            assert!(text.contains(part), "no `{part}` in:\n{text}");
        }
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Said {
        Said {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// An identity file of a few steps, learned once for all tests.
pub(crate) fn identity() -> &'static Path {
    static LEARNED: OnceLock<(Place, PathBuf)> = OnceLock::new();
    let (_, path) = LEARNED.get_or_init(|| {
        let place = Place::new();
        let portrait = portrait();
        place.succeeds(&["learn", text(&portrait), "--no-face", "--name=me", "--method=sefi", "--steps=4"]);
        let path = place.path("me.identity.safetensors");
        (place, path)
    });
    path
}

/// `--identity me=FILE` of [`identity`].
pub(crate) fn with_me() -> String {
    format!("--identity=me={}", identity().display())
}

/// A text of a path.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
