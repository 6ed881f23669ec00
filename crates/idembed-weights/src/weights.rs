//! Weight files: safetensors, memory-mapped, sharded or not, checked strictly.
//!
//! A tensor whose format on disk is the one to compute in is used where it lies in the map; any other is converted one
//! at a time, and the pages it was read from are given back, so that the weights are never in memory twice.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::{Div, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, UncheckedAdvice};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::device::Compute;
use crate::{Error, Result, WeightsError};

/// Variants of a weight file's name, the preferred first.
const VARIANTS: [&str; 2] = ["", ".fp16"];

/// The weights of one network.
///
/// Must outlive every tensor taken from it: the networks own theirs.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    maps: Vec<Arc<Mmap>>,
    entries: BTreeMap<String, Entry>,
    used: RefCell<BTreeSet<String>>,
    compute: Compute,
}

#[derive(Debug, Clone)]
struct Entry {
    map: usize,
    kind: Kind,
    shape: Vec<i64>,
    bytes: Range<usize>,
}

/// `*.safetensors.index.json`: which shard holds which tensor.
#[derive(Deserialize)]
struct ShardIndexJson {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens `folder/stem.safetensors`, its shards, or its fp16 variant, whichever is there.
    ///
    /// # Errors
    /// No such file, a damaged one, or a tensor that is not f32, f16 or bf16.
    pub fn open(folder: &Path, stem: &str, compute: Compute) -> Result<Self> {
        let (path, shards) = find_files(folder, stem)?;
        Self::open_files(path, &shards, compute)
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn open_file(path: &Path, compute: Compute) -> Result<Self> {
        Self::open_files(path.to_path_buf(), &[path.to_path_buf()], compute)
    }

    fn open_files(path: PathBuf, shards: &[PathBuf], compute: Compute) -> Result<Self> {
        let mut weights = Weights {
            path,
            maps: Vec::with_capacity(shards.len()),
            entries: BTreeMap::new(),
            used: RefCell::default(),
            compute,
        };
        for shard in shards {
            weights.add_file(shard)?;
        }
        Ok(weights)
    }

    /// The file, or the index of the shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root of the names.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }
    }

    /// Whether a tensor of this name is in the file.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Fails if the file holds tensors that nothing asked for.
    ///
    /// Names that end in `ignored` are let pass: buffers that old exporters wrote beside the parameters.
    pub fn check_all_used(&self, ignored: &[&str]) -> Result<()> {
        let used = self.used.borrow();
        let mut extra = self
            .entries
            .keys()
            .filter(|name| !used.contains(*name) && !ignored.iter().any(|suffix| name.ends_with(suffix)));
        match extra.next() {
            None => Ok(()),
            Some(first) => Err(self.error(WeightsError::Extra { first: first.clone(), count: 1 + extra.count() })),
        }
    }

    /// SHA-256 over names, shapes and values of the used tensors that `counts` says yes to, the values rounded to f16.
    ///
    /// The same weights in another file, in shards, or in their fp16 variant give the same sum. `prefix` is left out of
    /// the names.
    pub fn fingerprint(&self, prefix: &str, counts: impl Fn(&str) -> bool) -> Result<String> {
        let mut hasher = Sha256::new();
        let counted = |name: &String| self.used.borrow().contains(name) && counts(name);
        for (name, entry) in self.entries.iter().filter(|(name, _)| counted(name)) {
            let half = self.view(entry)?.f_to_kind(Kind::Half)?.f_contiguous()?;
            let mut bytes = vec![0u8; half.numel() * 2];
            half.f_copy_data_u8(&mut bytes, half.numel())?;
            hasher.update(name.strip_prefix(prefix).unwrap_or(name).as_bytes());
            hasher.update(format!("{:?}", entry.shape).as_bytes());
            hasher.update(&bytes);
            self.release(entry);
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let read_error = |source| Error::Read { path: path.to_path_buf(), source };
        let damaged = |source| Error::Content { path: path.to_path_buf(), source: WeightsError::Damaged(source) };
        let file = File::open(path).map_err(read_error)?;
        // SAFETY: the map is read-only; as everywhere with maps, nobody may shorten the file while it is in use.
        let map = unsafe { Mmap::map(&file) }.map_err(read_error)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(damaged)?;
        SafeTensors::deserialize(&map).map_err(damaged)?;
        let data_start = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let kind = match info.dtype {
                Dtype::F32 => Kind::Float,
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                Dtype::I64 => Kind::Int64,
                other => {
                    let source = WeightsError::Dtype { name, dtype: format!("{other:?}") };
                    return Err(Error::Content { path: path.to_path_buf(), source });
                }
            };
            let entry = Entry {
                map: self.maps.len(),
                kind,
                shape: info.shape.iter().map(|&size| size as i64).collect(),
                bytes: data_start + info.data_offsets.0..data_start + info.data_offsets.1,
            };
            self.entries.insert(name, entry);
        }
        self.maps.push(Arc::new(map));
        Ok(())
    }

    /// The tensor where it lies in the map; valid as long as `self` is.
    fn view(&self, entry: &Entry) -> std::result::Result<Tensor, tch::TchError> {
        let bytes = &self.maps[entry.map][entry.bytes.clone()];
        if bytes.as_ptr().align_offset(entry.kind.elt_size_in_bytes()) != 0 {
            return Tensor::f_from_data_size(bytes, &entry.shape, entry.kind);
        }
        // SAFETY: the bytes are mapped as long as `self` lives, hold `shape` numbers of `kind` (safetensors checked
        // that), and nothing writes to weights.
        unsafe { Tensor::f_from_blob(bytes.as_ptr(), &entry.shape, &[], entry.kind, Device::Cpu) }
    }

    /// Gives the pages of a converted tensor back to the system.
    fn release(&self, entry: &Entry) {
        release_pages(&self.maps[entry.map], &entry.bytes);
    }

    fn checked(&self, name: &str, shape: &[i64]) -> std::result::Result<&Entry, WeightsError> {
        let entry = self.entries.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        if entry.kind == Kind::Int64 {
            return Err(WeightsError::Dtype { name: name.to_owned(), dtype: "I64".to_owned() });
        }
        if entry.shape != shape {
            let (got, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), got, expected });
        }
        self.used.borrow_mut().insert(name.to_owned());
        Ok(entry)
    }

    fn take(&self, name: &str, shape: &[i64]) -> std::result::Result<Tensor, WeightsError> {
        let entry = self.checked(name, shape)?;
        let view = self.view(entry)?;
        let tensor = view.f_to_device(self.compute.device)?.f_to_kind(self.compute.kind)?;
        if tensor.data_ptr() != view.data_ptr() {
            self.release(entry);
        }
        Ok(tensor)
    }

    fn take_conv(&self, name: &str, shape: &[i64]) -> std::result::Result<ConvWeight, WeightsError> {
        let stored = self.take(name, shape)?;
        let entry = self.checked(name, shape)?;
        let mapped = stored.data_ptr().cast_const().cast::<u8>() == self.maps[entry.map][entry.bytes.clone()].as_ptr();
        if mapped {
            let source = Some((Arc::clone(&self.maps[entry.map]), entry.bytes.clone()));
            return Ok(ConvWeight { stored, source, ordered: OnceCell::new() });
        }
        Ok(ConvWeight { stored: channels_last(&stored)?, source: None, ordered: OnceCell::new() })
    }

    fn error(&self, source: WeightsError) -> Error {
        Error::Content { path: self.path.clone(), source }
    }
}

/// A place in the tree of names: `weights.root() / "encoder" / "layers" / 0`.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Scope<'_> {
    /// The tensor `name` below this place, in the format and on the device to compute with.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.weights.take(&self.path_of(name), shape).map_err(|source| self.weights.error(source))
    }

    /// The weight `name` of a convolution.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn conv_weight(&self, name: &str, shape: &[i64]) -> Result<ConvWeight> {
        self.weights.take_conv(&self.path_of(name), shape).map_err(|source| self.weights.error(source))
    }

    /// Whether a tensor `name` is below this place.
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains(&self.path_of(name))
    }

    /// The shape of the tensor `name` below this place, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.weights.entries.get(&self.path_of(name)).map(|entry| entry.shape.as_slice())
    }

    /// The checkpoint's name of this place.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn path_of(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

impl<'a, N: std::fmt::Display> Div<N> for &Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, name: N) -> Scope<'a> {
        Scope { weights: self.weights, prefix: self.path_of(&name.to_string()) }
    }
}

impl<'a, N: std::fmt::Display> Div<N> for Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, name: N) -> Scope<'a> {
        &self / name
    }
}

/// The weight of a convolution, in the order of [`channels_last`].
///
/// A weight that lies in the map as it is needed but for the order is reordered when it is first used, not at loading:
/// then loading reads nothing that is not drawn with.
#[derive(Debug)]
pub struct ConvWeight {
    stored: Tensor,
    source: Option<(Arc<Mmap>, Range<usize>)>,
    ordered: OnceCell<Tensor>,
}

impl ConvWeight {
    /// The weight, `[outputs, inputs, kernel, kernel]`.
    pub fn get(&self) -> std::result::Result<&Tensor, tch::TchError> {
        let Some((map, bytes)) = &self.source else { return Ok(&self.stored) };
        if let Some(ordered) = self.ordered.get() {
            return Ok(ordered);
        }
        let ordered = channels_last(&self.stored)?;
        if ordered.data_ptr() != self.stored.data_ptr() {
            release_pages(map, bytes);
        }
        Ok(self.ordered.get_or_init(|| ordered))
    }
}

/// Gives pages that were read once back to the system.
fn release_pages(map: &Mmap, bytes: &Range<usize>) {
    // SAFETY: the map is of an unmodified file, so dropped pages read the same when they are touched again.
    let advised = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
    if let Err(error) = advised {
        tracing::debug!(%error, "the system kept the pages of a converted weight");
    }
}

/// The same numbers with the channels of each pixel side by side in memory.
///
/// libtorch's convolutions and normalisations are fastest in this order, and keep the order of their input.
///
/// # Shapes
/// - `x`, returns: `[batch, channels, height, width]`
pub fn channels_last(x: &Tensor) -> std::result::Result<Tensor, tch::TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
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
    let pickled = ["bin", "ckpt", "pt"].iter().any(|end| folder.join(format!("{stem}.{end}")).is_file());
    let what = if pickled {
        format!("`{stem}.safetensors` is missing (there is a pickled file, which is not read)")
    } else {
        format!("`{stem}.safetensors` is missing")
    };
    Err(Error::NoFile { folder: folder.to_path_buf(), what })
}

fn read_shard_index(index: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(index).map_err(|source| Error::Read { path: index.to_path_buf(), source })?;
    let json: ShardIndexJson =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: index.to_path_buf(), source })?;
    let names: BTreeSet<&String> = json.weight_map.values().collect();
    if let Some(outside) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        let what = format!("the shard `{outside}` lies outside the folder");
        return Err(Error::NoFile { folder: index.to_path_buf(), what });
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
