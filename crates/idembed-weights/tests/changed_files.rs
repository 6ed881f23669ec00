//! Weight files that are changed while they are in use.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use idembed_weights::{Compute, Error, Init, TensorFile, Weights};
use tch::{Device, Kind, Tensor};

const NAME: &str = "model.safetensors";
const HALF: Compute = Compute { device: Device::Cpu, kind: Kind::Half };

/// A folder with a weight file in f32.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let mut file = TensorFile::default();
    file.tensors.insert("x".to_owned(), Tensor::arange(5000, (Kind::Float, Device::Cpu)));
    file.write(&path).unwrap();
    (folder, path)
}

fn opened(path: &Path, compute: Compute) -> (Weights, Tensor) {
    let weights = Weights::open_file(path, compute).unwrap();
    let tensor = weights.root().tensor("x", &[5000], Init::ZEROS).unwrap();
    (weights, tensor)
}

/// Writes some bytes in place, with a time of change that differs however coarse the file system's clock is.
fn overwrite(file: &File) {
    file.write_all_at(&[0x40; 64], 8000).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(10)).unwrap();
}

/// As [`overwrite`], of a file by its path.
fn overwrite_at(path: &Path) {
    overwrite(&File::options().write(true).open(path).unwrap());
}

fn is_changed(result: Result<(), Error>, expected: &Path) -> bool {
    match result {
        Ok(()) => false,
        Err(Error::Changed { path }) => path == expected,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn numbers_that_may_be_others_by_now_are_noticed() {
    let noticed = |name: &str, change: fn(&File)| {
        let (_folder, path) = place();
        let (weights, _tensor) = opened(&path, Compute::CPU_F32);
        weights.check_unchanged().unwrap();
        change(&File::options().write(true).open(&path).unwrap());
        assert!(is_changed(weights.check_unchanged(), &path), "{name}");
    };
    noticed("overwritten", overwrite);
    noticed("longer", |file| file.set_len(1 << 20).unwrap());
    noticed("shorter", |file| file.set_len(19_000).unwrap());
    noticed("touched", |file| file.set_modified(SystemTime::UNIX_EPOCH).unwrap());
}

#[test]
fn another_file_of_the_same_name_is_no_change() {
    let (folder, path) = place();
    let (weights, tensor) = opened(&path, Compute::CPU_F32);
    let other = folder.path().join("other");
    fs::write(&other, b"something else").unwrap();
    fs::rename(&other, &path).unwrap();
    weights.check_unchanged().unwrap();
    fs::remove_file(&path).unwrap();
    weights.check_unchanged().unwrap();
    assert_eq!(tensor.double_value(&[4999]), 4999.0);
}

#[test]
fn converted_numbers_do_not_depend_on_their_file_any_more() {
    let (_folder, path) = place();
    let (weights, tensor) = opened(&path, HALF);
    weights.check_all_used(&[]).unwrap();
    overwrite_at(&path);
    weights.check_unchanged().unwrap();
    assert_eq!(tensor.double_value(&[2000]), 2000.0);
    // The fingerprint is of what is in the file, and would be that of other weights.
    assert!(is_changed(weights.fingerprint("", |_| true).map(drop), &path));
}

#[test]
fn a_change_while_loading_is_noticed_at_its_end() {
    let (_folder, path) = place();
    let (weights, _tensor) = opened(&path, HALF);
    overwrite_at(&path);
    assert!(is_changed(weights.check_all_used(&[]), &path));
}

#[test]
fn the_changed_shard_is_named() {
    let (folder, path) = place();
    let shard = folder.path().join("model-00002-of-00002.safetensors");
    let mut second = TensorFile::default();
    second.tensors.insert("y".to_owned(), Tensor::ones([7], (Kind::Float, Device::Cpu)));
    second.write(&shard).unwrap();
    let first = folder.path().join("model-00001-of-00002.safetensors");
    fs::rename(&path, &first).unwrap();
    let index =
        r#"{ "weight_map": { "x": "model-00001-of-00002.safetensors", "y": "model-00002-of-00002.safetensors" } }"#;
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let weights = Weights::open(folder.path(), "model", Compute::CPU_F32).unwrap();
    let _tensor = weights.root().tensor("x", &[5000], Init::ZEROS).unwrap();
    overwrite_at(&shard);
    weights.check_unchanged().unwrap();
    overwrite_at(&first);
    assert!(is_changed(weights.check_unchanged(), &first));
}
