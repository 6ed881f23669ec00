//! Pickled weights of PyTorch as safetensors.
//!
//! A `.pt` file is a pickle, and unpickling can run any program that its author chose. The reader here knows the few
//! instructions that describe tensors and calls nothing: what else a file asks for is left undone.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::Dtype;
use safetensors::tensor::View;

/// Before the names of a model's tensors in a checkpoint that also holds the state of its training.
const NESTED: &str = "state_dict.";

/// Before the name of the word in an embedding of AUTOMATIC1111's web UI, whose vectors are the only tensor of use in it.
const OF_WORDS: &str = "string_to_param.";

/// What the vectors of such an embedding are called in its safetensors files.
const EMBEDDING: &str = "emb_params";

/// The bytes of a safetensors file with the tensors of `pickled`: same names, shapes and kinds of numbers, contiguous. Of a
/// checkpoint with the state of a training, those of the model alone; of an embedding of AUTOMATIC1111's web UI, its vectors as
/// `emb_params`.
///
/// One tensor at a time is in memory beside the result.
///
/// # Errors
/// When the file is no state dict of PyTorch, is damaged, or has numbers that no network here computes with.
pub fn to_safetensors(pickled: &Path) -> Result<Vec<u8>> {
    convert(pickled).with_context(|| format!("cannot convert `{}`", pickled.display()))
}

fn convert(pickled: &Path) -> Result<Vec<u8>> {
    let reader = PytorchReader::new(pickled).context("it is no file of PyTorch that can be read without running it")?;
    ensure!(!reader.is_empty(), "it holds no tensors");
    let failure = RefCell::new(None);
    let mut views = Vec::with_capacity(reader.len());
    let words = reader.tensors().keys().filter(|name| name.starts_with(OF_WORDS)).count();
    ensure!(words < 2, "it is an embedding of {words} words, expected one");
    let prefix = if reader.tensors().keys().any(|name| name.starts_with(NESTED)) { NESTED } else { "" };
    for (name, tensor) in reader.tensors() {
        let name = match name.strip_prefix(prefix) {
            Some(name) if words == 0 => name,
            Some(name) if name.starts_with(OF_WORDS) => EMBEDDING,
            _ => continue,
        };
        let dtype = match tensor.dtype() {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            // Batch norms count their batches in it, text encoders their positions, averages of weights their updates.
            DType::I64 => Dtype::I64,
            DType::I32 => Dtype::I32,
            other => bail!("tensor `{name}` has dtype {other:?}, expected F32, F16, BF16, I64 or I32"),
        };
        views.push((name, Unread { tensor, dtype, failure: &failure }));
    }
    let bytes = safetensors::serialize(views, None)?;
    failure.into_inner().map_or(Ok(bytes), |error| Err(error.into()))
}

/// A tensor that is read when its turn to be written comes.
struct Unread<'a> {
    tensor: &'a Tensor,
    dtype: Dtype,
    /// The first thing that went wrong with any of them: a view cannot refuse.
    failure: &'a RefCell<Option<io::Error>>,
}

impl View for Unread<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let read = if self.failure.borrow().is_some() { Ok(Vec::new()) } else { self.tensor.read() };
        read.unwrap_or_else(|error| {
            self.failure.replace(Some(error));
            Vec::new()
        })
        .into()
    }

    fn data_len(&self) -> usize {
        self.tensor.byte_len()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::hash::{BuildHasher as _, RandomState};
    use std::path::PathBuf;
    use std::process::Command;

    use safetensors::SafeTensors;

    use super::*;
    use crate::workspace;

    fn fixtures() -> PathBuf {
        workspace::root().join("xtask/convert")
    }

    /// Each pickle in `folder` against the safetensors file that Python wrote from what it had pickled.
    fn compare(folder: &Path) {
        let expected = fs::read(folder.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected).unwrap();
        assert!(expected.len() >= 8);
        for name in ["zip.pt", "legacy.pt", "training.pt"] {
            let converted = to_safetensors(&folder.join(name)).unwrap();
            let converted = SafeTensors::deserialize(&converted).unwrap();
            assert_eq!(converted.len(), expected.len(), "{name}");
            for (tensor, view) in expected.iter() {
                assert_eq!(converted.tensor(tensor).unwrap(), view, "{name}: {tensor}");
            }
        }
    }

    #[test]
    fn tensors_are_those_that_pytorch_pickled() {
        compare(&fixtures());
    }

    /// PyTorch, if `IDEMBED_PYTHON` names it; else says why the test skips.
    fn python(folder: &Path) -> Option<Command> {
        let Some(python) = std::env::var_os("IDEMBED_PYTHON") else {
            assert!(std::env::var_os("IDEMBED_REQUIRE_PYTHON").is_none(), "IDEMBED_PYTHON is not set, but required");
            eprintln!("skipped: needs PyTorch: `cargo xtask test --python` sets it up");
            return None;
        };
        let mut command = Command::new(python);
        command.current_dir(folder);
        Some(command)
    }

    /// As the web UI writes them, and as the code of textual inversion did before.
    #[test]
    fn embeddings_keep_their_vectors_alone() {
        let expected = fs::read(fixtures().join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected).unwrap();
        for name in ["embedding.pt", "parameters.pt"] {
            let converted = to_safetensors(&fixtures().join(name)).unwrap();
            let converted = SafeTensors::deserialize(&converted).unwrap();
            assert_eq!(converted.names(), ["emb_params"], "{name}");
            assert_eq!(converted.tensor("emb_params").unwrap(), expected.tensor("dense.shared").unwrap(), "{name}");
        }
        let error = to_safetensors(&fixtures().join("two-words.pt")).unwrap_err();
        assert_eq!(format!("{:#}", error.root_cause()), "it is an embedding of 2 words, expected one");
    }

    #[test]
    fn freshly_pickled_tensors_too() {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut python) = python(folder.path()) else { return };
        let seed = (RandomState::new().hash_one(0) >> 1).to_string();
        eprintln!("seed {seed}");
        let script = fixtures().join("generate.py");
        assert!(python.arg(script).args(["--out", ".", "--seed", &seed]).status().unwrap().success());
        compare(folder.path());
    }

    #[test]
    fn a_call_that_hides_among_the_tensors_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let hostile = fixtures().join("hostile.pt");
        let converted = to_safetensors(&hostile).unwrap();
        assert_eq!(SafeTensors::deserialize(&converted).unwrap().names(), ["weight"]);
        for place in [std::env::current_dir().unwrap(), fixtures()] {
            assert!(!place.join("pickle-ran").exists());
        }
        let Some(mut python) = python(folder.path()) else { return };
        let load = "import sys, torch; torch.load(sys.argv[1], weights_only=False)";
        assert!(python.args(["-c", load]).arg(&hostile).status().unwrap().success());
        assert!(folder.path().join("pickle-ran").exists(), "the file is not hostile");
    }

    #[test]
    fn what_is_no_state_dict_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pt");
        assert!(to_safetensors(&path).is_err());
        let whole = fs::read(fixtures().join("zip.pt")).unwrap();
        for bytes in [&b"no pickle at all"[..], b"", &whole[..whole.len() / 2]] {
            fs::write(&path, bytes).unwrap();
            assert!(to_safetensors(&path).is_err());
        }
        let error = to_safetensors(&fixtures().join("double.pt")).unwrap_err();
        let expected = "tensor `weight` has dtype F64, expected F32, F16, BF16, I64 or I32";
        assert_eq!(format!("{:#}", error.root_cause()), expected);
    }
}
