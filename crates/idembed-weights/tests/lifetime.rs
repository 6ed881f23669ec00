//! Tensors that live longer than the weights they were taken from.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use idembed_weights::{Alias, Compute, Delta, Files, Init, Overlay, Parameters, Renamed, Source, TensorFile, Weights};
use tch::{Device, Kind, Tensor};

/// Far more than a page, and nothing that freshly given memory holds.
fn numbers() -> Tensor {
    Tensor::arange(1 << 20, (Kind::Float, Device::Cpu)).view([16, 16, 64, 64])
}

#[test]
fn tensors_keep_the_map_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut file = TensorFile::default();
    file.tensors.insert("plain".to_owned(), numbers());
    file.tensors.insert("conv".to_owned(), numbers());
    file.write(&path).unwrap();
    for kind in [Kind::Float, Kind::BFloat16] {
        let (plain, conv) = {
            let weights = Weights::open_file(&path, Compute { device: Device::Cpu, kind }).unwrap();
            let shape = numbers().size();
            (
                weights.root().tensor("plain", &shape, Init::ZEROS).unwrap(),
                weights.root().conv_weight("conv", &shape, Init::ZEROS).unwrap(),
            )
        };
        let expected = numbers().to_kind(kind);
        assert!(plain.equal(&expected) && conv.get().unwrap().equal(&expected), "{kind:?}");
        // The map is private: what is written into a tensor stays there.
        let mut plain = plain;
        let _ = plain.fill_(7.0);
        let again = Weights::open_file(&path, Compute::CPU_F32).unwrap();
        assert!(again.root().tensor("plain", &numbers().size(), Init::ZEROS).unwrap().equal(&numbers()));
    }
}

#[test]
fn tensors_outlive_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let parameters = Parameters::new(0, Device::Cpu);
    let shape = numbers().size();
    let take = |source: Box<dyn Source>, kind| {
        let weights = Weights::new(source, Compute { device: Device::Cpu, kind }).unwrap();
        let conv = weights.root().conv_weight("conv", &shape, Init::ZEROS).unwrap();
        (weights.root().tensor("plain", &shape, Init::ZEROS).unwrap(), conv)
    };
    let _ = take(Box::new(parameters.clone()), Kind::Float);
    let values = ["plain", "conv"].map(|name| (name.to_owned(), numbers()));
    parameters.set(&values.into()).unwrap();
    let mut file = TensorFile::default();
    file.tensors.insert("stacked".to_owned(), Tensor::cat(&[numbers(), numbers()], 0));
    file.write(&path).unwrap();
    let renamed = || -> Box<dyn Source> {
        let table = [("plain", 0..16), ("conv", 16..32)];
        let table = table.map(|(name, rows)| (name.to_owned(), Alias::of("stacked").rows(rows)));
        Box::new(Renamed::new(Box::new(Files::open(&path).unwrap()), |_| true, table.into()).unwrap())
    };
    let overlay = || {
        let nothing = Delta::Full(numbers().zeros_like());
        Box::new(Overlay::new(renamed(), [("plain".to_owned(), nothing)].into()).unwrap())
    };
    for kind in [Kind::Float, Kind::BFloat16] {
        for (name, (plain, conv)) in [
            ("parameters", take(Box::new(parameters.replica().unwrap()), kind)),
            ("renamed", take(renamed(), kind)),
            ("overlay", take(overlay(), kind)),
        ] {
            let expected = numbers().to_kind(kind);
            assert!(plain.equal(&expected) && conv.get().unwrap().equal(&expected), "{name} {kind:?}");
        }
    }
}

#[test]
fn numbers_that_lie_askew_in_their_file_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    // A header whose length is no multiple of four.
    let json = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} "#;
    let bytes =
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &1.5f32.to_le_bytes(), &(-2.0f32).to_le_bytes()];
    assert_ne!(json.len() % 4, 0);
    std::fs::write(&path, bytes.concat()).unwrap();
    let weights = Weights::open_file(&path, Compute::CPU_F32).unwrap();
    assert!(weights.root().tensor("x", &[2], Init::ZEROS).unwrap().equal(&Tensor::from_slice(&[1.5f32, -2.0])));
}
