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
pub const NETWORK: &str = "/dlib_face_recognition_resnet_model_v1.dat";
/// The file of the predictor, likewise.
pub const PREDICTOR: &str = "/shape_predictor_5_face_landmarks.dat";

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
