//! What stands in a safetensors file before the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Bound;
use std::path::Path;

use idembed_files::IoError;
use safetensors::SafeTensorError;
use safetensors::tensor::Metadata;

use crate::{Error, Result, WeightsError};

/// The largest header that is read, in bytes: the limit of the safetensors format.
const LARGEST_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file by their names, without their numbers: enough to tell what the file is.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The tensors.
    pub tensors: BTreeMap<String, Listed>,
    /// Text beside them, by its keys.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor in a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its shape.
    pub shape: Vec<i64>,
    /// The format of its numbers as safetensors names it, such as `F16`.
    pub dtype: String,
}

impl Listing {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// Not readable, or not a whole safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let read_error = IoError::reading(path);
        let mut file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        let header = Header::read(&mut file, length).map_err(|error| error.of_file(path))?;
        let listed = header.tensors.tensors().into_iter().map(|(name, info)| {
            let shape = info.shape.iter().map(|&size| size as i64).collect();
            (name, Listed { shape, dtype: format!("{:?}", info.dtype) })
        });
        let metadata = header.tensors.metadata().clone().unwrap_or_default();
        Ok(Listing { tensors: listed.collect(), metadata: metadata.into_iter().collect() })
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.tensors.get(name).map(|listed| listed.shape.as_slice())
    }

    /// Whether a tensor's name begins so.
    pub fn has_below(&self, prefix: &str) -> bool {
        self.below(prefix).next().is_some()
    }

    /// The names that begin so, in order.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }
}

/// What stands before the numbers, and where they begin.
#[derive(Debug)]
pub(crate) struct Header {
    /// Names, formats, shapes and places of the tensors.
    pub(crate) tensors: Metadata,
    /// Where the numbers begin, in bytes.
    pub(crate) data_start: usize,
}

/// Why a header could not be read.
pub(crate) enum HeaderError {
    Read(std::io::Error),
    Damaged(SafeTensorError),
}

impl HeaderError {
    /// The error about this file.
    pub(crate) fn of_file(self, path: &Path) -> Error {
        match self {
            HeaderError::Read(source) => IoError::reading(path)(source).into(),
            HeaderError::Damaged(source) => {
                Error::Content { path: path.to_path_buf(), source: WeightsError::Damaged(source) }
            }
        }
    }
}

impl Header {
    /// Reads the header of a file that has `length` bytes.
    pub(crate) fn read(file: &mut File, length: u64) -> std::result::Result<Self, HeaderError> {
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
