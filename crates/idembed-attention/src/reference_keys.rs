//! The reference prompt's keys: one constant per cross-attention layer.

use tch::{Kind, Tensor};

use crate::check;
use crate::error::{AttentionError, Result};

/// The keys K_r of the reference prompt for every cross-attention layer, checked once and used in every pass.
#[derive(Debug)]
pub struct ReferenceKeys {
    layers: Vec<Tensor>,
}

impl ReferenceKeys {
    /// Takes the keys of all cross-attention layers in the order of the forward pass, and cuts their gradient.
    ///
    /// # Shapes
    /// - each of `layers`: `[1 or batch, heads, tokens, head_dim]`; batch and tokens are the same in all
    ///
    /// # Errors
    /// No layer, a wrong shape, NaN or infinity.
    pub fn new(layers: Vec<Tensor>) -> Result<Self> {
        let what = "a reference key tensor";
        let first = layers.first().ok_or_else(|| AttentionError::Setting("there are no reference keys".to_owned()))?;
        let [batch, _, tokens, _] = first.size()[..] else {
            return Err(check::shape_error(what, first, "[1 or batch, heads, tokens, head_dim]"));
        };
        let mut detached = Vec::with_capacity(layers.len());
        for key in &layers {
            match key.size()[..] {
                [b, heads, t, dim] if b == batch && t == tokens && b * heads * t * dim > 0 => {}
                _ => return Err(check::shape_error(what, key, format!("[{batch}, heads, {tokens}, head_dim]"))),
            }
            let key = key.f_detach()?;
            check::finite(what, &key.f_to_kind(Kind::Float)?)?;
            detached.push(key);
        }
        Ok(ReferenceKeys { layers: detached })
    }

    /// The keys for samples of different prompts: for each sample, those of the prompt of this number.
    ///
    /// # Errors
    /// There is no prompt of that number.
    pub fn of_samples(&self, prompts: &[i64]) -> Result<Self> {
        let known = self.layers.first().map_or(0, |key| key.size()[0]);
        if let Some(other) = prompts.iter().find(|prompt| !(0..known).contains(*prompt)) {
            return Err(AttentionError::Setting(format!("there is no reference prompt {other} among {known}")));
        }
        let select = |key: &Tensor| key.f_index_select(0, &Tensor::f_from_slice(prompts)?.f_to_device(key.device())?);
        let layers = self.layers.iter().map(select).collect::<std::result::Result<_, tch::TchError>>()?;
        Ok(ReferenceKeys { layers })
    }

    /// The keys of one layer.
    ///
    /// # Errors
    /// No keys were given for that layer.
    pub fn get(&self, index: usize) -> Result<&Tensor> {
        self.layers.get(index).ok_or(AttentionError::UnknownLayer { index, layers: self.layers.len() })
    }

    /// Number of layers.
    pub fn total(&self) -> usize {
        self.layers.len()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn refuses_what_cannot_be_keys() {
        assert!(ReferenceKeys::new(Vec::new()).is_err());
        assert!(ReferenceKeys::new(vec![zeros(&[3, 5, 7])]).is_err());
        assert!(ReferenceKeys::new(vec![zeros(&[1, 3, 0, 7])]).is_err());
        let error = ReferenceKeys::new(vec![zeros(&[1, 3, 5, 7]), zeros(&[1, 2, 6, 4])]).unwrap_err().to_string();
        assert_eq!(error, "a reference key tensor has shape [1, 2, 6, 4], expected [1, heads, 5, head_dim]");
        let nan = zeros(&[1, 3, 5, 7]) + f64::NAN;
        assert!(matches!(ReferenceKeys::new(vec![nan]), Err(AttentionError::Values { .. })));
    }

    #[test]
    fn each_sample_gets_the_keys_of_its_prompt() {
        let keys = Tensor::arange(24, (Kind::Float, tch::Device::Cpu)).view([2, 3, 4, 1]);
        let keys = ReferenceKeys::new(vec![keys.shallow_clone(), keys.neg()]).unwrap();
        let picked = keys.of_samples(&[1, 0, 1]).unwrap();
        for layer in [0, 1] {
            let (whole, picked) = (keys.get(layer).unwrap(), picked.get(layer).unwrap());
            assert_eq!(picked.size(), [3, 3, 4, 1]);
            assert!((0..3).all(|row| picked.get(row).equal(&whole.get(1 - row % 2))));
        }
        assert!(keys.of_samples(&[2]).is_err() && keys.of_samples(&[-1]).is_err());
    }

    #[test]
    fn keys_carry_no_gradient() {
        let keys = ReferenceKeys::new(vec![zeros(&[1, 3, 5, 7]).set_requires_grad(true)]).unwrap();
        assert!(!keys.get(0).unwrap().requires_grad());
        assert!(matches!(keys.get(1), Err(AttentionError::UnknownLayer { index: 1, layers: 1 })));
    }
}
