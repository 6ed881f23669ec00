//! SHA-256 of files: what a picture says about its model and its identities.

mod cache;

use idembed_files::IoError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use idembed_diffusion::{GivenPart, ModelFiles};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::picture_file::{LORA, PartRecord};
use cache::{Cache, Stamp};

/// Digits of the short form, which other Stable Diffusion tools print for checkpoints.
const SHORT: usize = 10;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// The hash of a file, as hexadecimal digits.
pub fn sha256_of(path: &Path) -> Result<String> {
    Ok(sha256_of_all(&[path.to_path_buf()]).map_err(IoError::reading(path))?)
}

/// The first digits of a hash.
pub fn short(sha256: &str) -> &str {
    sha256.get(..SHORT).unwrap_or(sha256)
}

/// The hash of files one after the other, as if they were one.
fn sha256_of_all(paths: &[PathBuf]) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    for path in paths {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

/// The hash of a model: that of its U-Net's weight file, or of its shards one after the other in the order of their
/// names; of a checkpoint the whole file's, by which other tools know it.
///
/// Gigabytes take seconds, so it is computed on a thread of its own while the model is loaded and draws, and remembered
/// in the user's cache.
#[derive(Debug)]
pub(crate) struct ModelHash(LazyLock<Option<String>, Box<dyn FnOnce() -> Option<String> + Send>>);

impl ModelHash {
    /// Begins to compute the hash of a model.
    pub(crate) fn start(model: &ModelFiles) -> ModelHash {
        let model = model.clone();
        let thread = thread::spawn(move || of_unet(&model, &Cache::of_user()));
        ModelHash(LazyLock::new(Box::new(move || thread.join().ok().flatten())))
    }

    /// The hash, once it is there; `None` if the files could not be read, which is no reason not to draw.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// What was given beside a model's own files, with the hashes of theirs.
pub(crate) fn of_given_parts(model: &ModelFiles) -> Result<Vec<PartRecord>> {
    let mut records = Vec::new();
    for GivenPart { part, name, files } in model.given_parts()? {
        let sha256 = of_weights(Path::new(&name), &files)?;
        records.push(PartRecord { part: part.to_owned(), name, sha256, strength: None });
    }
    for lora in model.loras() {
        let name = lora.path().file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let sha256 = of_weights(lora.path(), &[lora.path().to_path_buf()])?;
        records.push(PartRecord { part: LORA.to_owned(), name, sha256, strength: Some(lora.strength()) });
    }
    Ok(records)
}

/// The hash of a network's files, remembered in the user's cache; `named` is what an error speaks of.
pub(crate) fn of_weights(named: &Path, files: &[PathBuf]) -> Result<String> {
    let named = files.first().map_or(named, PathBuf::as_path);
    Ok(remembered(files, &Cache::of_user()).map_err(IoError::reading(named))?)
}

fn of_unet(model: &ModelFiles, cache: &Cache) -> Option<String> {
    let computed = model
        .unet_files()
        .map_err(|error| error.to_string())
        .and_then(|files| remembered(&files, cache).map_err(|error| error.to_string()));
    if let Err(error) = &computed {
        tracing::debug!("no hash of the model: {error}");
    }
    computed.ok()
}

/// The hash of files, computed if the cache does not know it.
fn remembered(paths: &[PathBuf], cache: &Cache) -> io::Result<String> {
    let stamps = || paths.iter().map(|path| Stamp::of(path)).collect::<io::Result<Vec<_>>>();
    let before = stamps()?;
    if let Some(known) = cache.get(&before) {
        return Ok(known);
    }
    let started = std::time::Instant::now();
    let sha256 = sha256_of_all(paths)?;
    tracing::debug!("hash of the model: {sha256}, computed in {:.1} s", started.elapsed().as_secs_f64());
    // Files that changed meanwhile have another hash by now.
    if stamps()? == before {
        cache.put(&before, &sha256);
    }
    Ok(sha256)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// What `sha256sum` says about bytes that come from `cat`.
    fn by_the_system(paths: &[&Path]) -> String {
        let pipe = Command::new("sh").args(["-c", "cat \"$@\" | sha256sum", "sh"]).args(paths).output().unwrap();
        String::from_utf8(pipe.stdout).unwrap()[..64].to_owned()
    }

    #[test]
    fn hashes_are_those_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["empty", "short", "long"].map(|name| folder.path().join(name));
        for (path, size) in names.iter().zip([0, 3, 2 * PIECE + 17]) {
            fs::write(path, (0..size).map(|index| (index % 251) as u8).collect::<Vec<_>>()).unwrap();
            assert_eq!(sha256_of(path).unwrap(), by_the_system(&[path]));
        }
        assert_eq!(sha256_of_all(&names).unwrap(), by_the_system(&names.each_ref().map(PathBuf::as_path)));
        let error = format!("{:#}", sha256_of(&folder.path().join("none")).unwrap_err());
        assert!(error.starts_with("cannot read `"), "{error}");
    }

    #[test]
    fn a_model_is_known_by_its_unet() {
        let mini = crate::Model::find("mini").unwrap().folder;
        let unet = mini.join("unet/diffusion_pytorch_model.safetensors");
        let expected = by_the_system(&[&unet]);
        let hash = |path: &Path| of_unet(&ModelFiles::open(path).unwrap(), &Cache::none());
        assert_eq!(hash(&mini).as_deref(), Some(expected.as_str()));
        assert_eq!(short(&expected), &expected[..10]);
        assert_eq!(hash(&mini.join("vae")), None);
    }

    #[test]
    fn shards_are_taken_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("unet")).unwrap();
        let path = |name: &str| folder.path().join("unet").join(name);
        let shards = ["a-1.safetensors", "a-2.safetensors"];
        shards.iter().for_each(|name| fs::write(path(name), name).unwrap());
        let index = r#"{"weight_map": {"z": "a-1.safetensors", "a": "a-2.safetensors", "b": "a-1.safetensors"}}"#;
        fs::write(path("diffusion_pytorch_model.safetensors.index.json"), index).unwrap();
        let expected = by_the_system(&[&path(shards[0]), &path(shards[1])]);
        assert_eq!(of_unet(&ModelFiles::open(folder.path()).unwrap(), &Cache::none()), Some(expected));
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::within(folder.path().join("cache"));
        let files = [folder.path().join("weights")];
        fs::write(&files[0], "first").unwrap();
        let first = remembered(&files, &cache).unwrap();
        assert_eq!(first, by_the_system(&[&files[0]]));
        // A wrong entry shows that it is the entry that is believed.
        let stamps = [Stamp::of(&files[0]).unwrap()];
        let wrong = "0".repeat(64);
        cache.put(&stamps, &wrong);
        assert_eq!(remembered(&files, &cache).unwrap(), wrong);
        fs::write(&files[0], "second").unwrap();
        assert_eq!(remembered(&files, &cache).unwrap(), by_the_system(&[&files[0]]));
    }
}
