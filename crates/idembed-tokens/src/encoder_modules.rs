//! What is trained for all text encoders of a model: a token module for each.

use tch::Tensor;

use crate::Result;
use crate::module::{ModuleConfig, TokenModule};

/// A token module for each text encoder, in their order.
#[derive(Debug)]
pub(crate) struct EncoderModules {
    modules: Vec<TokenModule>,
}

impl EncoderModules {
    /// As [`TokenModule::new`], with the start word's embedding of each text encoder.
    pub(crate) fn new(starts: &[Tensor], rows: i64, body: Option<ModuleConfig>, seed: u64) -> Result<Self> {
        // Encoders of the same width would otherwise begin with the same numbers.
        let module = |(index, start)| TokenModule::new(start, rows, body, seed.wrapping_add(index as u64));
        Ok(EncoderModules { modules: starts.iter().enumerate().map(module).collect::<Result<_>>()? })
    }

    /// For each text encoder the vectors, `[rows, hidden]`, f32.
    pub(crate) fn forward(&self) -> Result<Vec<Tensor>> {
        self.modules.iter().map(TokenModule::forward).collect()
    }

    /// The trained tensors with their names in a checkpoint, in a fixed order. From the second text encoder on, its number
    /// stands before the name.
    pub(crate) fn parameters(&self) -> Vec<(String, &Tensor)> {
        let mut parameters = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            let prefix = if index == 0 { String::new() } else { format!("{index}.") };
            parameters.extend(module.parameters().iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        parameters
    }

    /// The tensors alone.
    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        self.modules.iter().flat_map(|module| module.parameters().iter().map(|(_, tensor)| tensor)).collect()
    }

    /// As [`TokenModule::rate_factors`], in the order of the parameters.
    pub(crate) fn rate_factors(&self) -> Vec<f64> {
        self.modules.iter().flat_map(TokenModule::rate_factors).collect()
    }
}
