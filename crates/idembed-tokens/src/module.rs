//! The token module: from the start word's embedding to one vector per stage and half.
//!
//! `P_t` is tiled to `2 x stages` rows; learned row embeddings, pre-norm self-attention and a pre-norm feed-forward make
//! the rows differ; a zero-initialised projection is added to `P_t`, so that training starts exactly at the start word.
//!
//! Everything is relative to the size of the start word's embedding (its root mean square): `P_t` is trained as an
//! offset in units of it, and what the projection adds is in units of it too. Matrices learn more slowly the more inputs
//! they have ([`TokenModule::rate_factors`]), so that one step of Adam moves every activation by about the learning rate.
//! One learning rate thus serves text encoders of any width and scale.
//!
//! Where an identity is learned further, each row starts at a vector of its own instead; the offset is the same for all.

use std::collections::BTreeMap;

use idembed_diffusion::noise::with_seed;
use idembed_layers::attention::{fused_attention, merge_heads, split_heads};
use idembed_layers::{LayerNorm, Linear};
use idembed_weights::{Init, Parameters, Scope, Weights};
use tch::{Device, Kind, TchError, Tensor};

use crate::vectors::size_of_start;
use crate::{Result, TokensError};

/// Added to the variance in layer normalisation.
const LAYER_NORM_EPS: f64 = 1e-5;

/// The module's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleConfig {
    /// Heads of the self-attention; must divide the hidden size.
    pub heads: i64,
    /// Inner width of the feed-forward, in multiples of the hidden size.
    pub expansion: i64,
}

impl Default for ModuleConfig {
    fn default() -> Self {
        ModuleConfig { heads: 8, expansion: 2 }
    }
}

/// A token module.
///
/// Parameters are f32 leaves of the graph and are named; the start embedding is fixed.
#[derive(Debug)]
pub struct TokenModule {
    /// `[1 or rows, hidden]`.
    start: Tensor,
    scale: f64,
    rows: i64,
    offset: Tensor,
    body: Body,
    parameters: Vec<(String, Tensor)>,
}

impl TokenModule {
    /// A module that gives `rows` vectors, equal to `start` until it is trained.
    ///
    /// # Shapes
    /// - `start`: `[hidden]`, the start word's input embedding; or one for each row, `[rows, hidden]`
    ///
    /// # Errors
    /// `start` is zero or not finite, of another shape, or its size is not a multiple of the number of heads.
    pub fn new(start: &Tensor, rows: i64, config: ModuleConfig, seed: u64) -> Result<Self> {
        let start = start.f_detach()?.f_to_kind(Kind::Float)?;
        let start = if start.dim() == 1 { start.f_unsqueeze(0)? } else { start };
        let hidden = match start.size()[..] {
            [starts, hidden] if starts == 1 || starts == rows => hidden,
            _ => {
                let expected = format!("[hidden] or [{rows}, hidden]");
                return Err(TokensError::Shape { what: "start", got: start.size(), expected });
            }
        };
        let scale = size_of_start(&start)?;
        let leaves = Parameters::new(seed, start.device());
        let weights = Weights::from_parameters(&leaves, Kind::Float);
        let offset = weights.root().tensor("offset", &[hidden], Init::ZEROS)?;
        let body = Body::load(&weights.root(), hidden, rows, config)?;
        let mut values: BTreeMap<String, Tensor> = leaves.list().into_iter().collect();
        values.extend(with_seed(seed, || body.first_values())?);
        leaves.set(&values)?;
        Ok(TokenModule { start, scale, rows, offset, body, parameters: leaves.list() })
    }

    /// The trained tensors with their names, in a fixed order.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// What each parameter's learning rate is to be multiplied with, in the order of the parameters: one over the number
    /// of inputs for matrices, 1 for all else.
    ///
    /// # Source
    /// arXiv 2203.03466, table 3: Adam's rates that keep the size of an update's effect independent of the width.
    pub fn rate_factors(&self) -> Vec<f64> {
        let factor = |(name, value): &(String, Tensor)| match value.size()[..] {
            [_, inputs] if name.ends_with(".weight") => 1.0 / inputs as f64,
            _ => 1.0,
        };
        self.parameters.iter().map(factor).collect()
    }

    /// The vectors.
    ///
    /// # Shapes
    /// - returns: `[rows, hidden]`, f32
    pub fn forward(&self) -> Result<Tensor> {
        let placeholder = self.start.f_add(&self.offset.f_mul_scalar(self.scale)?)?;
        let tiled = placeholder.f_expand([self.rows, -1], false)?;
        let delta = self.body.forward(&tiled.f_div_scalar(self.scale)?)?;
        Ok(tiled.f_add(&delta.f_mul_scalar(self.scale)?)?)
    }
}

/// What makes the rows differ.
#[derive(Debug)]
struct Body {
    hidden: i64,
    config: ModuleConfig,
    rows: Tensor,
    norm1: LayerNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    norm3: LayerNorm,
    to_tokens: Tensor,
}

impl Body {
    fn load(root: &Scope<'_>, hidden: i64, rows: i64, config: ModuleConfig) -> Result<Self> {
        if config.heads < 1 || hidden % config.heads != 0 {
            let (got, expected) = (config.heads.to_string(), format!("a divisor of the hidden size {hidden}"));
            return Err(TokensError::Setting { what: "number of module heads", got, expected });
        }
        let inner = hidden * config.expansion;
        let linear = |name: &str, inputs: i64, outputs: i64| {
            Linear::load_with_bias(&(root / name), inputs, outputs, Init::ZEROS)
        };
        let norm = |name: &str| LayerNorm::load(&(root / name), hidden, LAYER_NORM_EPS);
        Ok(Body {
            hidden,
            config,
            rows: root.tensor("rows", &[rows, hidden], Init::Normal(1.0))?,
            norm1: norm("norm1")?,
            to_q: linear("to_q", hidden, hidden)?,
            to_k: linear("to_k", hidden, hidden)?,
            to_v: linear("to_v", hidden, hidden)?,
            to_out: linear("to_out", hidden, hidden)?,
            norm2: norm("norm2")?,
            fc1: linear("fc1", hidden, inner)?,
            fc2: linear("fc2", inner, hidden)?,
            norm3: norm("norm3")?,
            to_tokens: root.tensor("to_tokens.weight", &[hidden, hidden], Init::ZEROS)?,
        })
    }

    /// What is random before training, drawn by libtorch's generator one after the other, so that a seed keeps its meaning;
    /// the caller has seeded it. Matrices are normally distributed with the variance `1 / inputs`.
    fn first_values(&self) -> idembed_diffusion::Result<Vec<(String, Tensor)>> {
        let draw = |shape: &[i64]| Tensor::f_randn(shape, (Kind::Float, Device::Cpu));
        let (hidden, inner) = (self.hidden, self.hidden * self.config.expansion);
        let mut values = vec![("rows".to_owned(), draw(&self.rows.size())?)];
        let matrices = [
            ("to_q", hidden, hidden),
            ("to_k", hidden, hidden),
            ("to_v", hidden, hidden),
            ("to_out", hidden, hidden),
            ("fc1", hidden, inner),
            ("fc2", inner, hidden),
        ];
        for (name, inputs, outputs) in matrices {
            let weight = draw(&[outputs, inputs])?.f_mul_scalar(1.0 / (inputs as f64).sqrt())?;
            values.push((format!("{name}.weight"), weight));
        }
        Ok(values)
    }

    /// # Shapes
    /// - `x`, returns: `[rows, hidden]`
    fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        let x = x.f_add(&self.rows)?;
        let x = x.f_add(&self.self_attention(&self.norm1.forward(&x)?)?)?;
        let x = x.f_add(&self.fc2.forward(&self.fc1.forward(&self.norm2.forward(&x)?)?.f_gelu("none")?)?)?;
        self.norm3.forward(&x)?.f_linear(&self.to_tokens, None::<&Tensor>)
    }

    fn self_attention(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        let project = |linear: &Linear| split_heads(&linear.forward(x)?.f_unsqueeze(0)?, self.config.heads);
        let (query, key, value) = (project(&self.to_q)?, project(&self.to_k)?, project(&self.to_v)?);
        let attended = merge_heads(&fused_attention(&query, &key, &value, false)?)?;
        self.to_out.forward(&attended.f_squeeze_dim(0)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn starts_exactly_at_the_start_word() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4, 0.5, -0.6]);
        let module = TokenModule::new(&start, 10, ModuleConfig { heads: 3, expansion: 2 }, 1).unwrap();
        let tokens = module.forward().unwrap();
        assert_eq!(tokens.size(), [10, 6]);
        assert!(tokens.equal(&start.expand([10, 6], false)));
        assert!(tokens.requires_grad());
    }

    #[test]
    fn each_row_may_start_at_its_own_vector() {
        let start = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25]);
        let starts = Tensor::stack(&[&start, &(&start * -2.0), &(&start + 1.0)], 0);
        let config = ModuleConfig { heads: 2, expansion: 1 };
        let module = TokenModule::new(&starts, 3, config, 1).unwrap();
        assert!(module.forward().unwrap().equal(&starts));
        // The same start for all rows is one start: every number agrees, trained or not.
        let one = TokenModule::new(&start, 3, config, 1).unwrap();
        let tiled = TokenModule::new(&starts.narrow(0, 0, 1).expand([3, 4], false), 3, config, 1).unwrap();
        for module in [&one, &tiled] {
            let parameter =
                |name: &str| module.parameters().iter().find(|(own, _)| own == name).unwrap().1.shallow_clone();
            let _ = tch::no_grad(|| (parameter("to_tokens.weight").fill_(0.125), parameter("offset").fill_(0.5)));
        }
        assert!(one.forward().unwrap().equal(&tiled.forward().unwrap()));
        assert!(!one.forward().unwrap().get(0).equal(&one.forward().unwrap().get(1)));
        assert!(TokenModule::new(&starts.narrow(0, 0, 2), 3, config, 1).is_err());
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4]);
        let config = ModuleConfig { heads: 1, expansion: 2 };
        let first = |seed| -> BTreeMap<String, Tensor> {
            let module = TokenModule::new(&start, 6, config, seed).unwrap();
            module.parameters().iter().map(|(name, value)| (name.clone(), value.detach().copy())).collect()
        };
        let (one, same, other) = (first(5), first(5), first(6));
        assert!(one.iter().all(|(name, value)| value.equal(&same[name])));
        assert!(!one["rows"].equal(&other["rows"]));

        // Runs are repeated by their seed, so that it must go on to mean these draws in this order.
        let shapes = [[6, 4], [4, 4], [4, 4], [4, 4], [4, 4], [8, 4], [4, 8]];
        let drawn = with_seed(5, || Ok(shapes.map(|shape| Tensor::randn(shape, (Kind::Float, Device::Cpu)))));
        let [rows, matrices @ ..] = drawn.unwrap();
        assert!(one["rows"].equal(&rows));
        for (name, matrix) in ["to_q", "to_k", "to_v", "to_out", "fc1", "fc2"].into_iter().zip(matrices) {
            let inputs = matrix.size()[1] as f64;
            let difference = &one[&format!("{name}.weight")] - matrix / inputs.sqrt();
            assert!(difference.abs().max().double_value(&[]) < 1e-6, "{name}");
        }
        let all = |value: f64| one.values().filter(|tensor| tensor.equal(&tensor.full_like(value))).count();
        // The offset, the projection, and the biases; the normalisations' scales; what was drawn.
        assert_eq!((all(0.0), all(1.0), one.len()), (2 + 9, 3, 14 + 7));
    }

    #[test]
    fn refuses_what_cannot_work() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4]);
        assert!(TokenModule::new(&start, 2, ModuleConfig { heads: 3, expansion: 1 }, 0).is_err());
        assert!(TokenModule::new(&start.zeros_like(), 2, ModuleConfig { heads: 1, expansion: 1 }, 0).is_err());
    }
}
