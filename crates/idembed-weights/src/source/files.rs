//! Weights from safetensors files: memory-mapped, sharded or not.
//!
//! A tensor whose format on disk is the one to compute in is used where it lies in the map; any other is converted one
//! at a time, and the pages it was read from are given back, so that the weights are never in memory twice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use idembed_files::IoError;
use safetensors::Dtype;
use serde::Deserialize;
use tch::Kind;

use super::mapped_file::MappedFile;
use super::{Source, Stored};
use crate::{Error, Result, WeightsError};

/// Variants of a weight file's name, the preferred first.
const VARIANTS: [&str; 2] = ["", ".fp16"];
/// How the names of pickles end, which can run programs and are never read.
pub const PICKLES: [&str; 4] = ["bin", "ckpt", "pt", "pth"];

/// The mapped files of one network.
#[derive(Debug)]
pub struct Files {
    /// The file, or the index of the shards.
    path: PathBuf,
    maps: Vec<MappedFile>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    map: usize,
    dtype: Dtype,
    shape: Vec<i64>,
    bytes: Range<usize>,
}

/// `*.safetensors.index.json`: which shard holds which tensor.
#[derive(Deserialize)]
struct ShardIndexJson {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Opens `folder/stem.safetensors`, its shards, or its fp16 variant, whichever is there.
    ///
    /// # Errors
    /// No such file, or a damaged one. A tensor that is not f32, f16 or bf16 is no error before it is asked for.
    pub fn find(folder: &Path, stem: &str) -> Result<Self> {
        let (path, shards) = find_files(folder, stem)?;
        Self::map(path, &shards)
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// As [`Files::find`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::map(path.to_path_buf(), &[path.to_path_buf()])
    }

    /// Maps these files; `path` names them all in errors.
    fn map(path: PathBuf, shards: &[PathBuf]) -> Result<Self> {
        let mut files = Files { path, maps: Vec::with_capacity(shards.len()), entries: BTreeMap::new() };
        for shard in shards {
            files.add_file(shard)?;
        }
        Ok(files)
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let (map, header) = MappedFile::open(path)?;
        for (name, info) in header.tensors.tensors() {
            let entry = Entry {
                map: self.maps.len(),
                dtype: info.dtype,
                shape: info.shape.iter().map(|&size| size as i64).collect(),
                bytes: header.data_start + info.data_offsets.0..header.data_start + info.data_offsets.1,
            };
            self.entries.insert(name, entry);
        }
        self.maps.push(map);
        Ok(())
    }
}

impl Source for Files {
    fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.entries.get(name).map(|entry| entry.shape.clone())
    }

    fn stored(&self, name: &str) -> std::result::Result<Stored, WeightsError> {
        let entry = self.entries.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        let kind = match entry.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I64 => Kind::Int64,
            other => return Err(WeightsError::Dtype { name: name.to_owned(), dtype: format!("{other:?}") }),
        };
        Ok(self.maps[entry.map].view(&entry.bytes, kind, &entry.shape)?)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn check_unchanged(&self) -> Result<()> {
        self.maps.iter().try_for_each(|map| map.check_unchanged())
    }

    fn check_used_unchanged(&self) -> Result<()> {
        self.maps.iter().filter(|map| map.is_in_use()).try_for_each(|map| map.check_unchanged())
    }

    fn release_unused(&self) {
        self.maps.iter().filter(|map| !map.is_in_use()).for_each(MappedFile::release);
    }
}

/// The files that hold the weights `stem` in `folder`: `stem.safetensors`, its shards in the order of their names, or its
/// fp16 variant, whichever is there.
///
/// # Errors
/// No such file, a pickle only, or an index that cannot be used.
pub fn weight_files(folder: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    Ok(find_files(folder, stem)?.1)
}

/// The file to name in errors, and the files to map.
fn find_files(folder: &Path, stem: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    for variant in VARIANTS {
        let single = folder.join(format!("{stem}{variant}.safetensors"));
        if single.is_file() {
            return Ok((single.clone(), vec![single]));
        }
        // diffusers writes `stem.safetensors.index.fp16.json`, transformers `stem.safetensors.index.json`.
        let index = folder.join(format!("{stem}.safetensors.index{variant}.json"));
        if index.is_file() {
            let shards = read_shard_index(&index, folder)?;
            return Ok((index, shards));
        }
    }
    let folder = folder.to_path_buf();
    match find_pickle(&folder, stem) {
        Some(file) => Err(Error::Pickled { folder, file }),
        None => Err(Error::NoFile { folder, what: format!("`{stem}.safetensors` is missing") }),
    }
}

/// The pickle that stands where `stem.safetensors` should, or the index of its shards.
fn find_pickle(folder: &Path, stem: &str) -> Option<String> {
    // What is `model.safetensors` for transformers was `pytorch_model.bin` before.
    let stems = [stem, "pytorch_model"].into_iter().take(if stem == "model" { 2 } else { 1 });
    let names = stems.flat_map(|stem| {
        VARIANTS.into_iter().flat_map(move |variant| {
            let whole = PICKLES.map(|end| format!("{stem}{variant}.{end}"));
            whole.into_iter().chain([format!("{stem}.bin.index{variant}.json")])
        })
    });
    names.into_iter().find(|name| folder.join(name).is_file())
}

fn read_shard_index(index: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(index).map_err(IoError::reading(index))?;
    let json: ShardIndexJson =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: index.to_path_buf(), source })?;
    let names: BTreeSet<&String> = json.weight_map.values().collect();
    if let Some(outside) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        let what = format!("the shard `{outside}` lies outside the folder");
        return Err(Error::NoFile { folder: index.to_path_buf(), what });
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
