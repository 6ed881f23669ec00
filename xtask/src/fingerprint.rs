//! Size and SHA-256 of a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What tells one file's content from another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// In bytes.
    pub size: u64,
    /// In hexadecimal, lower case.
    pub sha256: String,
}

impl Fingerprint {
    /// Of the bytes of a file, read in pieces: weight files have gigabytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let read = || -> io::Result<Self> {
            let mut hasher = Hasher::default();
            hasher.update_from(&mut File::open(path)?)?;
            Ok(hasher.finish())
        };
        read().with_context(|| format!("cannot read `{}`", path.display()))
    }

    /// Of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }
}

/// A fingerprint under way.
#[derive(Clone, Default)]
pub struct Hasher {
    size: u64,
    sha256: Sha256,
}

impl Hasher {
    /// The bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
    }

    /// Takes what is left of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn update_from(&mut self, file: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                count => self.update(&buffer[..count]),
            }
        }
    }

    /// Of all bytes taken.
    pub fn finish(self) -> Fingerprint {
        let sha256 = hex::encode(self.sha256.finalize());
        Fingerprint { size: self.size, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_pieces_has_the_fingerprint_of_its_bytes() {
        // The sum of "abc" is the first example of FIPS 180-2.
        let abc = Fingerprint::of_bytes(b"abc");
        assert_eq!(abc.size, 3);
        assert_eq!(abc.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let bytes = b"idembed".repeat(300_001);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Fingerprint::of_file(&path).unwrap(), Fingerprint::of_bytes(&bytes));
        assert!(Fingerprint::of_file(&folder.path().join("none")).is_err());
    }
}
