//! Checkpoints: the whole state of a run in one file, so that it can go on exactly where it was.
//!
//! There is no state of a random generator in it: every step draws from a seed of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use idembed_optimizer::{Decay, Estimate, OptimizerName};
use idembed_weights::TensorFile;
use tch::{Kind, Tensor};

use crate::error::FileError;
use crate::report::History;
use crate::trainer::Trainer;
use crate::{Result, TokensError};

/// The format that this program writes and reads.
///
/// Version 1 drew timesteps in another way: its runs cannot go on as they began.
pub const FORMAT: &str = "idembed-checkpoint/2";

/// Far above any real checkpoint: the largest text encoders give some 100 MB.
const SIZE_LIMIT: u64 = 4 << 30;

const WHAT: &str = "checkpoint";

/// Before each setting's name in the metadata.
const RUN_PREFIX: &str = "run.";

/// The setting that may grow.
const STEPS: &str = "steps";

/// The setting that checkpoints of versions which knew one optimizer alone do not name.
const OPTIMIZER: &str = "optimizer";

const LOSS_SCALE: &str = "loss_scale";

/// Of an optimizer that estimates how far it has to go.
const DISTANCE: &str = "distance";
const NUMERATOR: &str = "numerator";

type FileResult<T> = std::result::Result<T, FileError>;

/// What a checkpoint says of its run.
#[derive(Debug, Clone)]
pub struct CheckpointInfo {
    /// Steps done.
    pub step: usize,
    /// What the losses are multiplied with before their gradients are computed.
    pub loss_scale: f64,
    /// Settings and inputs of the run, by name.
    pub run: BTreeMap<String, String>,
}

impl CheckpointInfo {
    /// Reads what a checkpoint says of its run.
    ///
    /// # Errors
    /// Not readable, or not a checkpoint.
    pub fn read(path: &Path) -> Result<Self> {
        let (_, info) = read(path)?;
        Ok(info)
    }

    /// Whether its run was finished: it was kept to go on with more steps.
    pub fn is_finished(&self) -> bool {
        self.run.get(STEPS).and_then(|steps| steps.parse().ok()).is_some_and(|steps: usize| self.step >= steps)
    }
}

impl Trainer<'_> {
    /// Writes the whole state. An older file is replaced as a whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = TensorFile::default();
        file.tensors.extend(self.state());
        file.tensors.insert("history.noise".to_owned(), Tensor::f_from_slice(&self.history.noise)?);
        file.tensors.insert("history.attention".to_owned(), Tensor::f_from_slice(&self.history.attention)?);
        file.metadata.insert("format".to_owned(), FORMAT.to_owned());
        file.metadata.insert("step".to_owned(), self.step.to_string());
        file.metadata.insert(LOSS_SCALE.to_owned(), self.loss_scale.to_string());
        if let Some(Estimate { distance, numerator }) = self.optimizer.estimate() {
            file.metadata.insert(DISTANCE.to_owned(), distance.to_string());
            file.metadata.insert(NUMERATOR.to_owned(), numerator.to_string());
        }
        file.metadata
            .extend(self.run_fields()?.into_iter().map(|(name, value)| (format!("{RUN_PREFIX}{name}"), value)));
        Ok(file.write(path)?)
    }

    /// Takes over the state of a checkpoint of this very run, or of one that differs in having fewer steps.
    ///
    /// # Errors
    /// Not a checkpoint, or one of other settings, another model, other pictures or another start; nothing has changed then.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let (file, info) = read(path)?;
        self.check_run(&info)?;
        let file_error = |source| TokensError::File { path: path.to_path_buf(), what: WHAT, source };
        let state = self.state().into_iter();
        let state = state.map(|(name, tensor)| Ok((take(&file, &name, &tensor)?, tensor)));
        let state: Vec<_> = state.collect::<FileResult<_>>().map_err(file_error)?;
        let estimate = self.optimizer.estimate().map(|_| take_estimate(&file)).transpose().map_err(file_error)?;
        let history = History {
            noise: take_history(&file, "history.noise").map_err(file_error)?,
            attention: take_history(&file, "history.attention").map_err(file_error)?,
        };
        let steps = u32::try_from(info.step).map_err(|_| file_error(bad_step(&info.step.to_string())))?;

        tch::no_grad(|| state.into_iter().try_for_each(|(value, mut tensor)| tensor.f_copy_(&value).map(|_| ())))?;
        self.optimizer.resume(steps, estimate);
        self.step = info.step;
        self.loss_scale = info.loss_scale;
        self.history = history;
        Ok(())
    }
}

impl Trainer<'_> {
    /// All tensors that change, with their names in a file. They share their memory with those that are trained.
    fn state(&self) -> Vec<(String, Tensor)> {
        let parameters = self.parameters();
        let mut state = Vec::new();
        for (group, tensors) in self.optimizer.tensors() {
            state.extend(parameters.iter().zip(tensors).map(|((name, _), tensor)| (format!("{group}.{name}"), tensor)));
        }
        state.extend(parameters.iter().map(|(name, tensor)| (format!("parameter.{name}"), tensor.shallow_clone())));
        state
    }

    /// Fails if a checkpoint is of another run.
    fn check_run(&self, info: &CheckpointInfo) -> Result<()> {
        let own: BTreeMap<String, String> = self.run_fields()?.into_iter().collect();
        let names: BTreeSet<&String> = own.keys().chain(info.run.keys()).collect();
        let unnamed = |name: &str| match name {
            OPTIMIZER => OptimizerName::default().to_string(),
            _ => "nothing".to_owned(),
        };
        for name in names {
            let value = |run: &BTreeMap<String, String>| run.get(name).cloned().unwrap_or_else(|| unnamed(name));
            let (got, expected) = (value(&info.run), value(&own));
            if got == expected {
                continue;
            }
            let fewer = name == STEPS && got.parse().is_ok_and(|steps: usize| steps < self.config.steps);
            match self.config.decay {
                Decay::Constant if fewer => {}
                decay if fewer => return Err(TokensError::StepsDecay { got, expected, decay }),
                _ => return Err(TokensError::OtherRun { what: name.clone(), got, expected }),
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<(TensorFile, CheckpointInfo)> {
    let file = TensorFile::read(path, WHAT, SIZE_LIMIT)?;
    let info = parse(&file).map_err(|source| TokensError::File { path: path.to_path_buf(), what: WHAT, source })?;
    Ok((file, info))
}

fn parse(file: &TensorFile) -> FileResult<CheckpointInfo> {
    let text = |key: &'static str| file.metadata.get(key).ok_or(FileError::MissingKey(key));
    let format = text("format")?;
    if format != FORMAT {
        return Err(FileError::Format { got: format.clone(), expected: FORMAT });
    }
    let step = text("step")?;
    let step = step.parse().map_err(|_| bad_step(step))?;
    let loss_scale = take_number(file, LOSS_SCALE)?;
    if loss_scale <= 0.0 {
        let (got, expected) = (loss_scale.to_string(), "a number above 0".to_owned());
        return Err(FileError::Value { key: LOSS_SCALE, got, expected });
    }
    let run = file.metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(RUN_PREFIX)?, value)));
    Ok(CheckpointInfo { step, loss_scale, run: run.map(|(key, value)| (key.to_owned(), value.clone())).collect() })
}

fn bad_step(got: &str) -> FileError {
    FileError::Value { key: "step", got: got.to_owned(), expected: "a whole number".to_owned() }
}

/// A number of the metadata.
fn take_number(file: &TensorFile, key: &'static str) -> FileResult<f64> {
    let text = file.metadata.get(key).ok_or(FileError::MissingKey(key))?;
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| FileError::Value { key, got: text.clone(), expected: "a finite number".to_owned() })
}

/// What an optimizer knew of the distance.
fn take_estimate(file: &TensorFile) -> FileResult<Estimate> {
    let estimate = Estimate { distance: take_number(file, DISTANCE)?, numerator: take_number(file, NUMERATOR)? };
    if estimate.is_possible() {
        return Ok(estimate);
    }
    let expected = "a distance that a run can have come to".to_owned();
    Err(FileError::Value { key: DISTANCE, got: estimate.distance.to_string(), expected })
}

/// A tensor of the shape and on the device of `like`.
fn take(file: &TensorFile, name: &str, like: &Tensor) -> FileResult<Tensor> {
    let tensor = file.tensors.get(name).ok_or_else(|| FileError::MissingTensor(name.to_owned()))?;
    if tensor.size() != like.size() || tensor.kind() != Kind::Float {
        let expected = format!("{:?}, f32", like.size());
        return Err(FileError::Shape { name: name.to_owned(), got: tensor.size(), expected });
    }
    if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(FileError::NotFinite(name.to_owned()));
    }
    Ok(tensor.f_to_device(like.device())?)
}

fn take_history(file: &TensorFile, name: &str) -> FileResult<Vec<f32>> {
    let tensor = file.tensors.get(name).ok_or_else(|| FileError::MissingTensor(name.to_owned()))?;
    if tensor.dim() != 1 || tensor.kind() != Kind::Float {
        let expected = "one dimension, f32".to_owned();
        return Err(FileError::Shape { name: name.to_owned(), got: tensor.size(), expected });
    }
    Ok(Vec::try_from(tensor)?)
}
