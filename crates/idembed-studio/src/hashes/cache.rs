//! Hashes of large files, remembered in the user's cache folder.
//!
//! Whatever is wrong with the folder, hashes are computed anew; nobody else is bothered.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What tells that a file is the one that was hashed, without reading it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    path: String,
    size: u64,
    /// Seconds and nanoseconds.
    modified: [i64; 2],
    inode: u64,
}

impl Stamp {
    /// Looks at a file.
    pub(super) fn of(path: &Path) -> io::Result<Stamp> {
        let path = path.canonicalize()?;
        let found = fs::metadata(&path)?;
        let modified = [found.mtime(), found.mtime_nsec()];
        Ok(Stamp { path: path.to_string_lossy().into_owned(), size: found.len(), modified, inode: found.ino() })
    }
}

/// Files and their hash.
#[derive(Serialize, Deserialize)]
struct Entry<S> {
    files: S,
    sha256: String,
}

/// A folder with one small file for each hash.
#[derive(Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's: `$XDG_CACHE_HOME/idembed/sha256`, below `~/.cache` if the variable is not set.
    pub(super) fn of_user() -> Cache {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Cache { folder: caches.map(|caches| caches.join("idembed").join("sha256")) }
    }

    /// The hash of exactly these files, if it is known.
    pub(super) fn get(&self, files: &[Stamp]) -> Option<String> {
        let entry: Entry<Vec<Stamp>> = serde_json::from_slice(&fs::read(self.place(files)?).ok()?).ok()?;
        let is_hash = entry.sha256.len() == 64 && entry.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        (entry.files == files && is_hash).then_some(entry.sha256)
    }

    /// Remembers a hash, if that is possible.
    pub(super) fn put(&self, files: &[Stamp], sha256: &str) {
        let Some(place) = self.place(files) else { return };
        let write = || -> io::Result<()> {
            let entry = serde_json::to_vec(&Entry { files, sha256: sha256.to_owned() })?;
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            idembed_files::write(&place, &entry)
        };
        if let Err(error) = write() {
            tracing::debug!("the hash is not remembered in `{}`: {error}", place.display());
        }
    }

    /// Where the entry of files of these paths lies: a changed file takes the place of its older self.
    fn place(&self, files: &[Stamp]) -> Option<PathBuf> {
        let mut name = Sha256::new();
        for file in files {
            name.update(file.path.as_bytes());
            name.update([0]);
        }
        let name = hex::encode(&name.finalize()[..16]);
        Some(self.folder.as_ref()?.join(name + ".json"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
impl Cache {
    /// In this folder.
    pub(super) fn within(folder: PathBuf) -> Cache {
        Cache { folder: Some(folder) }
    }

    /// Nowhere.
    pub(super) fn none() -> Cache {
        Cache { folder: None }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn stamps(folder: &Path) -> Vec<Stamp> {
        ["a", "b"]
            .map(|name| {
                fs::write(folder.join(name), name).unwrap();
                Stamp::of(&folder.join(name)).unwrap()
            })
            .into()
    }

    #[test]
    fn what_was_put_is_got_as_long_as_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::within(folder.path().join("deep/cache"));
        let files = stamps(folder.path());
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(cache.get(&files), None);
        cache.put(&files, &hash);
        assert_eq!(cache.get(&files), Some(hash));
        assert_eq!(cache.get(&files[..1]), None);
        for change in [
            |stamp: &mut Stamp| stamp.size += 1,
            |stamp: &mut Stamp| stamp.modified[1] += 1,
            |stamp: &mut Stamp| stamp.inode += 1,
        ] {
            let mut changed = stamps(folder.path());
            cache.put(&changed, &"f".repeat(64));
            change(&mut changed[1]);
            assert_eq!(cache.get(&changed), None);
        }
    }

    #[test]
    fn a_broken_cache_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = stamps(folder.path());
        let hash = "0".repeat(64);
        // Where the folder should be, there is a file.
        let blocked = Cache::within(folder.path().join("a"));
        blocked.put(&files, &hash);
        assert_eq!(blocked.get(&files), None);
        Cache::none().put(&files, &hash);
        assert_eq!(Cache::none().get(&files), None);

        let cache = Cache::within(folder.path().join("cache"));
        cache.put(&files, &hash);
        let place = cache.place(&files).unwrap();
        let whole = fs::read(&place).unwrap();
        let short = String::from_utf8(whole.clone()).unwrap().replace(&hash, "00");
        for content in [&whole[..whole.len() / 2], b"", b"\xff\xfe", b"{}", short.as_bytes()] {
            fs::write(&place, content).unwrap();
            assert_eq!(cache.get(&files), None);
        }
        cache.put(&files, &hash);
        assert_eq!(cache.get(&files), Some(hash));
    }
}
