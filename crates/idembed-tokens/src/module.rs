//! The token module: from the start word's embedding to one vector per stage and half.
//!
//! `P_t` is tiled to `2 x stages` rows; learned row embeddings, pre-norm self-attention and a pre-norm feed-forward make
//! the rows differ; a zero-initialised projection is added to `P_t`, so that training starts exactly at the start word.
//!
//! Everything is relative to the size of the start word's embedding (its root mean square): `P_t` is trained as an
//! offset in units of it, and what the projection adds is in units of it too. Matrices learn more slowly the more inputs
//! they have ([`TokenModule::rate_factors`]), so that one step of Adam moves every activation by about the learning rate.
//! One learning rate thus serves text encoders of any width and scale.

use idembed_diffusion::noise::with_seed;
use idembed_layers::attention::fused_attention;
use tch::{Device, Kind, Tensor};

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

/// What is trained: a token module, or one vector alone.
///
/// Parameters are f32 leaves of the graph and are named; the start embedding is fixed.
#[derive(Debug)]
pub struct TokenModule {
    start: Tensor,
    scale: f64,
    rows: i64,
    body: Option<ModuleConfig>,
    parameters: Vec<(String, Tensor)>,
}

impl TokenModule {
    /// A module that gives `rows` vectors, all equal to `start` until it is trained.
    ///
    /// Without a `body` only the vector itself is trained, and all rows are that vector.
    ///
    /// # Shapes
    /// - `start`: `[hidden]`, the start word's input embedding
    ///
    /// # Errors
    /// `start` is zero or not finite, or its size is not a multiple of the number of heads.
    pub fn new(start: &Tensor, rows: i64, body: Option<ModuleConfig>, seed: u64) -> Result<Self> {
        let start = start.f_detach()?.f_to_kind(Kind::Float)?;
        let hidden = start.size1()?;
        let scale = start.f_square()?.f_mean(Kind::Float)?.f_sqrt()?.f_double_value(&[])?;
        if !scale.is_finite() || scale == 0.0 {
            let (got, expected) = (format!("one of size {scale}"), "a finite one that is not zero".to_owned());
            return Err(TokensError::Setting { what: "start embedding", got, expected });
        }
        if let Some(config) = body
            && (config.heads < 1 || hidden % config.heads != 0)
        {
            let (got, expected) = (config.heads.to_string(), format!("a divisor of the hidden size {hidden}"));
            return Err(TokensError::Setting { what: "number of module heads", got, expected });
        }
        let parameters = with_seed(seed, || Ok(initial_parameters(hidden, rows, body)))??;
        let parameters = parameters
            .into_iter()
            .map(|(name, value)| Ok((name, value.f_to_device(start.device())?.f_set_requires_grad(true)?)))
            .collect::<Result<_>>()?;
        Ok(TokenModule { start, scale, rows, body, parameters })
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

    /// Overwrites one trained tensor.
    ///
    /// # Errors
    /// No parameter has this name and shape.
    pub fn set_parameter(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let found = self.parameters.iter().find(|(own, own_value)| own == name && own_value.size() == value.size());
        let Some((_, parameter)) = found else {
            let expected = "the name and shape of a parameter".to_owned();
            return Err(TokensError::Setting { what: "token module's tensor", got: name.to_owned(), expected });
        };
        tch::no_grad(|| parameter.shallow_clone().f_copy_(value))?;
        Ok(())
    }

    /// The vectors.
    ///
    /// # Shapes
    /// - returns: `[rows, hidden]`, f32
    pub fn forward(&self) -> Result<Tensor> {
        let offset = self.parameter("offset")?;
        let placeholder = self.start.f_add(&offset.f_mul_scalar(self.scale)?)?;
        let tiled = placeholder.f_unsqueeze(0)?.f_expand([self.rows, self.start.size1()?], false)?;
        let Some(config) = self.body else { return Ok(tiled) };

        let x = tiled.f_div_scalar(self.scale)?.f_add(self.parameter("rows")?)?;
        let x = x.f_add(&self.self_attention(&x, config.heads)?)?;
        let x = x.f_add(&self.feed_forward(&x)?)?;
        let delta = self.layer_norm(&x, "norm3")?.f_linear(self.parameter("to_tokens.weight")?, None::<&Tensor>)?;
        Ok(tiled.f_add(&delta.f_mul_scalar(self.scale)?)?)
    }

    fn self_attention(&self, x: &Tensor, heads: i64) -> Result<Tensor> {
        let (rows, hidden) = x.size2()?;
        let normed = self.layer_norm(x, "norm1")?;
        let project = |name: &str| -> Result<Tensor> {
            let projected = self.linear(&normed, name)?;
            Ok(projected.f_view([1, rows, heads, hidden / heads])?.f_transpose(1, 2)?)
        };
        let attended = fused_attention(&project("to_q")?, &project("to_k")?, &project("to_v")?, false)?;
        self.linear(&attended.f_transpose(1, 2)?.f_reshape([rows, hidden])?, "to_out")
    }

    fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear(&self.linear(&self.layer_norm(x, "norm2")?, "fc1")?.f_gelu("none")?, "fc2")
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.parameter(&format!("{name}.weight"))?;
        Ok(x.f_linear(weight, Some(self.parameter(&format!("{name}.bias"))?))?)
    }

    fn layer_norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.parameter(&format!("{name}.weight"))?;
        let bias = self.parameter(&format!("{name}.bias"))?;
        Ok(x.f_layer_norm(weight.size(), Some(weight), Some(bias), LAYER_NORM_EPS, true)?)
    }

    fn parameter(&self, name: &str) -> Result<&Tensor> {
        let found = self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        found.ok_or_else(|| {
            let expected = "the name of a parameter".to_owned();
            TokensError::Setting { what: "token module's tensor", got: name.to_owned(), expected }
        })
    }
}

/// All parameters before training; the caller has seeded the generator.
fn initial_parameters(hidden: i64, rows: i64, body: Option<ModuleConfig>) -> Result<Vec<(String, Tensor)>> {
    let options = (Kind::Float, Device::Cpu);
    let zeros = |shape: &[i64]| Tensor::f_zeros(shape, options);
    let mut parameters = vec![("offset".to_owned(), zeros(&[hidden])?)];
    let Some(config) = body else { return Ok(parameters) };

    parameters.push(("rows".to_owned(), Tensor::f_randn([rows, hidden], options)?));
    let inner = hidden * config.expansion;
    let linears = [
        ("to_q", hidden, hidden),
        ("to_k", hidden, hidden),
        ("to_v", hidden, hidden),
        ("to_out", hidden, hidden),
        ("fc1", hidden, inner),
        ("fc2", inner, hidden),
    ];
    for (name, inputs, outputs) in linears {
        let weight = Tensor::f_randn([outputs, inputs], options)?.f_mul_scalar(1.0 / (inputs as f64).sqrt())?;
        parameters.push((format!("{name}.weight"), weight));
        parameters.push((format!("{name}.bias"), zeros(&[outputs])?));
    }
    for name in ["norm1", "norm2", "norm3"] {
        parameters.push((format!("{name}.weight"), Tensor::f_ones([hidden], options)?));
        parameters.push((format!("{name}.bias"), zeros(&[hidden])?));
    }
    parameters.push(("to_tokens.weight".to_owned(), zeros(&[hidden, hidden])?));
    Ok(parameters)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn starts_exactly_at_the_start_word() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4, 0.5, -0.6]);
        for body in [None, Some(ModuleConfig { heads: 3, expansion: 2 })] {
            let module = TokenModule::new(&start, 10, body, 1).unwrap();
            let tokens = module.forward().unwrap();
            assert_eq!(tokens.size(), [10, 6]);
            assert!(tokens.equal(&start.expand([10, 6], false)));
            assert!(tokens.requires_grad());
        }
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4]);
        let body = Some(ModuleConfig { heads: 1, expansion: 1 });
        let rows = |seed| TokenModule::new(&start, 2, body, seed).unwrap().parameter("rows").unwrap().copy();
        assert!(rows(5).equal(&rows(5)));
        assert!(!rows(5).equal(&rows(6)));
    }

    #[test]
    fn refuses_what_cannot_work() {
        let start = Tensor::from_slice(&[0.1f32, -0.2, 0.3, 0.4]);
        assert!(TokenModule::new(&start, 2, Some(ModuleConfig { heads: 3, expansion: 1 }), 0).is_err());
        assert!(TokenModule::new(&start.zeros_like(), 2, None, 0).is_err());
    }
}
