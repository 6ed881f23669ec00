//! A copy of the bundled model, file by file a link, to be changed by a test.

use std::path::Path;

use serde_json::Value;

use crate::program::{Place, mini};

/// A folder that looks like the bundled model, every file a link.
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

/// Puts other content in place of a link.
pub(crate) fn replace(place: &Place, file: &str, content: &[u8]) {
    let path = place.path("model").join(file);
    let _ = std::fs::remove_file(&path);
    std::fs::write(path, content).unwrap();
}

pub(crate) fn change_json(place: &Place, file: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(mini().join(file)).unwrap()).unwrap();
    change(&mut value);
    replace(place, file, &serde_json::to_vec(&value).unwrap());
}
