//! The whole state of a training in one file, to go on from exactly where it was.
//!
//! There is no state of a random generator in it: the data and the noise of a step depend on the run's seed and the step.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_optimizer::{AdamW, Moments};
use idembed_weights::{FileError, TensorFile};
use tch::Tensor;

use crate::state::State;
use crate::{PretrainError, Recipe, Result};

const WHAT: &str = "checkpoint";
const FORMAT: &str = "idembed-pretraining/1";
/// Far above any network that is trained here.
pub(crate) const SIZE_LIMIT: u64 = 16 << 30;

/// Before each setting's name in the metadata.
const RUN_PREFIX: &str = "run.";

impl State {
    /// Writes the whole state. An older file is replaced as a whole or not at all.
    pub(crate) fn save(&self, settings: &[(String, String)], path: &Path) -> Result<()> {
        let mut file = TensorFile::default();
        let moments = self.optimizer.moments().iter().flat_map(|moments| [&moments.mean, &moments.square]);
        let vectors = [&self.trained.numbers, &self.average.numbers].into_iter().chain(moments);
        for (group, numbers) in GROUPS.into_iter().zip(vectors) {
            let named = self.trained.with(numbers)?.parameters.list();
            file.tensors.extend(named.into_iter().map(|(name, tensor)| (format!("{group}.{name}"), tensor)));
        }
        file.metadata.insert("format".to_owned(), FORMAT.to_owned());
        file.metadata.insert("step".to_owned(), self.step.to_string());
        file.metadata.extend(settings.iter().map(|(name, value)| (format!("{RUN_PREFIX}{name}"), value.clone())));
        Ok(file.write(path)?)
    }

    /// Takes over the state of a checkpoint of this very run.
    ///
    /// # Errors
    /// Not a checkpoint, or one of other settings or another network.
    pub(crate) fn resume(&mut self, recipe: &Recipe, settings: &[(String, String)], path: &Path) -> Result<()> {
        let file = TensorFile::read(path, WHAT, SIZE_LIMIT)?;
        let file_error = |source| idembed_weights::Error::File { path: path.to_path_buf(), what: WHAT, source };
        let text = |key: &'static str| file.metadata.get(key).ok_or_else(|| file_error(FileError::MissingKey(key)));
        let format = text("format")?;
        if format != FORMAT {
            return Err(file_error(FileError::Format { got: format.clone(), expected: FORMAT }).into());
        }
        for (name, expected) in settings {
            let got = file.metadata.get(&format!("{RUN_PREFIX}{name}")).map_or("nothing", String::as_str);
            if got != expected {
                let (what, got, expected) = (name.clone(), got.to_owned(), expected.clone());
                return Err(PretrainError::OtherRun { path: path.to_path_buf(), what, got, expected });
            }
        }
        let step = text("step")?;
        let steps: u32 = step.parse().map_err(|_| {
            file_error(FileError::Value { key: "step", got: step.clone(), expected: "a whole number".to_owned() })
        })?;

        let zeros = || self.trained.numbers.f_zeros_like();
        let moments = Moments { mean: zeros()?, square: zeros()? };
        let vectors = [&self.trained.numbers, &self.average.numbers, &moments.mean, &moments.square];
        for (group, numbers) in GROUPS.into_iter().zip(vectors) {
            self.trained.with(numbers)?.parameters.set(&take_group(&file, group))?;
        }
        self.optimizer = AdamW::restore(recipe.optimizer, steps, vec![moments]);
        self.step = steps as usize;
        Ok(())
    }
}

/// Before the parameters' names in the file.
const GROUPS: [&str; 4] = ["parameter", "average", "mean", "square"];

fn take_group(file: &TensorFile, group: &str) -> BTreeMap<String, Tensor> {
    let tensors = file.tensors.iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(group)?.strip_prefix('.')?;
        Some((name.to_owned(), tensor.shallow_clone()))
    });
    tensors.collect()
}
