//! One safetensors file in memory: mapped by libtorch, and watched for changes.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use idembed_files::IoError;
use tch::{Device, Kind, TchError, Tensor};

use super::Stored;
use crate::header::Header;
use crate::lost_pages::{self, Registered};
use crate::pages;
use crate::{Error, Result};

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
        let header = Header::read(&mut file, opened.length).map_err(|error| error.of_file(path))?;
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

    /// Gives all pages back to the system: those beside the numbers that were read, too, which it has read ahead.
    pub(super) fn release(&self) {
        pages::release(&self.content);
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
    let unreadable =
        || std::io::Error::new(std::io::ErrorKind::InvalidInput, "libtorch opens only files whose path is UTF-8");
    Ok(path.to_str().map(str::to_owned).ok_or_else(unreadable).map_err(IoError::reading(path))?)
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Stamp { length: metadata.len(), modified: metadata.modified().ok() })
    }
}
