//! One safetensors file in memory: mapped by libtorch, and watched for changes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use idembed_files::IoError;
use safetensors::SafeTensorError;
use safetensors::tensor::Metadata;
use tch::{Device, Kind, TchError, Tensor};

use super::Stored;
use crate::lost_pages::{self, Registered};
use crate::{Error, Result, WeightsError};

/// The largest header that is read, in bytes: the limit of the safetensors format.
const LARGEST_HEADER: u64 = 100_000_000;

/// A mapped file that stays open as long as this lives; mapped it stays as long as any tensor lies in it.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    file: File,
    opened: Stamp,
    /// Whether tensors were taken that lie in the map.
    in_use: Arc<AtomicBool>,
    // Fields are dropped in their order: the addresses must be forgotten before something else may be mapped there.
    _registered: Registered,
    /// All bytes, `[length]`; its storage is the map, and every tensor in the map shares it.
    content: Tensor,
}

/// What differs if a file was written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    /// When the content was last written; `None` where the system does not tell.
    modified: Option<SystemTime>,
}

/// What stands before the numbers.
#[derive(Debug)]
pub(super) struct Header {
    /// Names, formats, shapes and places of the tensors.
    pub(super) tensors: Metadata,
    /// Where the numbers begin, in bytes.
    pub(super) data_start: usize,
}

impl MappedFile {
    /// Maps a file and reads its header.
    ///
    /// # Errors
    /// Not readable, or not a whole safetensors file.
    pub(super) fn open(path: &Path) -> Result<(Self, Header)> {
        let read_error = IoError::reading(path);
        let mut file = File::open(path).map_err(read_error)?;
        let opened = Stamp::of(&file).map_err(read_error)?;
        // Read, not mapped: a file that becomes shorter meanwhile is an error like any other.
        let header = Header::read(&mut file, opened.length).map_err(|error| match error {
            HeaderError::Read(source) => read_error(source).into(),
            HeaderError::Damaged(source) => {
                Error::Content { path: path.to_path_buf(), source: WeightsError::Damaged(source) }
            }
        })?;
        // A private map: what libtorch should write into a tensor never reaches the file. Nobody can keep others from
        // changing the file: `lost_pages` ends a program that misses a page, `check_unchanged` finds other numbers.
        let content =
            Tensor::f_from_file(&name(&file, path)?, false, opened.length as i64, (Kind::Uint8, Device::Cpu))?;
        let start = content.data_ptr() as usize;
        let registered = lost_pages::register(path, start..start + content.numel());
        let (path, in_use) = (path.to_path_buf(), Arc::default());
        Ok((MappedFile { path, file, opened, in_use, _registered: registered, content }, header))
    }

    /// The numbers in a range of bytes: where they lie in the map, or a copy if they are not aligned there.
    ///
    /// `bytes` has the length of `shape` numbers of `kind`.
    pub(super) fn view(
        &self,
        bytes: &Range<usize>,
        kind: Kind,
        shape: &[i64],
    ) -> std::result::Result<Stored, TchError> {
        let (start, length) = (bytes.start as i64, bytes.len() as i64);
        let typed = |part: Tensor| part.f_view_dtype(kind)?.f_view(shape);
        if bytes.start.is_multiple_of(kind.elt_size_in_bytes()) {
            return Ok(Stored::mapped(typed(self.content.f_narrow(0, start, length)?)?, self.in_use.clone()));
        }
        Ok(Stored::in_memory(typed(self.content.f_narrow_copy(0, start, length)?)?))
    }

    /// Whether a tensor that was taken lies in the map, so that a change of the file changes it.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Fails if the file was written to since it was opened.
    ///
    /// Another file that took its name is no change of this one. A new time of the last change counts as a change even if
    /// the content should be the same (`touch`): to know that, the whole file would have to be read twice.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let now = Stamp::of(&self.file).map_err(IoError::reading(&self.path))?;
        if now == self.opened { Ok(()) } else { Err(Error::Changed { path: self.path.clone() }) }
    }
}

/// The name under which libtorch opens the very file that is open here, whatever stands at its path by now.
#[cfg(target_os = "linux")]
fn name(file: &File, _path: &Path) -> Result<String> {
    use std::os::fd::AsRawFd;
    Ok(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The name under which libtorch opens the file.
#[cfg(not(target_os = "linux"))]
fn name(_file: &File, path: &Path) -> Result<String> {
    let unreadable = || std::io::Error::new(ErrorKind::InvalidInput, "libtorch opens only files whose path is UTF-8");
    Ok(path.to_str().map(str::to_owned).ok_or_else(unreadable).map_err(IoError::reading(path))?)
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Stamp { length: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// Why a header could not be read.
enum HeaderError {
    Read(std::io::Error),
    Damaged(SafeTensorError),
}

impl Header {
    /// Reads the header of a file that has `length` bytes.
    fn read(file: &mut File, length: u64) -> std::result::Result<Self, HeaderError> {
        let mut size = [0; size_of::<u64>()];
        read_whole(file, &mut size, SafeTensorError::HeaderTooSmall)?;
        let size = u64::from_le_bytes(size);
        let damaged = |error| Err(HeaderError::Damaged(error));
        if size > LARGEST_HEADER {
            return damaged(SafeTensorError::HeaderTooLarge);
        }
        let data_start = size_of::<u64>() as u64 + size;
        if data_start > length {
            return damaged(SafeTensorError::InvalidHeaderLength);
        }
        let mut json = vec![0; size as usize];
        read_whole(file, &mut json, SafeTensorError::InvalidHeaderLength)?;
        let tensors: Metadata = serde_json::from_slice(&json)
            .map_err(|error| HeaderError::Damaged(SafeTensorError::InvalidHeaderDeserialization(error)))?;
        if data_start.checked_add(tensors.data_len() as u64) != Some(length) {
            return damaged(SafeTensorError::MetadataIncompleteBuffer);
        }
        Ok(Header { tensors, data_start: data_start as usize })
    }
}

/// Fills `bytes`; a file that ends before gives the error `short`.
fn read_whole(file: &mut File, bytes: &mut [u8], short: SafeTensorError) -> std::result::Result<(), HeaderError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => HeaderError::Damaged(short),
        _ => HeaderError::Read(error),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::io::Seek;

    use super::*;

    const JSON: &str = r#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;

    fn file(bytes: &[u8]) -> File {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn whole() -> Vec<u8> {
        [&(JSON.len() as u64).to_le_bytes()[..], JSON.as_bytes(), &[0; 12]].concat()
    }

    #[test]
    fn a_file_that_becomes_shorter_under_the_reader_is_damaged() {
        let bytes = whole();
        let header = Header::read(&mut file(&bytes), bytes.len() as u64).ok().unwrap();
        assert_eq!((header.data_start, header.tensors.info("x").unwrap().shape.as_slice()), (8 + JSON.len(), &[3][..]));
        // The length that was seen before is that of the whole file.
        for cut in 0..8 + JSON.len() {
            let found = Header::read(&mut file(&bytes[..cut]), bytes.len() as u64);
            assert!(matches!(found, Err(HeaderError::Damaged(_))), "{cut} bytes");
        }
    }

    #[test]
    fn a_header_that_does_not_fit_its_file_is_damaged() {
        let bytes = whole();
        let read = |bytes: &[u8]| Header::read(&mut file(bytes), bytes.len() as u64).err();
        assert!(read(&bytes).is_none());
        let is = |found: Option<HeaderError>, expected: fn(&SafeTensorError) -> bool| match found {
            Some(HeaderError::Damaged(error)) => expected(&error),
            _ => false,
        };
        assert!(is(read(&[&bytes[..], &[0]].concat()), |e| matches!(e, SafeTensorError::MetadataIncompleteBuffer)));
        assert!(is(read(&bytes[..bytes.len() - 1]), |e| matches!(e, SafeTensorError::MetadataIncompleteBuffer)));
        assert!(is(read(&bytes[..20]), |e| matches!(e, SafeTensorError::InvalidHeaderLength)));
        assert!(is(read(&[0xff; 64]), |e| matches!(e, SafeTensorError::HeaderTooLarge)));
        let wrong = [&bytes[..8], &vec![b'['; JSON.len()], &bytes[8 + JSON.len()..]].concat();
        assert!(is(read(&wrong), |e| matches!(e, SafeTensorError::InvalidHeaderDeserialization(_))));
    }
}
