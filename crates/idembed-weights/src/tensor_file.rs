//! Named tensors and text metadata in one safetensors file: read whole and checked, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use idembed_files::IoError;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::error::FileError;
use crate::{Error, Result, WeightsError};

/// Named f32, f16 and i64 tensors with metadata.
#[derive(Debug, Default)]
pub struct TensorFile {
    /// The tensors, by their names.
    pub tensors: BTreeMap<String, Tensor>,
    /// Text beside them, by its keys.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file; `what` names its purpose in errors, `limit` bounds its size in bytes.
    ///
    /// # Errors
    /// Not readable, too large, damaged, or with numbers of another format.
    pub fn read(path: &Path, what: &'static str, limit: u64) -> Result<Self> {
        let read_error = IoError::reading(path);
        let file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        let file_error = |source| Error::File { path: path.to_path_buf(), what, source };
        if length > limit {
            return Err(file_error(FileError::TooLarge { got: length, limit }));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(limit).read_to_end(&mut bytes).map_err(read_error)?;
        Self::parse(&bytes).map_err(file_error)
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, FileError> {
        let file = SafeTensors::deserialize(bytes).map_err(FileError::Damaged)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(FileError::Damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::F16 => Kind::Half,
                Dtype::I64 => Kind::Int64,
                other => {
                    let (name, got) = (name.to_owned(), format!("{other:?}"));
                    return Err(FileError::Dtype { name, got, expected: "F32 or F16" });
                }
            };
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            tensors.insert(name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?);
        }
        Ok(TensorFile { tensors, metadata })
    }

    /// Writes the file beside its place and then moves it there, so that nobody ever sees half of it.
    ///
    /// The same content gives the same bytes.
    ///
    /// # Errors
    /// A tensor of another format, or what the system said; then there is no file, or the older one.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (header, bodies) = self.encode()?;
        let written = idembed_files::write_with(path, |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            bodies.iter().try_for_each(|body| file.write_all(body))
        });
        Ok(written.map_err(IoError::writing(path))?)
    }

    /// The content of the file that [`TensorFile::write`] writes.
    ///
    /// # Errors
    /// A tensor of another format.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (header, bodies) = self.encode()?;
        Ok([&(header.len() as u64).to_le_bytes()[..], &header, &bodies.concat()].concat())
    }

    /// The safetensors header and the tensors' bytes. The safetensors crate shuffles the metadata's order.
    fn encode(&self) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), json!(self.metadata));
        let mut bodies = Vec::with_capacity(self.tensors.len());
        let mut offset = 0;
        // Eight-byte numbers first, so that every tensor lies aligned to its numbers.
        let mut ordered: Vec<(&String, &Tensor)> = self.tensors.iter().collect();
        ordered.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.kind().elt_size_in_bytes()));
        for (name, tensor) in ordered {
            let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
            let dtype = match tensor.kind() {
                Kind::Float => "F32",
                Kind::Half => "F16",
                Kind::Int64 => "I64",
                other => {
                    let (name, dtype) = (name.clone(), format!("{other:?}"));
                    return Err(Error::Parameters(WeightsError::Dtype { name, dtype }));
                }
            };
            let mut body = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.f_copy_data_u8(&mut body, tensor.numel())?;
            let end = offset + body.len();
            let entry = json!({ "dtype": dtype, "shape": tensor.size(), "data_offsets": [offset, end] });
            header.insert(name.clone(), entry);
            offset = end;
            bodies.push(body);
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok((header, bodies))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn example() -> TensorFile {
        let mut file = TensorFile::default();
        file.tensors.insert("a".to_owned(), Tensor::from_slice(&[1.5f32, -2.0, 0.0]));
        file.tensors.insert("c".to_owned(), Tensor::from_slice(&[0.5f32, 3.0]).to_kind(Kind::Half));
        file.tensors.insert("b".to_owned(), Tensor::from_slice(&[i64::MAX, 3]).view([2, 1]));
        file.metadata.insert("name".to_owned(), "a \"quoted\" name".to_owned());
        file
    }

    #[test]
    fn reads_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        example().write(&path).unwrap();
        let read = TensorFile::read(&path, "file", 1000).unwrap();
        assert_eq!(read.metadata, example().metadata);
        for (name, tensor) in example().tensors {
            assert!(read.tensors[&name].equal(&tensor));
        }
        let bytes = std::fs::read(&path).unwrap();
        example().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        example().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(TensorFile::read(&path, "file", 1000).is_err(), "{length} bytes");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(TensorFile::read(&path, "file", 10).is_err());
    }
}
