//! A device that is chosen by hand. In a file of its own: nothing else may have loaded libtorch's CUDA half before.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use idembed_weights::TensorFile;
use idembed_weights::{Compute, Error, Init, Weights};
use tch::{Cuda, Device, Kind, Tensor};

#[test]
fn a_gpu_that_is_named_by_hand_is_used_or_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut file = TensorFile::default();
    file.tensors.insert("x".to_owned(), Tensor::from_slice(&[1.5f32, -2.0]));
    file.write(&path).unwrap();
    let open = |index| Weights::open_file(&path, Compute { device: Device::Cuda(index), kind: Kind::Half });
    let opened = open(0);
    if Cuda::is_available() {
        let tensor = opened.unwrap().root().tensor("x", &[2], Init::ZEROS).unwrap();
        assert_eq!((tensor.device(), tensor.double_value(&[1])), (Device::Cuda(0), -2.0));
    } else {
        assert!(matches!(opened, Err(Error::Device(_))), "{opened:?}");
    }
    let missing = open(1000).unwrap_err().to_string();
    assert!(missing.starts_with("device cuda:1000 was asked for, but this libtorch sees "), "{missing}");
}
