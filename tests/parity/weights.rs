//! Model folders as they are found: the same weights in other files give the same numbers, and a folder that cannot be
//! used is refused with an error that names what is wrong. Nothing panics.

mod configurations;
mod drawing;
mod files;
mod tensors;

use std::fs;
use std::path::{Path, PathBuf};

use idembed_diffusion::{Compute, Error, StableDiffusion};
use idembed_integration_tests::tensor_file::TensorFile;
use idembed_weights::WeightsError;
use serde_json::Value;
use tempfile::TempDir;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

/// A copy of the tiny model of the fixtures, to be spoiled.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let to = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines/sd2v"), folder.path());
        Folder(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn load(&self) -> Result<StableDiffusion, Error> {
        StableDiffusion::load(self.0.path(), Compute::CPU_F32)
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn change_tensors(&self, file: &str, change: impl FnOnce(&mut TensorFile)) {
        let mut tensors = TensorFile::read(&self.path(file));
        change(&mut tensors);
        tensors.write(&self.path(file));
    }

    fn change_json(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(file)).unwrap()).unwrap();
        change(&mut value);
        fs::write(self.path(file), serde_json::to_vec(&value).unwrap()).unwrap();
    }
}

/// The error of loading a folder that was spoiled.
fn refused(spoil: impl FnOnce(&Folder)) -> Error {
    let folder = Folder::new();
    spoil(&folder);
    folder.load().expect_err("the folder was spoiled")
}

/// What is wrong with a weight file that was spoiled, and the file that the error names.
fn refused_weights(spoil: impl FnOnce(&Folder)) -> (WeightsError, String) {
    match refused(spoil) {
        Error::Weights { source, path } => (source, path.file_name().unwrap().to_string_lossy().into_owned()),
        other => panic!("expected an error about weights, got {other:?}"),
    }
}
