//! The weights of one network by their names, wherever they come from.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::conv_weight::ConvWeight;
use crate::device::Compute;
use crate::error::check_shape;
use crate::scope::Scope;
use crate::source::{Files, Init, Parameters, Source, Stored};
use crate::{Error, Result, WeightsError, cuda};

/// The weights of one network.
///
/// Tensors taken from it share the map of their file, which stays as long as one of them lives. Networks keep their
/// weights nevertheless: to notice a file that was changed ([`Weights::check_unchanged`]) or cut short
/// ([`crate::announce_lost_pages`]), this must be alive.
#[derive(Debug)]
pub struct Weights {
    source: Box<dyn Source>,
    used: RefCell<BTreeSet<String>>,
    /// How many numbers the used tensors hold.
    numbers: Cell<u64>,
    compute: Compute,
}

impl Weights {
    /// The weights from anywhere, to compute with as `compute` says.
    ///
    /// # Errors
    /// The device is not there.
    pub fn new(source: Box<dyn Source>, compute: Compute) -> Result<Self> {
        cuda::check(compute.device)?;
        Ok(Self::of(source, compute))
    }

    /// Opens `folder/stem.safetensors`, its shards, or its fp16 variant, whichever is there.
    ///
    /// # Errors
    /// No such file, a damaged one, a tensor that is not f32, f16 or bf16, or a device that is not there.
    pub fn open(folder: &Path, stem: &str, compute: Compute) -> Result<Self> {
        Self::new(Box::new(Files::find(folder, stem)?), compute)
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn open_file(path: &Path, compute: Compute) -> Result<Self> {
        Self::new(Box::new(Files::open(path)?), compute)
    }

    /// The weights of a network that is being trained: gradients reach `parameters` through what is taken from here.
    ///
    /// A parameter that is not there yet is made. In another format than f32 each tensor is a copy that belongs to the
    /// graph of one backward pass: the network is built anew for each.
    pub fn from_parameters(parameters: &Parameters, kind: Kind) -> Self {
        let compute = Compute { device: parameters.device(), kind };
        Self::of(Box::new(parameters.clone()), compute)
    }

    fn of(source: Box<dyn Source>, compute: Compute) -> Self {
        Weights { source, used: RefCell::default(), numbers: Cell::default(), compute }
    }

    /// Where the tensors are and in which format they are handed out.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The file, or the index of the shards, if they come from files.
    pub fn path(&self) -> Option<&Path> {
        self.source.path()
    }

    /// Bytes of the tensors that were taken, in the format they are computed in.
    pub fn bytes(&self) -> u64 {
        self.numbers.get() * self.compute.kind.elt_size_in_bytes() as u64
    }

    /// The root of the names.
    pub fn root(&self) -> Scope<'_> {
        Scope::root(self)
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.source.shape(name).is_some()
    }

    /// Ends the loading: fails if the file holds tensors that nothing asked for, or only zeros, or was changed meanwhile.
    ///
    /// Names that end in `ignored` are let pass: buffers that old exporters wrote beside the parameters.
    pub fn check_all_used(&self, ignored: &[&str]) -> Result<()> {
        self.source.check_unchanged()?;
        let used = self.used.borrow();
        let names = self.source.names();
        let is_extra = |name: &&String| !used.contains(*name) && !ignored.iter().any(|suffix| name.ends_with(suffix));
        let extra: Vec<&String> = names.iter().filter(is_extra).collect();
        match extra.iter().min() {
            None => self.check_not_zero(&used).map_err(|source| self.error(source))?,
            Some(&first) => {
                return Err(self.error(WeightsError::Extra { first: first.clone(), count: extra.len() }));
            }
        }
        self.source.release_unused();
        Ok(())
    }

    /// Fails if all numbers are 0, as in a file that was made and never filled. One tensor is looked at in all others.
    fn check_not_zero(&self, used: &BTreeSet<String>) -> std::result::Result<(), WeightsError> {
        for name in used {
            if self.source.stored(name)?.read(|tensor| tensor.f_any())?.f_int64_value(&[])? != 0 {
                return Ok(());
            }
        }
        used.first().map_or(Ok(()), |first| Err(WeightsError::Zero { first: first.clone(), count: used.len() }))
    }

    /// Fails if the numbers of tensors taken from here may be others by now, because a file was changed in place.
    ///
    /// To be asked before a result is handed out; it costs one look at each file's length and time of change. Tensors that
    /// were converted or copied to another device do not depend on their file any more, nor does it matter if another
    /// file takes its name.
    ///
    /// # Errors
    /// [`Error::Changed`], which names the file. A file that only got a new time of change (`touch`) counts as changed.
    pub fn check_unchanged(&self) -> Result<()> {
        self.source.check_used_unchanged()
    }

    /// SHA-256 over names, shapes and values of the used tensors that `counts` says yes to, the values rounded to f16.
    ///
    /// The same weights in another file, in shards, or in their fp16 variant give the same sum. `prefix` is left out of
    /// the names.
    ///
    /// # Errors
    /// A file was changed since it was opened.
    pub fn fingerprint(&self, prefix: &str, counts: impl Fn(&str) -> bool) -> Result<String> {
        let mut hasher = Sha256::new();
        for name in self.used.borrow().iter().filter(|name| counts(name)) {
            let stored = self.source.stored(name).map_err(|source| self.error(source))?;
            // A copy even of what is f16, so that the pages of its file are given back.
            let half = stored.read(|tensor| {
                tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_dtype(Kind::Half, false, true)?.f_contiguous()
            })?;
            let mut bytes = vec![0u8; half.numel() * 2];
            half.f_copy_data_u8(&mut bytes, half.numel())?;
            hasher.update(name.strip_prefix(prefix).unwrap_or(name).as_bytes());
            hasher.update(format!("{:?}", half.size()).as_bytes());
            hasher.update(&bytes);
        }
        self.source.check_unchanged()?;
        Ok(hex::encode(hasher.finalize()))
    }

    /// The tensor `name`, in the format and on the device to compute with.
    pub(crate) fn take(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        let stored = self.stored(name, shape, init).map_err(|source| self.error(source))?;
        self.note(name, shape);
        Ok(stored.into())
    }

    /// As [`Weights::take`], the weight of a convolution.
    pub(crate) fn take_conv(&self, name: &str, shape: &[i64], init: Init) -> Result<ConvWeight> {
        let weight = self.stored(name, shape, init).and_then(|stored| Ok(ConvWeight::of(stored)?));
        let weight = weight.map_err(|source| self.error(source))?;
        self.note(name, shape);
        Ok(weight)
    }

    /// The shape of a tensor, if it is there.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.source.shape(name)
    }

    fn stored(&self, name: &str, shape: &[i64], init: Init) -> std::result::Result<Stored, WeightsError> {
        self.source.make(name, shape, init)?;
        let stored = self.source.stored(name)?;
        stored.check_kind(name)?;
        check_shape(name, &stored.tensor().size(), shape)?;
        Ok(stored.take(self.compute)?)
    }

    /// Remembers that `name` was asked for.
    fn note(&self, name: &str, shape: &[i64]) {
        if self.used.borrow_mut().insert(name.to_owned()) {
            self.numbers.update(|numbers| numbers + shape.iter().product::<i64>() as u64);
        }
    }

    fn error(&self, source: WeightsError) -> Error {
        source.in_source(&*self.source)
    }
}
