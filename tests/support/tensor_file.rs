//! Spoiling safetensors files on purpose.

use std::path::Path;

use serde_json::Value;

/// A safetensors file in its two parts.
#[derive(Debug)]
pub struct TensorFile {
    /// The header.
    pub header: Value,
    /// The numbers of all tensors.
    pub data: Vec<u8>,
}

impl TensorFile {
    /// Reads a file that is sound.
    pub fn read(path: &Path) -> TensorFile {
        let bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        TensorFile { header, data: bytes[8 + length..].to_vec() }
    }

    /// Writes the file, sound or not.
    pub fn write(&self, path: &Path) {
        let mut header = serde_json::to_vec(&self.header).unwrap();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(&self.data);
        // The file may be a link to the one that is spoiled.
        let _ = std::fs::remove_file(path);
        std::fs::write(path, bytes).unwrap();
    }

    /// Gives a tensor another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        let tensors = self.header.as_object_mut().unwrap();
        let entry = tensors.remove(from).unwrap();
        tensors.insert(to.to_owned(), entry);
    }
}
