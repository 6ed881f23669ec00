//! Networks with random weights that a rule gives, so that no file of weights need be kept.
//!
//! The rule is stated in `fixtures/drawn_weights.py`, which fills the reference's networks.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};

/// The tensors of one network: their shapes by their names, and what else their numbers depend on.
#[derive(Clone, Debug)]
pub struct DrawnWeights {
    /// Their shapes by their names.
    pub shapes: BTreeMap<String, Vec<i64>>,
    seed: u64,
    gain: f64,
    half: bool,
}

impl DrawnWeights {
    /// From a case with `gain` and `shapes`, each a text such as `64x3x7x7`; kept in f16 if it says `half`.
    pub fn new(case: &Value, seed: u64) -> Self {
        let sizes = |text: &str| -> Vec<i64> {
            text.split('x').filter(|size| !size.is_empty()).map(|size| size.parse().unwrap()).collect()
        };
        let shapes = case["shapes"].as_object().unwrap().iter();
        let shapes = shapes.map(|(name, shape)| (name.clone(), sizes(shape.as_str().unwrap()))).collect();
        DrawnWeights { shapes, seed, gain: case["gain"].as_f64().unwrap(), half: case["half"] == true }
    }

    /// Writes them as safetensors.
    pub fn write(&self, path: &Path) {
        let tensors: Vec<(&str, Tensor)> =
            self.shapes.iter().map(|(name, shape)| (name.as_str(), self.draw(name, shape))).collect();
        Tensor::write_safetensors(&tensors, path).unwrap();
    }

    /// One of them.
    pub fn draw(&self, name: &str, shape: &[i64]) -> Tensor {
        if name.ends_with("num_batches_tracked") {
            return Tensor::from(0_i64);
        }
        let (low, high) = self.bounds(name, shape);
        let count = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> = uniform(name, self.seed).take(count).map(|u| (low + (high - low) * u) as f32).collect();
        let drawn = Tensor::from_slice(&values).view(shape);
        if self.half { drawn.to_kind(Kind::Half) } else { drawn }
    }

    fn bounds(&self, name: &str, shape: &[i64]) -> (f64, f64) {
        if name.ends_with("running_var") {
            (0.5, 1.5)
        } else if name.ends_with("running_mean") || name.ends_with("bias") {
            (-0.2, 0.2)
        } else if shape.len() > 1 {
            let inputs = shape[1..].iter().product::<i64>() as f64;
            let largest = (3.0 * self.gain / inputs).sqrt();
            (-largest, largest)
        } else {
            (0.25, 1.25)
        }
    }
}

/// SplitMix64 from FNV-1a of the name, as numbers from 0 to 1.
fn uniform(name: &str, seed: u64) -> impl Iterator<Item = f64> {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mut state = hash ^ seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}
