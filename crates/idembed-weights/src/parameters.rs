//! Parameters that are trained: leaf tensors in memory, by the names of the checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::conv_weight::channels_last;
use crate::initialisation::Start;
use crate::tensor_file::TensorFile;
use crate::{Error, Result, WeightsError};

/// The parameters of one network, f32. A clone is another handle on the same ones.
///
/// They come into being when the network that is built on them ([`crate::Weights::from_parameters`]) asks for them, with
/// values that depend on the seed and on their names alone. Four-dimensional ones lie in the order of
/// [`crate::channels_last`].
#[derive(Debug, Clone)]
pub struct Parameters {
    seed: u64,
    device: Device,
    tensors: Arc<Mutex<BTreeMap<String, Tensor>>>,
}

impl Parameters {
    /// No parameters yet.
    pub fn new(seed: u64, device: Device) -> Self {
        Parameters { seed, device, tensors: Arc::default() }
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All of them, in the order of their names.
    pub fn list(&self) -> Vec<(String, Tensor)> {
        self.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// The same numbers with gradients of their own, for a network on another thread.
    pub fn replica(&self) -> Result<Self> {
        self.map(|tensor| tensor.f_detach()?.f_set_requires_grad(true))
    }

    /// A copy of the numbers, without gradients.
    pub fn frozen_copy(&self) -> Result<Self> {
        self.map(|tensor| {
            let mut copy = tensor.f_detach()?.f_zeros_like()?;
            copy.f_copy_(&tensor.f_detach()?)?;
            Ok(copy)
        })
    }

    fn map(&self, change: impl Fn(&Tensor) -> std::result::Result<Tensor, tch::TchError>) -> Result<Self> {
        let tensors = self.tensors();
        let changed = tensors.iter().map(|(name, tensor)| Ok((name.clone(), change(tensor)?)));
        let changed: BTreeMap<String, Tensor> = changed.collect::<Result<_>>()?;
        Ok(Parameters { tensors: Arc::new(Mutex::new(changed)), ..*self })
    }

    /// Takes over the numbers of tensors with the same names and shapes.
    ///
    /// # Errors
    /// One is missing, extra or misshapen; nothing has changed then.
    pub fn set(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        let tensors = self.tensors();
        for (name, tensor) in tensors.iter() {
            let value = values.get(name).ok_or_else(|| Error::Parameters(WeightsError::Missing(name.clone())))?;
            check_shape(name, &value.size(), &tensor.size()).map_err(Error::Parameters)?;
        }
        let mut extra = values.keys().filter(|name| !tensors.contains_key(*name));
        if let Some(first) = extra.next() {
            let count = 1 + extra.count();
            return Err(Error::Parameters(WeightsError::Extra { first: first.clone(), count }));
        }
        tch::no_grad(|| {
            for (name, tensor) in tensors.iter() {
                tensor.shallow_clone().f_copy_(&values[name])?;
            }
            Ok(())
        })
    }

    /// Writes them as safetensors in this format.
    ///
    /// # Errors
    /// What the system said; then there is no file, or the older one.
    pub fn save(&self, path: &Path, kind: Kind) -> Result<()> {
        let mut file = TensorFile::default();
        for (name, tensor) in self.list() {
            file.tensors.insert(name, tensor.f_detach()?.f_to_kind(kind)?);
        }
        file.metadata.insert("format".to_owned(), "pt".to_owned());
        file.write(path)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors().contains_key(name)
    }

    /// The parameter itself, or a cast of it.
    pub(crate) fn take(&self, name: &str, shape: &[i64], kind: Kind) -> std::result::Result<Tensor, WeightsError> {
        let mut tensors = self.tensors();
        if let Some(tensor) = tensors.get(name) {
            check_shape(name, &tensor.size(), shape)?;
            return Ok(tensor.f_to_kind(kind)?);
        }
        let weight = name.strip_suffix("bias").and_then(|layer| tensors.get(&format!("{layer}weight")));
        let start = Start::of(name, shape, weight.map(Tensor::size).as_deref());
        let values = start.draw(self.seed, name, shape.iter().product::<i64>().max(0) as usize);
        let tensor = tch::no_grad(|| {
            let tensor = Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(self.device)?;
            if shape.len() == 4 { channels_last(&tensor) } else { Ok(tensor) }
        })?;
        let tensor = tensor.f_set_requires_grad(true)?;
        let taken = tensor.f_to_kind(kind)?;
        tensors.insert(name.to_owned(), tensor);
        Ok(taken)
    }

    /// The values of a parameter, rounded to f16.
    pub(crate) fn rounded(&self, name: &str) -> std::result::Result<Tensor, WeightsError> {
        let tensors = self.tensors();
        let tensor = tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        Ok(tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Half)?.f_contiguous()?)
    }

    fn tensors(&self) -> MutexGuard<'_, BTreeMap<String, Tensor>> {
        self.tensors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_shape(name: &str, got: &[i64], expected: &[i64]) -> std::result::Result<(), WeightsError> {
    if got == expected {
        return Ok(());
    }
    Err(WeightsError::Shape { name: name.to_owned(), got: got.to_vec(), expected: expected.to_vec() })
}
