//! What is trained for all text encoders of a model, and the table of rows that comes of it.

use tch::Tensor;

use crate::basis::Basis;
use crate::layout::Layout;
use crate::module::{ModuleConfig, TokenModule};
use crate::token_options::Rows;
use crate::vectors::Vectors;
use crate::{Result, TokensError};

/// The learned rows of an identity for each text encoder, in their order.
#[derive(Debug)]
pub(crate) struct LearnedRows {
    encoders: Vec<EncoderPart>,
    fixed_norm: bool,
    /// Of each row of the table, where it comes from ([`Layout::sources`]).
    sources: Tensor,
}

/// Those for one text encoder.
#[derive(Debug)]
struct EncoderPart {
    maker: Maker,
    /// The class word at every word of the identity, `[words, hidden]`.
    class: Tensor,
    /// Length of the class word's vector.
    class_norm: f64,
}

/// What makes the learned rows.
#[derive(Debug)]
enum Maker {
    Vectors(Vectors),
    Module(Box<TokenModule>),
    Basis(Basis),
    Fixed(Tensor),
}

/// What the rows of an identity for one text encoder are made from.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The class word, `[1, hidden]`.
    pub(crate) class: Tensor,
    /// Where learning starts, `[learned words, hidden]`, or `[learned rows, hidden]`.
    pub(crate) start: Tensor,
    /// Names that the model knows, `[names, learned words, hidden]`, where the rows are of their space.
    pub(crate) names: Option<Tensor>,
}

impl LearnedRows {
    /// Rows that stand at the start until they are trained.
    ///
    /// # Errors
    /// A start that is zero or not finite, or what a token module refuses.
    pub(crate) fn new(
        grounds: Vec<Ground>,
        layout: &Layout,
        rows: Rows,
        fixed_norm: bool,
        module: ModuleConfig,
        seed: u64,
    ) -> Result<Self> {
        let encoders = grounds.into_iter().enumerate().map(|(index, ground)| {
            let count = layout.learned_rows() as i64;
            let Ground { class, start, names } = ground;
            // Row after row, each with its own start or its word's.
            let tiled = start.f_repeat([count / start.size()[0], 1])?;
            let maker = match rows {
                Rows::Vectors => Maker::Vectors(Vectors::new(&tiled)?),
                // Encoders of the same width would otherwise begin with the same numbers.
                Rows::Module => {
                    Maker::Module(Box::new(TokenModule::new(&start, count, module, seed.wrapping_add(index as u64))?))
                }
                Rows::Basis => {
                    let names = names.ok_or_else(|| TokensError::Setting {
                        what: "list of names",
                        got: "missing".to_owned(),
                        expected: "given, because the vectors are of their space".to_owned(),
                    })?;
                    Maker::Basis(Basis::new(&tiled, &names)?)
                }
                Rows::Fixed => Maker::Fixed(tiled),
            };
            let class_norm = class.f_norm()?.f_double_value(&[])?;
            let class = class.f_expand([layout.words as i64, -1], false)?;
            Ok(EncoderPart { maker, class, class_norm })
        });
        let encoders: Vec<EncoderPart> = encoders.collect::<Result<_>>()?;
        let device = encoders.first().map_or(tch::Device::Cpu, |part| part.class.device());
        let sources = Tensor::f_from_slice(&layout.sources())?.f_to_device(device)?;
        Ok(LearnedRows { encoders, fixed_norm, sources })
    }

    /// For each text encoder the whole table, `[rows, hidden]`, f32 ([`Layout`]).
    pub(crate) fn forward(&self) -> Result<Vec<Tensor>> {
        self.encoders.iter().map(|part| part.forward(self.fixed_norm, &self.sources)).collect()
    }

    /// The trained tensors with their names in a checkpoint, in a fixed order. From the second text encoder on, its number
    /// stands before the name.
    pub(crate) fn parameters(&self) -> Vec<(String, &Tensor)> {
        let mut parameters = Vec::new();
        for (index, part) in self.encoders.iter().enumerate() {
            let prefix = if index == 0 { String::new() } else { format!("{index}.") };
            let own = part.maker.parameters().into_iter();
            parameters.extend(own.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        parameters
    }

    /// What each parameter's learning rate is to be multiplied with, in the order of the parameters.
    pub(crate) fn rate_factors(&self) -> Vec<f64> {
        self.encoders.iter().flat_map(|part| part.maker.rate_factors()).collect()
    }
}

impl EncoderPart {
    fn forward(&self, fixed_norm: bool, sources: &Tensor) -> Result<Tensor> {
        let rows = match &self.maker {
            Maker::Vectors(vectors) => vectors.forward()?,
            Maker::Module(module) => module.forward()?,
            Maker::Basis(basis) => basis.forward()?,
            Maker::Fixed(rows) => rows.shallow_clone(),
        };
        let rows = if fixed_norm {
            let norms = rows.f_norm_scalaropt_dim(2.0, [1i64], true)?;
            rows.f_div(&norms)?.f_mul_scalar(self.class_norm)?
        } else {
            rows
        };
        Ok(Tensor::f_cat(&[&rows, &self.class], 0)?.f_index_select(0, sources)?)
    }
}

impl Maker {
    fn parameters(&self) -> Vec<(&str, &Tensor)> {
        match self {
            Maker::Vectors(vectors) => vec![("offset", vectors.offset())],
            Maker::Module(module) => module.parameters().iter().map(|(name, tensor)| (name.as_str(), tensor)).collect(),
            Maker::Basis(basis) => vec![("coefficients", basis.coefficients())],
            Maker::Fixed(_) => Vec::new(),
        }
    }

    fn rate_factors(&self) -> Vec<f64> {
        match self {
            Maker::Module(module) => module.rate_factors(),
            Maker::Vectors(_) | Maker::Basis(_) => vec![1.0],
            Maker::Fixed(_) => Vec::new(),
        }
    }
}
