//! Parameters that are trained: leaf tensors in memory, by the names of the checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

use super::{Init, Source, Stored};
use crate::conv_weight::channels_last;
use crate::cuda;
use crate::error::check_shape;
use crate::tensor_file::TensorFile;
use crate::{Error, Result, WeightsError};

/// The parameters of one network, f32. A clone is another handle on the same ones.
///
/// They come into being when the network that is built on them ([`crate::Weights::from_parameters`]) asks for them, with
/// values that depend on the seed, their names and what the network says of them ([`Init`]). Four-dimensional ones lie in the order of
/// [`crate::channels_last`].
#[derive(Debug, Clone)]
pub struct Parameters {
    seed: u64,
    device: Device,
    /// Before all names in `tensors` that belong to this part.
    prefix: String,
    tensors: Arc<Mutex<BTreeMap<String, Tensor>>>,
}

impl Parameters {
    /// No parameters yet.
    pub fn new(seed: u64, device: Device) -> Self {
        if device.is_cuda() {
            cuda::load();
        }
        Parameters { seed, device, prefix: String::new(), tensors: Arc::default() }
    }

    /// Those whose names begin with `name` and a dot, without that: one of several networks that are trained together.
    pub fn part(&self, name: &str) -> Self {
        Parameters { prefix: format!("{}{name}.", self.prefix), tensors: self.tensors.clone(), ..*self }
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All of them, in the order of their names.
    pub fn list(&self) -> Vec<(String, Tensor)> {
        let tensors = self.tensors();
        let own = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&self.prefix)?, tensor)));
        own.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
    }

    /// The same numbers with gradients of their own, for a network on another thread.
    pub fn replica(&self) -> Result<Self> {
        self.map(|tensor| tensor.f_detach()?.f_set_requires_grad(true))
    }

    pub(crate) fn map(
        &self,
        mut change: impl FnMut(&Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Self> {
        let changed = self.list().into_iter().map(|(name, tensor)| Ok((name, change(&tensor)?)));
        let changed: BTreeMap<String, Tensor> = changed.collect::<Result<_>>()?;
        Ok(Parameters { prefix: String::new(), tensors: Arc::new(Mutex::new(changed)), ..*self })
    }

    /// Takes over the numbers of tensors with the same names and shapes.
    ///
    /// # Errors
    /// One is missing, extra or misshapen; nothing has changed then.
    pub fn set(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        let tensors: BTreeMap<String, Tensor> = self.list().into_iter().collect();
        for (name, tensor) in &tensors {
            let value = values.get(name).ok_or_else(|| Error::Parameters(WeightsError::Missing(name.clone())))?;
            check_shape(name, &value.size(), &tensor.size()).map_err(Error::Parameters)?;
        }
        let mut extra = values.keys().filter(|name| !tensors.contains_key(*name));
        if let Some(first) = extra.next() {
            let count = 1 + extra.count();
            return Err(Error::Parameters(WeightsError::Extra { first: first.clone(), count }));
        }
        tch::no_grad(|| {
            for (name, mut tensor) in tensors {
                tensor.f_copy_(&values[&name])?;
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

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn tensors(&self) -> MutexGuard<'_, BTreeMap<String, Tensor>> {
        self.tensors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Parameters {
    fn names(&self) -> Vec<String> {
        self.list().into_iter().map(|(name, _)| name).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.tensors().get(&self.full(name)).map(Tensor::size)
    }

    /// The parameter itself.
    fn stored(&self, name: &str) -> std::result::Result<Stored, WeightsError> {
        let tensors = self.tensors();
        let tensor = tensors.get(&self.full(name)).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        Ok(Stored::in_memory(tensor.shallow_clone()))
    }

    fn make(&self, name: &str, shape: &[i64], init: Init) -> std::result::Result<(), WeightsError> {
        let mut tensors = self.tensors();
        let full = self.full(name);
        if tensors.contains_key(&full) {
            return Ok(());
        }
        let values = init.draw(self.seed, &full, shape.iter().product::<i64>().max(0) as usize);
        let tensor = tch::no_grad(|| {
            let tensor = Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(self.device)?;
            if shape.len() == 4 { channels_last(&tensor) } else { Ok(tensor) }
        })?;
        tensors.insert(full, tensor.f_set_requires_grad(true)?);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::Weights;
    use crate::packed::Packed;

    /// A convolution and what it makes of ones.
    fn convolve(parameters: &Parameters, kind: Kind) -> Tensor {
        let weights = Weights::from_parameters(parameters, kind);
        let scope = &weights.root() / "conv";
        let weight = scope.conv_weight("weight", &[4, 3, 3, 3], Init::fan_in(27)).unwrap();
        let bias = scope.tensor("bias", &[4], Init::fan_in(27)).unwrap();
        Tensor::ones([1, 3, 5, 5], (kind, Device::Cpu)).conv2d(weight.get().unwrap(), Some(&bias), 1, 0, 1, 1)
    }

    fn values(parameters: &Parameters) -> BTreeMap<String, Tensor> {
        parameters.list().into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
    }

    #[test]
    fn gradients_reach_the_same_leaves_again_in_any_format() {
        let parameters = Parameters::new(1, Device::Cpu);
        for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 1e-2)] {
            convolve(&parameters, kind).sum(Kind::Float).backward();
            let list = parameters.list();
            let [(bias_name, bias), (weight_name, weight)] = list.as_slice() else { panic!("{list:?}") };
            assert_eq!((bias_name.as_str(), weight_name.as_str()), ("conv.bias", "conv.weight"));
            assert!(weight.is_leaf() && weight.kind() == Kind::Float);
            assert_eq!(weight.stride(), [27, 1, 9, 3], "channels last");
            for mut leaf in [weight.shallow_clone(), bias.shallow_clone()] {
                // Each weight and each bias meets nine ones.
                assert!((leaf.grad() - 9.0).abs().max().double_value(&[]) < tolerance, "{kind:?}");
                leaf.zero_grad();
            }
        }
    }

    #[test]
    fn a_replica_shares_the_numbers_and_a_frozen_copy_does_not() {
        let parameters = Parameters::new(1, Device::Cpu);
        let _ = convolve(&parameters, Kind::Float);
        let (replica, packed) = (parameters.replica().unwrap(), Packed::copy(&parameters).unwrap());
        let copy = packed.with(&packed.numbers).unwrap().parameters;
        let before = values(&parameters);
        let doubled = before.iter().map(|(name, value)| (name.clone(), value * 2.0)).collect();
        parameters.set(&doubled).unwrap();
        let after = |parameters: &Parameters| values(parameters)["conv.weight"].copy();
        assert!(after(&replica).equal(&doubled["conv.weight"]) && after(&copy).equal(&before["conv.weight"]));
        assert!(replica.list().iter().all(|(_, tensor)| tensor.requires_grad() && !tensor.grad().defined()));
        assert!(copy.list().iter().all(|(_, tensor)| !tensor.requires_grad()));
    }

    #[test]
    fn a_part_is_a_network_of_its_own_among_the_same_parameters() {
        let parameters = Parameters::new(1, Device::Cpu);
        let (first, second) = (parameters.part("first"), parameters.part("second"));
        let outputs = [&first, &second].map(|part| convolve(part, Kind::Float));
        assert!(!outputs[0].equal(&outputs[1]), "other names, other values");
        let names = |parameters: &Parameters| parameters.list().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names(&parameters),
            ["first.conv.bias", "first.conv.weight", "second.conv.bias", "second.conv.weight"]
        );
        assert_eq!(names(&first), ["conv.bias", "conv.weight"]);
        assert_eq!(names(&Packed::copy(&first).unwrap().parameters), names(&first));
        let zeros = values(&first).into_iter().map(|(name, value)| (name, value.zeros_like())).collect();
        first.set(&zeros).unwrap();
        let size = |name: &str| values(&parameters)[name].abs().sum(Kind::Float).double_value(&[]);
        assert!(size("first.conv.weight") == 0.0 && size("second.conv.weight") > 0.0);
    }

    #[test]
    fn saved_parameters_are_a_weight_file_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let parameters = Parameters::new(1, Device::Cpu);
        let output = convolve(&parameters, Kind::Float);
        for (kind, tolerance) in [(Kind::Float, 0.0), (Kind::Half, 1e-3)] {
            let path = folder.path().join("weights.safetensors");
            parameters.save(&path, kind).unwrap();
            let weights = Weights::open_file(&path, crate::Compute::CPU_F32).unwrap();
            let scope = &weights.root() / "conv";
            let weight = scope.conv_weight("weight", &[4, 3, 3, 3], Init::fan_in(27)).unwrap();
            let bias = scope.tensor("bias", &[4], Init::fan_in(27)).unwrap();
            weights.check_all_used(&[]).unwrap();
            let ones = Tensor::ones([1, 3, 5, 5], (Kind::Float, Device::Cpu));
            let again = ones.conv2d(weight.get().unwrap(), Some(&bias), 1, 0, 1, 1);
            assert!((again - &output).abs().max().double_value(&[]) <= tolerance, "{kind:?}");
        }
        let in_memory = Weights::from_parameters(&parameters, Kind::Float);
        let from_file =
            Weights::open_file(&folder.path().join("weights.safetensors"), crate::Compute::CPU_F32).unwrap();
        for weights in [&in_memory, &from_file] {
            let _ = weights.root().tensor("conv.bias", &[4], Init::ZEROS).unwrap();
        }
        let fingerprint = |weights: &Weights| weights.fingerprint("", |_| true).unwrap();
        assert_eq!(fingerprint(&in_memory), fingerprint(&from_file));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let parameters = Parameters::new(1, Device::Cpu);
        let _ = convolve(&parameters, Kind::Float);
        let before = values(&parameters);
        let refused = |change: fn(&mut BTreeMap<String, Tensor>)| {
            let mut other: BTreeMap<String, Tensor> =
                before.iter().map(|(name, value)| (name.clone(), value + 1.0)).collect();
            change(&mut other);
            match parameters.set(&other).unwrap_err() {
                Error::Parameters(source) => source,
                other => panic!("{other:?}"),
            }
        };
        let missing = refused(|values| drop(values.remove("conv.weight")));
        assert!(matches!(missing, WeightsError::Missing(name) if name == "conv.weight"));
        let extra = refused(|values| drop(values.insert("other".to_owned(), Tensor::from(1.0f32))));
        assert!(matches!(extra, WeightsError::Extra { first, count: 1 } if first == "other"));
        let shape = refused(|values| drop(values.insert("conv.weight".to_owned(), Tensor::from(1.0f32))));
        assert!(matches!(shape, WeightsError::Shape { name, .. } if name == "conv.weight"));
        assert!(values(&parameters).iter().all(|(name, value)| value.equal(&before[name])));

        let weights = Weights::from_parameters(&parameters, Kind::Float);
        let error = weights.root().tensor("conv.weight", &[4, 3, 3], Init::ZEROS).unwrap_err();
        assert!(matches!(error, Error::Parameters(WeightsError::Shape { .. })), "{error:?}");
    }
}
