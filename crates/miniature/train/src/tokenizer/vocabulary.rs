//! Words that keep what was learned of them when the tokenizer is another one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use idembed_files::IoError;
use tch::Tensor;

use crate::Result;

/// The ids of all tokens by their texts.
pub(crate) struct Vocabulary(BTreeMap<String, i64>);

impl Vocabulary {
    /// The vocabulary of a tokenizer's folder.
    ///
    /// # Errors
    /// The file cannot be read, or is no vocabulary.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("vocab.json");
        let content = fs::read(&path).map_err(IoError::reading(&path))?;
        Ok(Vocabulary(serde_json::from_slice(&content)?))
    }

    /// The embedding of this vocabulary's tokens, `[tokens, hidden]`: each has the row of the same text in `rows`, which
    /// are of the vocabulary `of`; tokens that are new keep their row of `own`.
    pub(crate) fn carry_over(&self, rows: &Tensor, of: &Vocabulary, own: &Tensor) -> Result<Tensor> {
        let both = self.0.iter().filter_map(|(text, &to)| Some((*of.0.get(text)?, to)));
        let (from, to): (Vec<i64>, Vec<i64>) = both.unzip();
        let (from, to) = (Tensor::f_from_slice(&from)?, Tensor::f_from_slice(&to)?);
        let rows = rows.f_index_select(0, &from)?.f_to_kind(own.kind())?;
        Ok(own.f_detach()?.f_index_copy(0, &to.f_to_device(own.device())?, &rows.f_to_device(own.device())?)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn vocabulary(tokens: &[&str]) -> Vocabulary {
        Vocabulary(tokens.iter().zip(0..).map(|(text, id)| ((*text).to_owned(), id)).collect())
    }

    #[test]
    fn rows_go_with_their_texts() {
        let (old, new) = (vocabulary(&["a", "b", "end"]), vocabulary(&["b", "new", "a", "end"]));
        let rows = Tensor::from_slice(&[1.0f32, 10.0, 2.0, 20.0, 3.0, 30.0]).view([3, 2]);
        let own = Tensor::full([4, 2], -1.0, (tch::Kind::Float, tch::Device::Cpu));
        let carried = new.carry_over(&rows, &old, &own).unwrap();
        assert_eq!(Vec::<f32>::try_from(carried.view(-1)).unwrap(), [2.0, 20.0, -1.0, -1.0, 1.0, 10.0, 3.0, 30.0]);
        assert_eq!(f64::try_from(own.sum(tch::Kind::Float)).unwrap(), -8.0, "only a copy is changed");
    }

    #[test]
    fn what_is_no_vocabulary_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Vocabulary::read(folder.path()).is_err());
        fs::write(folder.path().join("vocab.json"), "[1]").unwrap();
        assert!(Vocabulary::read(folder.path()).is_err());
    }
}
