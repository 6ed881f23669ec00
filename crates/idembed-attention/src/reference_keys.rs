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
    fn keys_carry_no_gradient() {
        let keys = ReferenceKeys::new(vec![zeros(&[1, 3, 5, 7]).set_requires_grad(true)]).unwrap();
        assert!(!keys.get(0).unwrap().requires_grad());
        assert!(matches!(keys.get(1), Err(AttentionError::UnknownLayer { index: 1, layers: 1 })));
    }
}
