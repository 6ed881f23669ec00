//! Weights in dlib's own serialization as safetensors.
//!
//! dlib saves an object as the numbers that it consists of, without names: only a reader that knows the object can tell
//! them apart. The two that are known here are the face recognition network and the predictor of five landmarks.
//! Whatever is not exactly as dlib writes these is refused; nothing in a file is ever executed.

mod network;
mod predictor;
mod reader;

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context as _, Result};
use safetensors::Dtype;
use safetensors::tensor::View;

/// The file of the network in packages that hold it.
pub const NETWORK: &str = "dlib_face_recognition_resnet_model_v1.dat";
/// The file of the predictor, likewise.
pub const PREDICTOR: &str = "shape_predictor_5_face_landmarks.dat";

/// Whether a path leads to one of the two files.
pub fn is_known(path: &str) -> bool {
    [NETWORK, PREDICTOR].into_iter().any(|name| path.rsplit('/').next() == Some(name))
}

/// What the file says about itself. One entry, since safetensors writes several in any order.
const NOTICE: (&str, &str) = (
    "licence",
    "CC0 1.0 Universal: dlib_face_recognition_resnet_model_v1 and shape_predictor_5_face_landmarks by Davis E. King",
);

/// The bytes of a safetensors file with dlib's face recognition network below `network` and its predictor of five
/// landmarks below `landmarks`, all numbers as they are, the layers named.
///
/// # Errors
/// When either is not what dlib writes: another version, another architecture, a size that the file cannot hold, numbers
/// that are not finite, an end too early or too late. The place in the file is named.
pub fn to_safetensors(network: &[u8], predictor: &[u8]) -> Result<Vec<u8>> {
    let mut tensors = network::read(network).context("it is not dlib's face recognition network")?;
    tensors.extend(predictor::read(predictor).context("it is not dlib's predictor of five landmarks")?);
    let (key, text) = NOTICE;
    let notice = HashMap::from([(key.to_owned(), text.to_owned())]);
    let named = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    Ok(safetensors::serialize(named, Some(notice))?)
}

/// A tensor of 32-bit numbers as safetensors has them.
struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    /// Little-endian.
    data: Cow<'a, [u8]>,
}

impl<'a> Tensor<'a> {
    fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, data: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { name: name.into(), shape: shape.into(), data: data.into() }
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The bytes of numbers.
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::hash::{BuildHasher as _, RandomState};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use safetensors::SafeTensors;

    use super::*;
    use crate::workspace;

    fn fixtures() -> PathBuf {
        workspace::root().join("tests/fixtures/dlib")
    }

    /// The network and the predictor in a folder that `generate.py` made.
    fn files(folder: &Path) -> [Vec<u8>; 2] {
        ["network.dat", "predictor.dat"].map(|name| fs::read(folder.join(name)).unwrap())
    }

    /// The conversion against the tensors that Python wrote, which drew the network and read the predictor itself.
    fn compare(folder: &Path) {
        let [network, predictor] = files(folder);
        let converted = to_safetensors(&network, &predictor).unwrap();
        let converted = SafeTensors::deserialize(&converted).unwrap();
        let expected = fs::read(folder.join("model.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected).unwrap();
        assert_eq!(converted.len(), expected.len());
        for (name, view) in expected.iter() {
            assert_eq!(converted.tensor(name).unwrap(), view, "{name}");
        }
    }

    #[test]
    fn tensors_are_those_that_dlib_reads_and_writes() {
        compare(&fixtures());
    }

    #[test]
    fn fresh_ones_too() {
        let Some(python) = std::env::var_os("IDEMBED_PYTHON") else {
            assert!(std::env::var_os("IDEMBED_REQUIRE_PYTHON").is_none(), "IDEMBED_PYTHON is not set, but required");
            eprintln!("skipped: needs dlib: `cargo xtask test --python` sets it up");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let seed = (RandomState::new().hash_one(0) >> 1).to_string();
        eprintln!("seed {seed}");
        let mut generate = Command::new(python);
        generate.arg(fixtures().join("generate.py")).args(["--seed", &seed, "--out"]).arg(folder.path());
        assert!(generate.status().unwrap().success());
        compare(folder.path());
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let [network, predictor] = files(&fixtures());
        assert_eq!(to_safetensors(&network, &predictor).unwrap(), to_safetensors(&network, &predictor).unwrap());
    }

    #[test]
    fn a_file_that_is_cut_or_too_long_is_refused() {
        let [network, predictor] = files(&fixtures());
        for length in (0..network.len()).step_by(31) {
            assert!(network::read(&network[..length]).is_err(), "{length} bytes of the network");
        }
        for length in (0..predictor.len()).step_by(7) {
            assert!(predictor::read(&predictor[..length]).is_err(), "{length} bytes of the predictor");
        }
        for files in
            [[[&network[..], b"\0"].concat(), predictor.clone()], [network.clone(), [&predictor[..], b"\0"].concat()]]
        {
            let error = format!("{:#}", to_safetensors(&files[0], &files[1]).unwrap_err());
            assert!(error.contains("1 bytes are left over"), "{error}");
        }
        let error = format!("{:#}", to_safetensors(&predictor, &network).unwrap_err());
        assert!(error.starts_with("it is not dlib's face recognition network: byte "), "{error}");
    }

    /// Whatever one byte is changed to, there is an error or a file, and nothing is asked for that would not fit.
    #[test]
    fn a_changed_byte_is_no_surprise() {
        let [network, predictor] = files(&fixtures());
        let mut refused = 0;
        for (place, value) in (0..predictor.len()).step_by(3).flat_map(|place| [(place, 0x08), (place, 0xff)]) {
            let mut changed = predictor.clone();
            changed[place] = value;
            refused += usize::from(predictor::read(&changed).is_err());
        }
        assert!(refused > predictor.len() / 6, "{refused} refused");
        // The versions, the input and the first layer.
        for place in 0..400 {
            for value in [0x00, 0x08, 0x31, 0x84, 0xff] {
                let mut changed = network.clone();
                changed[place] = value;
                let _ = network::read(&changed);
            }
        }
    }

    #[test]
    fn another_version_or_architecture_is_named() {
        let [network, predictor] = files(&fixtures());
        let fails = |from: &[u8], to: &[u8], expected: &str| {
            let place = network.windows(from.len()).position(|bytes| bytes == from).unwrap();
            let changed = [&network[..place], to, &network[place + from.len()..]].concat();
            let error = format!("{:#}", to_safetensors(&changed, &predictor).unwrap_err());
            assert!(error.contains(expected), "no `{expected}` in {error}");
        };
        fails(b"loss_metric_2", b"loss_metric_3", "`loss_metric_3`, expected `loss_metric_2`");
        fails(b"con_4", b"con_5", "`con_5`, expected `con_4`");
        fails(b"relu_", b"prelu", "`prelu`, expected `relu_`");
        // The kernel of the first pooling.
        fails(b"max_pool_2\x01\x03", b"max_pool_2\x01\x02", "kernel is 2, expected 3");
        fails(b"sized", b"sizes", "`input_rgb_image_sizes`");
        let mut newer = predictor.clone();
        newer[1] = 2;
        let error = format!("{:#}", to_safetensors(&network, &newer).unwrap_err());
        assert!(error.contains("byte 0: the version of the predictor is 2, expected 1"), "{error}");
    }
}
