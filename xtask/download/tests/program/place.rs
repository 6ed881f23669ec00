//! A folder of models with a manifest, and the program run in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::fingerprint::Fingerprint;

/// A port where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

pub(crate) struct Place {
    folder: TempDir,
    hub: String,
    github: String,
    environment: Vec<(&'static str, String)>,
    /// The size in KiB that no file may pass.
    limit: Option<u32>,
}

/// What the program left to see.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn is_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.err);
    }

    /// A clear error that contains each of these texts, and no panic.
    #[track_caller]
    pub(crate) fn is_error(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.err);
        for text in ["error: "].iter().chain(texts) {
            assert!(self.err.contains(text), "`{text}` is not in:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// An entry of the manifest: `model`, at `owner/model` of the hub, with these files.
pub(crate) fn model(files: Value) -> Value {
    json!({
        "purpose": "a test", "origin": "the test", "licence": "MIT",
        "source": { "hugging_face": { "repository": "owner/model", "revision": "main" } },
        "files": files,
    })
}

/// The entry of a file whose sum is known.
pub(crate) fn known(bytes: &[u8]) -> Value {
    serde_json::to_value(Fingerprint::of_bytes(bytes)).unwrap()
}

/// Bytes that differ from place to place.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

impl Place {
    /// A folder whose manifest names `models`.
    pub(crate) fn new(models: Value) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            hub: NOWHERE.to_owned(),
            github: NOWHERE.to_owned(),
            environment: Vec::new(),
            limit: None,
        };
        std::fs::create_dir(place.path("models")).unwrap();
        place.write_manifest(models);
        place
    }

    /// A folder with the one model `model`.
    pub(crate) fn with(model: Value) -> Self {
        Self::new(json!({ "model": model }))
    }

    pub(crate) fn write_manifest(&self, models: Value) {
        std::fs::write(self.path("models/manifest.json"), json!({ "models": models }).to_string()).unwrap();
    }

    pub(crate) fn hub(mut self, address: impl Into<String>) -> Self {
        self.hub = address.into();
        self
    }

    pub(crate) fn github(mut self, address: impl Into<String>) -> Self {
        self.github = address.into();
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Lets no file grow beyond this many KiB, which ends a write in its middle as a full disk does.
    pub(crate) fn limit(self, kibibytes: u32) -> Self {
        Self { limit: Some(kibibytes), ..self }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The bytes of a file below the folder of `model`.
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.path("models/model").join(path)).unwrap()
    }

    /// The files below the folder of `model`, sorted, without the lock.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        collect(&self.path("models/model"), "", &mut files);
        files.retain(|file| file != "download.lock");
        files.sort();
        files
    }

    fn program(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_xtask-download");
        let Some(limit) = self.limit else { return Command::new(program) };
        let mut shell = Command::new("sh");
        // The shell counts in 512 bytes. Without the trap, the signal that comes with the error ends the program.
        shell.args(["-c", &format!(r#"ulimit -f {} && trap "" XFSZ && exec "$0" "$@""#, 2 * limit), program]);
        shell
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.program();
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "SSL_CERT_FILE"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("HF_ENDPOINT", &self.hub).env("IDEMBED_GITHUB_ENDPOINT", &self.github);
        command.env("HF_HOME", self.path("hf")).env("HOME", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).arg("--models").arg(self.path("models"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.start(arguments).wait_with_output().unwrap().into()
    }

    /// Fetches `model`.
    pub(crate) fn fetch(&self) -> Said {
        self.run(&["model"])
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.push(name);
        }
    }
}
