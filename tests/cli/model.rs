//! A model folder of a test's own: the bundled model, every file a link, of which some are replaced.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Place, mini};

/// The U-Net's weights.
pub(crate) const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// Makes the folder `model`.
pub(crate) fn linked(place: &Place) {
    fn link(from: &Path, to: &Path) {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            match path.is_dir() {
                true => link(&path, &to.join(name)),
                false => std::os::unix::fs::symlink(&path, to.join(name)).unwrap(),
            }
        }
    }
    link(&mini(), &place.path("model"));
}

/// Puts other content in place of a link; gives the file's path.
pub(crate) fn replace(place: &Place, file: &str, content: &[u8]) -> PathBuf {
    let path = place.path("model").join(file);
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, content).unwrap();
    path
}

/// Changes a configuration of the bundled model.
pub(crate) fn change_json(place: &Place, file: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(mini().join(file)).unwrap()).unwrap();
    change(&mut value);
    replace(place, file, &serde_json::to_vec(&value).unwrap());
}
