//! From a face to an embedding that tells people apart.
//!
//! [`load`] reads the weights of any of the networks that are common for this, recognised by the names of the tensors,
//! and returns a [`Recogniser`]; [`cosine`] compares two of its embeddings, and [`Scale`] says what the number means.
//! [`DlibResNet`] was trained on the [`distance()`] instead.
//! Embeddings of different networks have nothing to do with each other.

mod colour;
mod compact;
pub mod dlib;
mod embedding;
mod face_box;
mod inception;
mod inception_resnet;
mod iresnet;
mod iresnet_names;
mod scale;

use std::fmt;
use std::path::Path;

use idembed_weights::{Compute, Scope, Weights};
use image::RgbImage;
use ndarray::Array2;

pub use compact::CompactResNet;
pub use dlib::DlibResNet;
pub use embedding::{cosine, distance};
pub use inception_resnet::InceptionResnetV1;
pub use iresnet::IResNet;
pub use scale::{DistanceScale, Scale};

use crate::{Face, FaceError, FaceResult};

/// What [`load`] knows.
const KNOWN: &str = "InceptionResnetV1 of facenet-pytorch (with a tensor `conv2d_1a.conv.weight`), IResNet of \
                     insightface (`layer1.0.prelu.weight`), IResNet of AdaFace and CVLFace \
                     (`body.0.res_layer.3.weight`, also below `model.`, `net.` or `model.net.`), ResNet of dlib as \
                     `cargo xtask download` converts it (`network.stem.conv.weight`), the small network of this \
                     project (`trunk.stem.weight` and `embedding.weight`)";

/// A network that turns a face into an embedding.
pub trait Recogniser: fmt::Debug {
    /// The part of the photo that the network looks at, in its own frame.
    ///
    /// A face whose bounds or landmarks make no sense gives a picture of the right size that shows no face.
    fn crop(&self, picture: &RgbImage, face: &Face) -> RgbImage;

    /// The embeddings of pictures from [`crop`](Recogniser::crop), each of length 1 unless the network
    /// [compares by distance](Recogniser::distance_scale).
    ///
    /// What lies beside a picture changes its embedding by no more than rounding.
    ///
    /// # Shapes
    /// - returns: `[crops, dimension]`
    ///
    /// # Errors
    /// A picture of another size than the network's, numbers that are not finite, or libtorch refused an operation.
    fn embed(&self, crops: &[RgbImage]) -> FaceResult<Array2<f32>>;

    /// Numbers in one embedding.
    fn dimension(&self) -> usize;

    /// How the [`distance()`] of two embeddings is to be read; `None` for networks that were trained on the cosine.
    fn distance_scale(&self) -> Option<DistanceScale> {
        None
    }
}

/// Reads a recogniser from a safetensors file.
///
/// # Errors
/// The file cannot be read, belongs to no network that is known here, or its tensors are not exactly those of the
/// network: a missing, extra or misshapen one is named. Heads that only training needs may be there.
pub fn load(path: &Path, compute: Compute) -> FaceResult<Box<dyn Recogniser>> {
    let weights = Weights::open_file(path, compute)?;
    if InceptionResnetV1::is_in(&weights) {
        Ok(Box::new(InceptionResnetV1::new(weights, compute)?))
    } else if let Some(place) = iresnet_names::Place::find(&weights) {
        Ok(Box::new(IResNet::new(weights, place, compute)?))
    } else if DlibResNet::is_in(&weights) {
        Ok(Box::new(DlibResNet::load(path, compute)?))
    } else if CompactResNet::is_in(&weights) {
        Ok(Box::new(CompactResNet::from_weights(weights)?))
    } else {
        Err(FaceError::UnknownNetwork { path: path.to_path_buf(), task: "face recognition", known: KNOWN })
    }
}

/// Outputs of the layer that is at this place; 0 if there is none, which reading it will say.
fn outputs(scope: &Scope<'_>) -> i64 {
    scope.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    fn refused(tensors: &[(&str, Tensor)]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        Tensor::write_safetensors(tensors, file.path()).unwrap();
        let error = load(file.path(), Compute::CPU_F32).unwrap_err();
        let path = file.path().display().to_string();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}").replace(&path, "FILE")
    }

    #[test]
    fn an_unknown_network_is_refused_with_a_list() {
        let weight = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
        // A ResNet for other things has `conv1`, `bn1` and `layer1` too.
        for name in ["conv1.weight", "layer1.0.conv1.weight", "module.input_layer.0.weight", "features"] {
            let message = refused(&[(name, weight(&[3]))]);
            assert!(message.starts_with("`FILE` holds no network for face recognition"), "{message}");
            assert!(message.contains("conv2d_1a.conv.weight") && message.contains("res_layer"), "{message}");
        }
    }

    #[test]
    fn what_is_no_weight_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"PK\x03\x04 a pickle, say").unwrap();
        assert!(matches!(load(file.path(), Compute::CPU_F32), Err(FaceError::Weights(_))));
        assert!(matches!(load(&file.path().join("nothing"), Compute::CPU_F32), Err(FaceError::Weights(_))));
    }
}
