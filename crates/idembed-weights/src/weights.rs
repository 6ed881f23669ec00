//! The weights of one network by their names, wherever they come from.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Div;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use crate::conv_weight::ConvWeight;
use crate::device::Compute;
use crate::files::Files;
use crate::initialisation::Init;
use crate::parameters::Parameters;
use crate::{Error, Result, WeightsError};

/// The weights of one network.
///
/// Tensors taken from it share the map of their file, which stays as long as one of them lives. Networks keep their
/// weights nevertheless: to notice a file that was changed ([`Weights::check_unchanged`]) or cut short
/// ([`crate::announce_lost_pages`]), this must be alive.
#[derive(Debug)]
pub struct Weights {
    origin: Origin,
    used: RefCell<BTreeSet<String>>,
    /// How many numbers the used tensors hold.
    numbers: Cell<u64>,
    compute: Compute,
}

#[derive(Debug)]
enum Origin {
    Files(Files),
    Parameters(Parameters),
}

impl Weights {
    /// Opens `folder/stem.safetensors`, its shards, or its fp16 variant, whichever is there.
    ///
    /// # Errors
    /// No such file, a damaged one, or a tensor that is not f32, f16 or bf16.
    pub fn open(folder: &Path, stem: &str, compute: Compute) -> Result<Self> {
        Ok(Self::of(Origin::Files(Files::find(folder, stem)?), compute))
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn open_file(path: &Path, compute: Compute) -> Result<Self> {
        let files = Files::open(path.to_path_buf(), &[path.to_path_buf()])?;
        Ok(Self::of(Origin::Files(files), compute))
    }

    /// The weights of a network that is being trained: gradients reach `parameters` through what is taken from here.
    ///
    /// A parameter that is not there yet is made. In another format than f32 each tensor is a copy that belongs to the
    /// graph of one backward pass: the network is built anew for each.
    pub fn from_parameters(parameters: &Parameters, kind: Kind) -> Self {
        let compute = Compute { device: parameters.device(), kind };
        Self::of(Origin::Parameters(parameters.clone()), compute)
    }

    fn of(origin: Origin, compute: Compute) -> Self {
        Weights { origin, used: RefCell::default(), numbers: Cell::default(), compute }
    }

    /// Where the tensors are and in which format they are handed out.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The file, or the index of the shards, if they come from files.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Files(files) => Some(files.path()),
            Origin::Parameters(_) => None,
        }
    }

    /// Bytes of the tensors that were taken, in the format they are computed in.
    pub fn bytes(&self) -> u64 {
        self.numbers.get() * self.compute.kind.elt_size_in_bytes() as u64
    }

    /// The root of the names.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }
    }

    /// Whether a tensor of this name is in the file, or among the parameters.
    pub fn contains(&self, name: &str) -> bool {
        match &self.origin {
            Origin::Files(files) => files.shape(name).is_some(),
            Origin::Parameters(parameters) => parameters.contains(name),
        }
    }

    /// Ends the loading: fails if the file holds tensors that nothing asked for, or was changed meanwhile.
    ///
    /// Names that end in `ignored` are let pass: buffers that old exporters wrote beside the parameters.
    pub fn check_all_used(&self, ignored: &[&str]) -> Result<()> {
        self.check_files()?;
        let used = self.used.borrow();
        let names = self.names();
        let mut extra =
            names.iter().filter(|name| !used.contains(*name) && !ignored.iter().any(|suffix| name.ends_with(suffix)));
        match extra.next() {
            None => Ok(()),
            Some(first) => Err(self.error(WeightsError::Extra { first: first.clone(), count: 1 + extra.count() })),
        }
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
        match &self.origin {
            Origin::Files(files) => files.check_used_unchanged(),
            Origin::Parameters(_) => Ok(()),
        }
    }

    /// Fails if a file was changed since it was opened, whatever still depends on it.
    fn check_files(&self) -> Result<()> {
        match &self.origin {
            Origin::Files(files) => files.check_unchanged(),
            Origin::Parameters(_) => Ok(()),
        }
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
            let half = match &self.origin {
                Origin::Files(files) => files.rounded(name),
                Origin::Parameters(parameters) => parameters.rounded(name),
            };
            let half = half.map_err(|source| self.error(source))?;
            let mut bytes = vec![0u8; half.numel() * 2];
            half.f_copy_data_u8(&mut bytes, half.numel())?;
            hasher.update(name.strip_prefix(prefix).unwrap_or(name).as_bytes());
            hasher.update(format!("{:?}", half.size()).as_bytes());
            hasher.update(&bytes);
        }
        self.check_files()?;
        Ok(hex::encode(hasher.finalize()))
    }

    fn names(&self) -> Vec<String> {
        match &self.origin {
            Origin::Files(files) => files.names().cloned().collect(),
            Origin::Parameters(parameters) => parameters.list().into_iter().map(|(name, _)| name).collect(),
        }
    }

    fn take(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        let taken = match &self.origin {
            Origin::Files(files) => files.take(name, shape, self.compute),
            Origin::Parameters(parameters) => parameters.take(name, shape, init, self.compute.kind),
        };
        self.note(name, shape, taken)
    }

    fn take_conv(&self, name: &str, shape: &[i64], init: Init) -> Result<ConvWeight> {
        let taken = match &self.origin {
            Origin::Files(files) => files.take_conv(name, shape, self.compute),
            Origin::Parameters(parameters) => {
                parameters.take(name, shape, init, self.compute.kind).map(ConvWeight::ordered)
            }
        };
        self.note(name, shape, taken)
    }

    /// Remembers that `name` was asked for.
    fn note<T>(&self, name: &str, shape: &[i64], taken: std::result::Result<T, WeightsError>) -> Result<T> {
        let taken = taken.map_err(|source| self.error(source))?;
        if self.used.borrow_mut().insert(name.to_owned()) {
            self.numbers.update(|numbers| numbers + shape.iter().product::<i64>() as u64);
        }
        Ok(taken)
    }

    fn error(&self, source: WeightsError) -> Error {
        match &self.origin {
            Origin::Files(files) => Error::Content { path: files.path().to_path_buf(), source },
            Origin::Parameters(_) => Error::Parameters(source),
        }
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
    /// A parameter that is not there yet is made as `init` says; what comes from a file does not need it.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        self.weights.take(&self.path_of(name), shape, init)
    }

    /// The weight `name` of a convolution; `init` as in [`Scope::tensor`].
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn conv_weight(&self, name: &str, shape: &[i64], init: Init) -> Result<ConvWeight> {
        self.weights.take_conv(&self.path_of(name), shape, init)
    }

    /// Whether a tensor `name` is below this place.
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains(&self.path_of(name))
    }

    /// The shape of the tensor `name` below this place, if a file holds it. Of parameters the network says the shape.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        match &self.weights.origin {
            Origin::Files(files) => files.shape(&self.path_of(name)),
            Origin::Parameters(_) => None,
        }
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
